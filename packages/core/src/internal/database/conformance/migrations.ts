import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { sql } from "kysely"
import { Database, type Migration } from "../../../Database.ts"
import { equal, fails } from "../../../testing/Conformance.ts"
import { type DatabaseCase, dropAtEnd, makeTable, uniqueName, type Tables } from "./table.ts"

const addColumn = (name: string, id = "0002-extra"): Migration => ({
  id,
  up: (build) => [
    build.schema.alterTable(name).addColumn("extra", "bigint", (c) => c.notNull().defaultTo(7)),
  ],
})

const broken = (id: string): Migration => ({ id, up: () => [sql`selct 1`] })

const withModule = <E>(
  body: (db: Database["Service"], module: string) => Effect.Effect<unknown, E, Scope.Scope>,
) =>
  Effect.gen(function* () {
    const db = yield* Database
    const module = uniqueName("module")
    yield* dropAtEnd(db, module)
    return yield* body(db, module)
  })

/** Forward, once, in order, one process at a time. */
export const migrationCases: ReadonlyArray<DatabaseCase> = [
  {
    name: "migrations apply once, in order",
    promise: false,
    run: withModule((db, module) =>
      Effect.gen(function* () {
        const first = [makeTable(module)]
        const both = [...first, addColumn(module)]
        yield* equal(yield* db.migrate(module, first), ["0001-item"], "the first time")
        yield* db.insertMany(module, [{ id: 1 }])
        yield* equal(yield* db.migrate(module, both), ["0002-extra"], "the second time")
        yield* equal(yield* db.migrate(module, both), [], "the third time")
        const row = yield* db.first(sql<{ extra: number }>`select extra from ${sql.table(module)}`)
        yield* equal(row?.extra, 7, "the new column")
      }),
    ),
  },
  {
    name: "a prepared query survives a migration",
    promise: false,
    run: withModule((db, module) =>
      Effect.gen(function* () {
        yield* db.migrate(module, [makeTable(module)])
        yield* db.insertMany(module, [{ id: 1 }])
        const get = db.prepare<Tables, readonly [number], object>(
          (build, [id]) =>
            build
              .selectFrom(module as "item")
              .selectAll()
              .where("id", "=", id),
          1,
        )
        yield* get(1)
        yield* db.migrate(module, [makeTable(module), addColumn(module)])
        const [row] = yield* get(1)
        yield* equal(Object.keys(row ?? {}).includes("extra"), true, "the new column is there")
      }),
    ),
  },
  {
    name: "a failing migration leaves nothing behind",
    promise: false,
    run: withModule((db, module) =>
      Effect.gen(function* () {
        yield* fails(db.migrate(module, [makeTable(module), broken("0002-broken")]), "InvalidInput")
        yield* fails(db.insertMany(module, [{ id: 1 }]), "InvalidInput")
        yield* equal(yield* db.migrate(module, [makeTable(module)]), ["0001-item"], "afterwards")
      }),
    ),
  },
  {
    name: "a database newer than the code is refused",
    promise: false,
    run: withModule((db, module) =>
      Effect.gen(function* () {
        yield* db.migrate(module, [makeTable(module), addColumn(module)])
        yield* fails(db.migrate(module, [makeTable(module)]), "PreconditionFailed")
      }),
    ),
  },
  {
    name: "migrations out of order are refused",
    promise: false,
    run: withModule((db, module) =>
      Effect.gen(function* () {
        const list = [addColumn(module), makeTable(module)]
        yield* fails(db.migrate(module, list), "InvalidInput")
        yield* fails(db.migrate("no/module", []), "InvalidInput")
        yield* db.migrate(module, [makeTable(module, "0005-item")])
        const late = [addColumn(module, "0004-late"), makeTable(module, "0005-item")]
        yield* fails(db.migrate(module, late), "PreconditionFailed")
      }),
    ),
  },
  {
    name: "concurrent migrators apply each migration once",
    promise: false,
    run: withModule((db, module) =>
      Effect.gen(function* () {
        const list = [makeTable(module), addColumn(module)]
        const applied = yield* Effect.forEach(
          Array.from({ length: 6 }),
          () => db.migrate(module, list),
          { concurrency: "unbounded" },
        )
        yield* equal(applied.flat().toSorted(), ["0001-item", "0002-extra"], "applied")
      }),
    ),
  },
]
