/** A process that works on a database until it is done or killed: `databaseChild.ts <task>`. */
import { Database, Events } from "@ashlar/core"
import * as Outbox from "@ashlar/core/outbox"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import { sql } from "kysely"

const { TEST_SQLITE: file, TEST_PG: url = "", TEST_PG_SCHEMA: schema = "" } = process.env
const layer = file === undefined ? Postgres.layer({ url, schema }) : Sqlite.layer({ file })

const migrations: ReadonlyArray<Database.Migration> = [
  {
    id: "0001-pair",
    up: (build) => [
      build.schema
        .createTable("pair")
        .addColumn("id", "bigint", (c) => c.primaryKey())
        .addColumn("half", "bigint", (c) => c.notNull()),
    ],
  },
  {
    id: "0002-counter",
    up: (build) => [
      build.schema.createTable("counter").addColumn("n", "bigint", (c) => c.notNull()),
      sql`insert into counter values (0)`,
    ],
  },
]

const say = (line: string) => Effect.sync(() => void process.stdout.write(`${line}\n`))

const tasks: Readonly<
  Record<string, (db: Database.Database["Service"]) => Effect.Effect<unknown, unknown>>
> = {
  /** Says which migrations it applied. */
  migrate: (db) => Effect.flatMap(db.migrate("child", migrations), (ids) => say(ids.join(","))),
  /** Writes pairs for ever, each pair in a transaction, and says each number once committed. */
  pairs: (db) =>
    Effect.gen(function* () {
      for (let i = 0; ; i++) {
        yield* db.transaction(
          Effect.gen(function* () {
            yield* db.run(sql`insert into pair values (${2 * i}, ${i})`)
            yield* Effect.yieldNow
            yield* db.run(sql`insert into pair values (${2 * i + 1}, ${i})`)
          }),
        )
        yield* say(String(i))
      }
    }),
  /** Counts to 150, reading and writing in one transaction each. */
  count: (db) =>
    Effect.gen(function* () {
      for (let i = 0; i < 150; i++) {
        yield* db.transaction(
          Effect.gen(function* () {
            const row = yield* db.first(
              db.build<{ counter: { n: number } }>().selectFrom("counter").select("n").forUpdate(),
            )
            yield* db.run(sql`update counter set n = ${(row?.n ?? 0) + 1}`)
          }),
        )
      }
      yield* say("done")
    }),
  /** Consumes events one by one until killed, and says each key before it is acknowledged. */
  consume: (db) =>
    Effect.gen(function* () {
      const events = yield* Events.Events
      yield* events.consume({ topic: "work", group: "g", batch: 1 }, ([event]) =>
        Effect.andThen(say(event?.key ?? ""), Effect.sleep(10)),
      )
      yield* Effect.never
    }).pipe(
      Effect.scoped,
      Effect.provide(Outbox.layer({ leaseMs: 60_000, pollMs: 50 })),
      Effect.provideService(Database.Database, db),
    ),
}

const task = tasks[process.argv[2] ?? ""]
if (task === undefined) throw new Error("name a task")
await Effect.runPromise(Effect.provide(Effect.flatMap(Database.Database, task), layer))
