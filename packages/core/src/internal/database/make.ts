import * as Effect from "effect/Effect"
import type { Kysely } from "kysely"
import {
  DatabaseError,
  type Changes,
  type Database,
  type Dialect,
  type Query,
} from "../../Database.ts"
import { invalid } from "./errors.ts"
import { Lru } from "./Lru.ts"
import { migrator } from "./migrate.ts"
import { template, type Template } from "./parameters.ts"

type Rows = Effect.Effect<ReadonlyArray<unknown>, DatabaseError>

/** What a backend does; everything else of a Database is built on it. */
export interface Driver {
  readonly dialect: Dialect
  readonly build: Kysely<unknown>
  /** Rows a multi-row insert carries at most, for so many columns. */
  readonly rowsPerInsert: (columns: number) => number
  readonly all: (sql: string, parameters: ReadonlyArray<unknown>) => Rows
  readonly run: (
    sql: string,
    parameters: ReadonlyArray<unknown>,
  ) => Effect.Effect<Changes, DatabaseError>
  /** For a statement that runs many times. */
  readonly prepare: (template: Template) => (parameters: ReadonlyArray<unknown>) => Rows
  readonly transaction: Database["Service"]["transaction"]
  readonly onCommit: Database["Service"]["onCommit"]
  readonly migrationLock: Effect.Effect<unknown, DatabaseError>
  /** Forgets statements compiled against the tables as they were. */
  readonly tablesChanged: () => void
}

/** Runs what may throw a DatabaseError before anything is sent. */
const attempt = <A>(work: () => Effect.Effect<A, DatabaseError>): Effect.Effect<A, DatabaseError> =>
  Effect.suspend(() => {
    try {
      return work()
    } catch (error) {
      if (error instanceof DatabaseError) return Effect.fail(error)
      return Effect.fail(
        invalid(`The query cannot be compiled: ${error instanceof Error ? error.message : error}`),
      )
    }
  })

/** The values of all rows, row after row, in the order of the first row's columns. */
const flatten = (
  rows: ReadonlyArray<object>,
  columns: ReadonlyArray<string>,
  start: number,
  end: number,
): Array<unknown> => {
  const values = new Array<unknown>((end - start) * columns.length)
  let at = 0
  for (let i = start; i < end; i++) {
    const row = (rows[i] ?? {}) as Readonly<Record<string, unknown>>
    for (const column of columns) {
      const value = row[column]
      if (value === undefined) {
        throw invalid(
          `Row ${i} has no value for column '${column}'. Give every row the columns of the first; null is a value.`,
          `rows[${i}].${column}`,
        )
      }
      values[at++] = value
    }
  }
  return values
}

const checkColumns = (rows: ReadonlyArray<object>, columns: ReadonlyArray<string>): void => {
  for (let i = 1; i < rows.length; i++) {
    let count = 0
    for (const key in rows[i]) {
      if (++count > columns.length) {
        throw invalid(
          `Row ${i} has columns that row 0 does not, such as '${Object.keys(rows[i] ?? {}).find((k) => !columns.includes(k)) ?? key}'. Give every row the same columns.`,
          `rows[${i}]`,
        )
      }
    }
  }
}

const inserter = (driver: Driver): Database["Service"]["insertMany"] => {
  const compiled = new Lru<
    string,
    (parameters: ReadonlyArray<unknown>) => Effect.Effect<Changes, DatabaseError>
  >(64)

  const statement = (
    table: string,
    columns: ReadonlyArray<string>,
    rows: number,
    ignore: boolean,
  ) => {
    const key = JSON.stringify([table, rows, ignore, columns])
    const known = compiled.get(key)
    if (known !== undefined) return known
    const build = driver.build as Kysely<Record<string, Record<string, unknown>>>
    const made = template(
      driver.build,
      (placeholders) => {
        const insert = build
          .insertInto(table)
          .values(
            Array.from({ length: rows }, (_, row) =>
              Object.fromEntries(
                columns.map((c, i) => [c, placeholders[row * columns.length + i]]),
              ),
            ),
          )
        return ignore ? insert.onConflict((conflict) => conflict.doNothing()) : insert
      },
      rows * columns.length,
    )
    const run = (parameters: ReadonlyArray<unknown>) => driver.run(made.sql, parameters)
    compiled.set(key, run)
    return run
  }

  return (table, rows, options) =>
    attempt(() => {
      const first = rows[0]
      if (first === undefined) return Effect.succeed({ rows: 0 })
      const columns = Object.keys(first)
      if (columns.length === 0)
        throw invalid("Row 0 has no columns; nothing can be inserted.", "rows[0]")
      checkColumns(rows, columns)
      const ignore = options?.onConflict === "ignore"
      const size = driver.rowsPerInsert(columns.length)
      const insert = (start: number) => {
        const end = Math.min(start + size, rows.length)
        return statement(table, columns, end - start, ignore)(flatten(rows, columns, start, end))
      }
      if (rows.length <= size) return insert(0)
      return driver.transaction(
        Effect.gen(function* () {
          let changed = 0
          for (let start = 0; start < rows.length; start += size) {
            changed += (yield* attempt(() => insert(start))).rows
          }
          return { rows: changed }
        }),
      )
    })
}

/** A Database from what its backend does. */
export const make = (driver: Driver): Database["Service"] => {
  const all = <Row>(query: Query<Row>): Effect.Effect<ReadonlyArray<Row>, DatabaseError> =>
    attempt(() => {
      const compiled = query.compile(driver.build)
      return driver.all(compiled.sql, compiled.parameters) as Effect.Effect<
        ReadonlyArray<Row>,
        DatabaseError
      >
    })

  const base: Omit<Database["Service"], "migrate"> = {
    dialect: driver.dialect,
    build: <Tables>() => driver.build as Kysely<Tables>,
    all,
    first: (query) => Effect.map(all(query), (rows) => rows[0]),
    run: (query) =>
      attempt(() => {
        const compiled = query.compile(driver.build)
        return driver.run(compiled.sql, compiled.parameters)
      }),
    prepare: <Tables, const Parameters extends ReadonlyArray<unknown>, Row>(
      makeQuery: (build: Kysely<Tables>, parameters: Parameters) => Query<Row>,
      count: Parameters["length"],
    ) => {
      let execute: ((parameters: ReadonlyArray<unknown>) => Rows) | undefined
      const compile = () => {
        const build = driver.build as Kysely<Tables>
        execute = driver.prepare(
          template(driver.build, (p) => makeQuery(build, p as unknown as Parameters), count),
        )
        return execute
      }
      return (...parameters: Parameters) =>
        (execute === undefined
          ? attempt(() => compile()(parameters))
          : execute(parameters)) as Effect.Effect<ReadonlyArray<Row>, DatabaseError>
    },
    insertMany: inserter(driver),
    transaction: driver.transaction,
    onCommit: driver.onCommit,
  }
  const migrate = migrator(base, driver.migrationLock)
  return {
    ...base,
    migrate: (module, migrations) =>
      Effect.tap(migrate(module, migrations), () => Effect.sync(driver.tablesChanged)),
  }
}
