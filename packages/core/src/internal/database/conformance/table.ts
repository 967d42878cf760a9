import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type Kysely, sql } from "kysely"
import { Database, type DatabaseError, type Migration } from "../../../Database.ts"
import * as Id from "../../../Id.ts"
import type { Case } from "../../../testing/Conformance.ts"

/** A case of the Database suite. */
export type DatabaseCase = Case<Database, object>

/** A row of the suite's table. */
export interface Item {
  readonly id: number
  readonly name: string | null
  readonly score: number | null
  readonly body: Uint8Array | null
}

/** The tables of a case: one, called `item` in its own types. */
export interface Tables {
  readonly item: Item
}

/** A database with an empty table that goes when the case ends. */
export interface Fixture {
  readonly db: Database["Service"]
  readonly build: Kysely<Tables>
  /** The table: for types `item`, in truth a name unique to the case. */
  readonly item: "item"
  readonly add: (id: number, name?: string | null) => Effect.Effect<unknown, DatabaseError>
  readonly ids: Effect.Effect<ReadonlyArray<number>, DatabaseError>
}

/** A name nobody else uses. */
export const uniqueName = (prefix: string): string =>
  `${prefix}_${Id.make().replaceAll("-", "").slice(-20)}`

/** A migration that makes the suite's table under a name. */
export const makeTable = (name: string, id = "0001-item"): Migration => ({
  id,
  up: (build) => [
    build.schema
      .createTable(name)
      .addColumn("id", "bigint", (c) => c.primaryKey())
      .addColumn("name", "text", (c) => c.unique())
      .addColumn("score", "double precision", (c) => c.check(sql`score <> -13`))
      .addColumn("body", "blob"),
  ],
})

/** Drops a table when the case ends. */
export const dropAtEnd = (
  db: Database["Service"],
  name: string,
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.addFinalizer(() =>
    Effect.ignore(db.run(db.build<unknown>().schema.dropTable(name).ifExists())),
  )

/** Runs a case with a fresh table. */
export const withTable = <E>(
  body: (fixture: Fixture) => Effect.Effect<unknown, E, Scope.Scope>,
): Effect.Effect<unknown, E | DatabaseError, Database | Scope.Scope> =>
  Effect.gen(function* () {
    const db = yield* Database
    const name = uniqueName("item")
    yield* dropAtEnd(db, name)
    const build = db.build<Tables>()
    for (const statement of makeTable(name).up(db.build<unknown>(), db.dialect)) {
      yield* db.run(statement)
    }
    const item = name as "item"
    return yield* body({
      db,
      build,
      item,
      add: (id, itemName = null) =>
        db.run(build.insertInto(item).values({ id, name: itemName, score: null, body: null })),
      ids: Effect.map(db.all(build.selectFrom(item).select("id").orderBy("id")), (rows) =>
        rows.map(({ id }) => id),
      ),
    })
  })
