import * as Effect from "effect/Effect"
import { DatabaseError, type Database, type Migration } from "../../Database.ts"
import { isName } from "../../Name.ts"
import { now } from "../../Timestamp.ts"
import { invalid } from "./errors.ts"

interface Tables {
  readonly ashlar_migration: {
    readonly module: string
    readonly id: string
    readonly applied: number
  }
}

const refuse = (message: string) => new DatabaseError({ reason: "PreconditionFailed", message })

const checkList = (
  module: string,
  migrations: ReadonlyArray<Migration>,
): DatabaseError | undefined => {
  if (!isName(module)) return invalid(`'${module}' is not a module name.`, "module")
  for (const [i, { id }] of migrations.entries()) {
    if (!isName(id)) return invalid(`'${id}' is not a migration id.`, `migrations[${i}].id`)
    const before = migrations[i - 1]
    if (before !== undefined && before.id >= id) {
      return invalid(
        `Migrations of '${module}' must be sorted by id, each once: '${before.id}' comes before '${id}'.`,
        `migrations[${i}].id`,
      )
    }
  }
  return undefined
}

/** The migrations still to apply, or why the database and the code do not fit. */
const pendingOf = (
  module: string,
  migrations: ReadonlyArray<Migration>,
  applied: ReadonlyArray<string>,
): ReadonlyArray<Migration> | DatabaseError => {
  const known = new Set(migrations.map(({ id }) => id))
  const unknown = applied.filter((id) => !known.has(id))
  if (unknown.length > 0) {
    return refuse(
      `The database has migrations of '${module}' that this version does not know: ${unknown.join(", ")}. A newer version wrote it: upgrade this one, or restore a backup.`,
    )
  }
  const done = new Set(applied)
  const last = applied.at(-1) ?? ""
  const pending = migrations.filter(({ id }) => !done.has(id))
  const late = pending.find(({ id }) => id < last)
  return late === undefined
    ? pending
    : refuse(
        `Migration '${late.id}' of '${module}' was never applied but the later '${last}' was. Give it an id after '${last}'.`,
      )
}

/**
 * Migrations go forward only, all pending ones of a module in one transaction, one process at a
 * time. `lock` is the dialect's own: the write lock that SQLite's BEGIN IMMEDIATE took already, an
 * advisory lock on PostgreSQL.
 */
export const migrator =
  (
    db: Omit<Database["Service"], "migrate">,
    lock: Effect.Effect<unknown, DatabaseError>,
  ): Database["Service"]["migrate"] =>
  (module, migrations) =>
    Effect.suspend(() => {
      const mistake = checkList(module, migrations)
      return mistake === undefined
        ? db.transaction(apply(db, lock, module, migrations))
        : Effect.fail(mistake)
    })

const apply = Effect.fnUntraced(function* (
  db: Omit<Database["Service"], "migrate">,
  lock: Effect.Effect<unknown, DatabaseError>,
  module: string,
  migrations: ReadonlyArray<Migration>,
) {
  yield* lock
  const build = db.build<Tables>()
  yield* db.run(
    build.schema
      .createTable("ashlar_migration")
      .ifNotExists()
      .addColumn("module", "text", (c) => c.notNull())
      .addColumn("id", "text", (c) => c.notNull())
      .addColumn("applied", "bigint", (c) => c.notNull())
      .addPrimaryKeyConstraint("ashlar_migration_pk", ["module", "id"]),
  )
  const rows = yield* db.all(
    build.selectFrom("ashlar_migration").select("id").where("module", "=", module).orderBy("id"),
  )
  const pending = pendingOf(
    module,
    migrations,
    rows.map(({ id }) => id),
  )
  if (pending instanceof DatabaseError) return yield* pending
  for (const { id, up } of pending) {
    for (const statement of up(db.build<unknown>(), db.dialect)) yield* db.run(statement)
    yield* db.run(build.insertInto("ashlar_migration").values({ module, id, applied: now() }))
  }
  return pending.map(({ id }) => id)
})
