import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Database, Events } from "@ashlar/core"
import * as Outbox from "@ashlar/core/outbox"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sql } from "kysely"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { startChild } from "./support/child.ts"
import { testPostgres, type TestPostgres } from "./support/postgres.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-processes-"))
const file = join(folder, "shared.db")
let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres()
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await server?.[Symbol.asyncDispose]()
})

const backends = [
  {
    name: "sqlite",
    env: () => ({ TEST_SQLITE: file }),
    layer: () => Sqlite.layer({ file }),
  },
  {
    name: "postgres",
    env: () => ({ TEST_PG: server?.url ?? "", TEST_PG_SCHEMA: server?.schema ?? "" }),
    layer: () => Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "" }),
  },
]

describe.each(backends)("processes on one $name database", ({ env, layer }) => {
  const rows = <Row>(query: Database.Query<Row>) =>
    Effect.runPromise(
      Effect.provide(
        Effect.flatMap(Database.Database, (db) => db.all(query)),
        layer(),
      ),
    )

  it("apply each migration once", async () => {
    const children = Array.from({ length: 4 }, () => startChild("migrate", env()))
    await Promise.all(children.map(({ done }) => done()))
    const applied = children.flatMap(({ lines }) => lines.filter((line) => line !== ""))
    expect(applied).toEqual(["0001-pair,0002-counter"])
  })

  it("count together without losing a step", async () => {
    const children = [startChild("count", env()), startChild("count", env())]
    await Promise.all(children.map(({ done }) => done()))
    expect(await rows(sql<{ n: number }>`select n from counter`)).toEqual([{ n: 300 }])
  })

  it("lose nothing acknowledged and leave nothing half-written when killed", async () => {
    const child = startChild("pairs", env())
    await child.killAfter(100)
    const acknowledged = child.lines.map(Number)
    const found = await rows(sql<{ half: number; n: number }>`
      select half, count(*) as n from pair group by half order by half`)
    expect(found.filter(({ n }) => n !== 2)).toEqual([])
    const whole = new Set(found.map(({ half }) => half))
    expect(acknowledged.filter((i) => !whole.has(i))).toEqual([])
    expect(acknowledged.length).toBeGreaterThanOrEqual(100)
  })

  it("take over from a consumer that was killed, at once, and miss no event", async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
    // A lease far longer than the test: only the dead owner's process id can free the group.
    const outbox = Layer.provide(Outbox.layer({ leaseMs: 60_000, pollMs: 50 }), layer())
    const publish = Effect.flatMap(Events.Events, (events) =>
      events.publish(keys.map((key) => ({ topic: "work", key, payload: null }))),
    )
    await Effect.runPromise(Effect.provide(publish, outbox))
    const child = startChild("consume", env())
    await child.killAfter(10)
    const seen: Array<string> = []
    const takeOver = Effect.gen(function* () {
      const events = yield* Events.Events
      yield* events.consume({ topic: "work", group: "g" }, (batch) =>
        Effect.sync(() => void seen.push(...batch.map(({ key }) => key))),
      )
      while (seen.at(-1) !== "k39") yield* Effect.sleep(10)
    })
    await Effect.runPromise(Effect.provide(Effect.scoped(takeOver), outbox))
    expect([...new Set([...child.lines, ...seen])]).toEqual(keys)
    expect(child.lines.length + seen.length).toBeLessThanOrEqual(keys.length + 1)
  })
})
