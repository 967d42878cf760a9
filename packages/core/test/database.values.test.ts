import { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { testPostgres, type TestPostgres } from "./support/postgres.ts"

interface Value {
  readonly id: number
  readonly whole: number | null
  readonly real: number | null
  readonly text: string | null
  readonly bytes: Uint8Array | null
}

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres()
})
afterAll(() => server?.[Symbol.asyncDispose]())

// PostgreSQL's text holds no NUL, and no text holds half a surrogate pair.
const text = fc.string({ unit: "binary", maxLength: 40 }).map((s) => s.replaceAll("\0", ""))
const value = fc.record({
  whole: fc.option(fc.maxSafeInteger()),
  real: fc.option(fc.double({ noNaN: true }).map((x) => x + 0)),
  text: fc.option(text),
  bytes: fc.option(fc.uint8Array({ maxLength: 40 })),
})

const plain = (row: Value): unknown => ({
  ...row,
  bytes: row.bytes === null ? null : Buffer.from(row.bytes).toString("hex"),
})

describe.each([
  { name: "sqlite", layer: Sqlite.layer({ file: ":memory:" }) },
  {
    name: "postgres",
    layer: Layer.unwrap(
      Effect.sync(() => Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "" })),
    ),
  },
])("any value on $name", ({ layer }) => {
  it("comes back from a batch and from a prepared query as it went in", async () => {
    const runtime = ManagedRuntime.make(layer)
    const db = Context.get(await runtime.context(), Database.Database)
    await runtime.runPromise(
      db.migrate("values", [
        {
          id: "0001-value",
          up: (build) => [
            build.schema
              .createTable("value")
              .addColumn("id", "bigint", (c) => c.primaryKey())
              .addColumn("whole", "bigint")
              .addColumn("real", "double precision")
              .addColumn("text", "text")
              .addColumn("bytes", "blob"),
          ],
        },
      ]),
    )
    const from = db.prepare<{ value: Value }, readonly [number], Value>(
      (build, [id]) => build.selectFrom("value").selectAll().where("id", ">=", id).orderBy("id"),
      1,
    )
    let next = 0
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 150 }), async (values) => {
        const first = next
        next += values.length
        const rows = values.map((row, i): Value => ({ id: first + i, ...row }))
        await runtime.runPromise(db.insertMany("value", rows))
        const found = await runtime.runPromise(from(first))
        expect(found.map(plain)).toEqual(rows.map(plain))
      }),
      { numRuns: 60, seed: 20260901 },
    )
    await runtime.dispose()
  })
})
