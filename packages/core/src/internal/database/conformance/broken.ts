import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Database, type DatabaseError } from "../../../Database.ts"
import { layer as sqlite } from "../../../sqlite.ts"
import type { Broken } from "../../../testing/Conformance.ts"

type Service = Database["Service"]

const broken = (
  name: string,
  change: (db: Service) => Partial<Service>,
  mustFail: ReadonlyArray<string>,
): Broken<Database> => ({
  name,
  layer: Layer.effect(
    Database,
    Effect.map(Database, (db): Service => ({ ...db, ...change(db) })),
  ).pipe(Layer.provide(sqlite({ file: ":memory:" }))),
  mustFail,
})

const silent = <A>(effect: Effect.Effect<A, DatabaseError>, value: A) =>
  Effect.orElseSucceed(effect, () => value)

const asText = (row: unknown): unknown =>
  Object.fromEntries(
    Object.entries(row as object).map(([key, value]) => [
      key,
      typeof value === "number" ? String(value) : value,
    ]),
  )

/** Databases with a known mistake each. */
export const brokenLayers: ReadonlyArray<Broken<Database>> = [
  broken(
    "numbers as text, as a driver returns them that nobody configured",
    (db) => {
      const all: Service["all"] = (query) =>
        Effect.map(db.all(query), (rows) => rows.map(asText) as unknown as typeof rows)
      return { all, first: (query) => Effect.map(all(query), (rows) => rows[0]) }
    },
    ["values come back as they went in", "booleans are 1 and 0", "sums and counts are numbers"],
  ),
  broken(
    "errors swallowed",
    (db) => ({
      all: (query) => silent(db.all(query), []),
      run: (query) => silent(db.run(query), { rows: 0 }),
      insertMany: (table, rows, options) =>
        silent(db.insertMany(table, rows, options), { rows: 0 }),
    }),
    [
      "an integer beyond 2^53 is an error, never another number",
      "a value no column holds is InvalidInput and writes nothing",
      "a taken key is AlreadyExists",
      "a broken rule of the table is InvalidInput",
      "a wrong statement is InvalidInput",
      "insertMany refuses rows with other columns",
      "a failing migration leaves nothing behind",
      "a query after its transaction ended is refused",
    ],
  ),
  broken(
    "no transactions",
    () => ({ transaction: (effect) => effect, onCommit: (action) => action }),
    [
      "a transaction rolls back on failure, defect and interruption",
      "no other fiber sees half a transaction",
      "fibers forked inside a transaction belong to it",
      "a nested transaction joins the outer one",
      "a failure inside dooms the transaction, also when it was caught",
      "onCommit runs after the commit, not after a rollback, at once outside",
      "concurrent transactions lose no update",
    ],
  ),
  broken(
    "transactions that never commit",
    (db) => ({
      transaction: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        db
          .transaction(Effect.flatMap(effect, (value) => Effect.fail({ rolledBack: value })))
          .pipe(
            Effect.catch((error) =>
              typeof error === "object" && error !== null && "rolledBack" in error
                ? Effect.succeed(error.rolledBack as A)
                : Effect.fail(error as E | DatabaseError),
            ),
          ),
    }),
    ["a transaction commits when its effect succeeds"],
  ),
  broken(
    "one row too few",
    (db) => ({
      run: (query) => Effect.map(db.run(query), () => ({ rows: 0 })),
      first: (query) => Effect.map(db.all(query), (rows) => rows[1]),
      insertMany: (table, rows, options) => db.insertMany(table, rows.slice(1), options),
      all: (query) => Effect.map(db.all(query), (rows) => rows.slice(0, 9)),
    }),
    [
      "run tells how many rows changed",
      "first gives the first row, or undefined",
      "insertMany inserts more rows than one statement holds",
      "insertMany inserts all rows or none",
      "keyset pages walk every row once, in order",
    ],
  ),
  broken(
    "text in lower case",
    (db) => ({
      all: (query) =>
        Effect.map(db.all(query), (rows) => rows.toSorted((a, b) => compareText(a, b))),
    }),
    ["text sorts by its bytes and LIKE minds case"],
  ),
  broken(
    "prepared queries that keep their first parameters",
    (db) => ({
      prepare: (make, count) => {
        const run = db.prepare(make, count) as (
          ...parameters: ReadonlyArray<unknown>
        ) => Effect.Effect<ReadonlyArray<never>, DatabaseError>
        let first: ReadonlyArray<unknown> | undefined
        return (...parameters) => run(...(first ??= parameters))
      },
    }),
    ["a prepared query binds anew each time"],
  ),
  broken(
    "migrations that are not remembered",
    (db) => ({
      migrate: (_module, migrations) =>
        Effect.gen(function* () {
          for (const { up } of migrations) {
            for (const statement of up(db.build<unknown>(), db.dialect)) {
              yield* db.run(statement)
            }
          }
          return migrations.map(({ id }) => id)
        }),
    }),
    [
      "migrations apply once, in order",
      "a prepared query survives a migration",
      "a database newer than the code is refused",
      "migrations out of order are refused",
      "concurrent migrators apply each migration once",
    ],
  ),
]

const compareText = (a: unknown, b: unknown): number =>
  JSON.stringify(a).toLowerCase() < JSON.stringify(b).toLowerCase() ? -1 : 1
