import { Database, Events } from "@ashlar/core"
import * as Outbox from "@ashlar/core/outbox"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sql } from "kysely"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as EventsSuite from "../src/testing/EventsSuite.ts"
import { testPostgres, type TestPostgres } from "./support/postgres.ts"

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres()
})
afterAll(() => server?.[Symbol.asyncDispose]())

const databases = {
  sqlite: Sqlite.layer({ file: ":memory:" }),
  postgres: Layer.unwrap(
    Effect.sync(() =>
      Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "", poolSize: 6 }),
    ),
  ),
}

EventsSuite.suite.verifyBroken({ timeoutMs: 1_500 })

for (const [name, database] of Object.entries(databases)) {
  const layer = Layer.provideMerge(Outbox.layer({ pollMs: 50, leaseMs: 600 }), database)
  EventsSuite.run(`outbox on ${name}`, layer)

  describe(`outbox on ${name}`, () => {
    const event = { topic: "orders", key: "1", payload: {} }

    it("publishes with the caller's transaction or not at all", async () => {
      const program = Effect.gen(function* () {
        const db = yield* Database.Database
        const events = yield* Events.Events
        const topic = `rollback-${name}`
        const one = { ...event, topic }
        yield* Effect.exit(
          db.transaction(Effect.andThen(events.publish([one]), Effect.fail("undo"))),
        )
        const undone = yield* events.read(topic, 0, 10)
        yield* db.transaction(events.publish([one]))
        const done = yield* events.read(topic, 0, 10)
        return [undone.length, done.length]
      })
      expect(await Effect.runPromise(Effect.provide(program, layer))).toEqual([0, 1])
    })

    it("refuses a bad event without dooming the caller's transaction", async () => {
      const program = Effect.gen(function* () {
        const db = yield* Database.Database
        const events = yield* Events.Events
        const topic = `bad-${name}`
        yield* db.transaction(
          Effect.gen(function* () {
            yield* Effect.ignore(events.publish([{ ...event, topic, key: "" }]))
            yield* events.publish([{ ...event, topic }])
          }),
        )
        return (yield* events.read(topic, 0, 10)).length
      })
      expect(await Effect.runPromise(Effect.provide(program, layer))).toBe(1)
    })

    it("goes on after a handler that interrupted itself", async () => {
      const program = Effect.gen(function* () {
        const events = yield* Events.Events
        const topic = `interrupted-${name}`
        let calls = 0
        yield* events.consume({ topic, group: "g" }, () =>
          Effect.suspend(() => (++calls === 1 ? Effect.interrupt : Effect.void)),
        )
        yield* events.publish([{ ...event, topic }])
        while (calls < 2) yield* Effect.sleep(10)
        return calls
      })
      expect(await Effect.runPromise(Effect.provide(Effect.scoped(program), layer))).toBe(2)
    })

    it("stops a handler that lost its lease and takes over a silent consumer", async () => {
      const program = Effect.gen(function* () {
        const db = yield* Database.Database
        const events = yield* Events.Events
        const topic = `lease-${name}`
        const log: Array<string> = []
        yield* events.consume({ topic, group: "g" }, () =>
          log.length === 0
            ? Effect.onInterrupt(
                Effect.andThen(
                  Effect.sync(() => void log.push("started")),
                  Effect.never,
                ),
                () => Effect.sync(() => void log.push("stopped")),
              )
            : Effect.sync(() => void log.push("handled")),
        )
        yield* events.publish([{ ...event, topic }])
        while (log.length < 1) yield* Effect.sleep(10)
        // Another host takes the group and falls silent.
        yield* db.run(
          sql`update ashlar_consumer set owner = 'elsewhere/1/x', leased_until = ${Date.now() * 1000 + 300_000} where topic = ${topic}`,
        )
        while (log.length < 3) yield* Effect.sleep(10)
        return log
      })
      const log = await Effect.runPromise(Effect.provide(Effect.scoped(program), layer))
      expect(log).toEqual(["started", "stopped", "handled"])
    })
  })
}
