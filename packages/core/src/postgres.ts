/**
 * Database on PostgreSQL 14 or later, through a pool of pg connections.
 *
 * Isolation is READ COMMITTED, the server's default: guard a read that decides a write with a
 * unique key, a condition in the update, or `forUpdate()`.
 *
 * @module
 */
import type * as Pg from "pg"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { sql } from "kysely"
import { Database, DatabaseError } from "./Database.ts"
import { postgresBuilder } from "./internal/database/compilers.ts"
import { invalid } from "./internal/database/errors.ts"
import { make as makeDatabase } from "./internal/database/make.ts"
import { connect, typeParser } from "./internal/database/PostgresConnection.ts"

/** Where the server is. What is absent comes from the usual `PG*` variables. */
export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`; or give the parts below. */
  readonly url?: string | Redacted.Redacted<string>
  readonly host?: string
  readonly port?: number
  readonly user?: string
  readonly password?: Redacted.Redacted<string>
  readonly database?: string
  /** Connections at most. Default 10. */
  readonly poolSize?: number
  /**
   * Longest time for one statement; beyond it `Timeout`. A server that has not answered 5 s after it
   * is `Unavailable`. Default 60000, 0 for none.
   */
  readonly statementTimeoutMs?: number
  /** Longest wait for a connection. Default 10000. */
  readonly connectTimeoutMs?: number
  /** Schema that holds the tables, made when it does not exist. Default the server's search path. */
  readonly schema?: string
}

const loadDriver: Effect.Effect<
  Pick<typeof Pg, "Client" | "Pool">,
  DatabaseError
> = Effect.tryPromise({
  try: async () => (await import("pg")).default,
  catch: (cause) =>
    new DatabaseError({
      reason: "Unavailable",
      message: "The PostgreSQL database needs the package pg 8.23 or later: npm install pg.",
      cause,
    }),
})

/** What an answer may come late by before the server counts as gone. */
const silenceMs = 5000

const poolConfig = (options: PostgresOptions): Pg.PoolConfig => {
  const { url, host, port, user, password, database, schema } = options
  return {
    ...(url === undefined
      ? {}
      : { connectionString: Redacted.isRedacted(url) ? Redacted.value(url) : url }),
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password: Redacted.value(password) }),
    ...(database === undefined ? {} : { database }),
    ...(schema === undefined ? {} : { options: `-c search_path=${schema}` }),
    max: options.poolSize ?? 10,
    statement_timeout: options.statementTimeoutMs ?? 60_000,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    keepAlive: true,
    allowExitOnIdle: true,
    types: typeParser,
  }
}

const check = (options: PostgresOptions): DatabaseError | undefined => {
  const { poolSize, schema } = options
  for (const field of ["statementTimeoutMs", "connectTimeoutMs"] as const) {
    const ms = options[field] ?? 0
    if (!Number.isInteger(ms) || ms < 0 || ms > 2 ** 30) {
      return invalid(`${field} is ${ms}; use whole milliseconds from 0 to ${2 ** 30}.`, field)
    }
  }
  if (schema !== undefined && !/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    return invalid(
      `schema '${schema}' must be 1 to 63 lower-case letters, digits or '_', not starting with a digit.`,
      "schema",
    )
  }
  if (
    poolSize !== undefined &&
    !(Number.isInteger(poolSize) && poolSize >= 1 && poolSize <= 1000)
  ) {
    return invalid(`poolSize is ${poolSize}; use a whole number from 1 to 1000.`, "poolSize")
  }
  return undefined
}

/** Opens a pool and asks the server whether it is there; the pool closes with the scope. */
export const make: (
  options: PostgresOptions,
) => Effect.Effect<Database["Service"], DatabaseError, Scope.Scope> = Effect.fnUntraced(
  function* (options) {
    const mistake = check(options)
    if (mistake !== undefined) return yield* mistake
    const driver = yield* loadDriver
    const config = poolConfig(options)
    const pool = yield* Effect.acquireRelease(
      Effect.try({
        try: () => {
          // Parses the address now; the error of a later parse would carry the password.
          new driver.Client(config)
          return new driver.Pool(config)
        },
        catch: () =>
          invalid(
            "url is not a PostgreSQL address. Write postgres://user:password@host:port/database.",
            "url",
          ),
      }),
      (opened) => Effect.promise(() => opened.end()),
    )
    const { statementTimeoutMs = 60_000 } = options
    const build = postgresBuilder()
    const db = makeDatabase({
      dialect: "postgres",
      build,
      rowsPerInsert: (columns) => Math.max(1, Math.min(1000, Math.floor(65_535 / columns))),
      ...connect(pool, statementTimeoutMs > 0 ? statementTimeoutMs + silenceMs : 0),
    })
    const { schema } = options
    if (schema === undefined) yield* db.run(sql`select 1`)
    else {
      // "if not exists" alone still fails when two processes make it at once.
      yield* db.transaction(
        Effect.andThen(
          db.run(sql`select pg_advisory_xact_lock(hashtext('ashlar schema'))`),
          db.run(sql`create schema if not exists ${sql.id(schema)}`),
        ),
      )
    }
    return db
  },
)

/**
 * A Database on a PostgreSQL server.
 *
 * @example
 * ```ts no-run
 * import { Database } from "@ashlar/core"
 * import * as Postgres from "@ashlar/core/postgres"
 * import * as Effect from "effect/Effect"
 * import { sql } from "kysely"
 *
 * const program = Effect.gen(function* () {
 *   const db = yield* Database.Database
 *   return yield* db.first(sql<{ answer: number }>`select 42 as answer`)
 * })
 *
 * await Effect.runPromise(
 *   Effect.provide(program, Postgres.layer({ url: "postgres://me@localhost/ashlar" })),
 * )
 * ```
 */
export const layer = (options: PostgresOptions): Layer.Layer<Database, DatabaseError> =>
  Layer.effect(Database, make(options))

const environment = Config.all({
  url: Config.option(Config.Redacted("ASHLAR_PG_URL")),
  schema: Config.option(Config.String("ASHLAR_PG_SCHEMA")),
  poolSize: Config.Int("ASHLAR_PG_POOL_SIZE").pipe(Config.withDefault(10)),
  statementTimeoutMs: Config.Int("ASHLAR_PG_STATEMENT_TIMEOUT_MS").pipe(Config.withDefault(60_000)),
})

/** `ASHLAR_PG_URL`, `_SCHEMA`, `_POOL_SIZE` and `_STATEMENT_TIMEOUT_MS` of the environment. */
export const config: Config.Config<PostgresOptions> = environment.pipe(
  Config.map(({ url, schema, ...rest }) => ({
    ...rest,
    ...(Option.isSome(url) ? { url: url.value } : {}),
    ...(Option.isSome(schema) ? { schema: schema.value } : {}),
  })),
)

/** {@link layer} with options from configuration. */
export const layerConfig = (
  options: Config.Wrap<PostgresOptions> = config,
): Layer.Layer<Database, DatabaseError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
