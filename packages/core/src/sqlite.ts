/**
 * Database on SQLite, through better-sqlite3: one file, one connection, WAL.
 *
 * What was acknowledged survives a crash of the process and of the machine (`synchronous=FULL`).
 * Other processes may use the same file: a lock is waited for without blocking the event loop.
 *
 * @module
 */
import * as fs from "node:fs"
import * as path from "node:path"
import type BetterSqlite from "better-sqlite3"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Database, DatabaseError } from "./Database.ts"
import { sqliteBuilder } from "./internal/database/compilers.ts"
import { make as makeDatabase } from "./internal/database/make.ts"
import { fromSqlite } from "./internal/database/sqlite-errors.ts"
import { connect } from "./internal/database/SqliteConnection.ts"

/** Where the data lies and how careful to be with it. */
export interface SqliteOptions {
  /** A file, made with its folders when it does not exist, or `:memory:`. */
  readonly file: string
  /** How long to wait for another process's lock before failing with `Conflict`. Default 10000. */
  readonly busyTimeoutMs?: number
  /**
   * `full` (default): a commit is on the disk when it returns. `normal`: faster; after a power
   * cut the last commits may be gone, a crash of the process loses nothing.
   */
  readonly synchronous?: "full" | "normal"
  /** Size limit in bytes; beyond it statements fail with `OutOfSpace`. Default none. */
  readonly maxBytes?: number
}

const loadDriver: Effect.Effect<typeof BetterSqlite, DatabaseError> = Effect.tryPromise({
  try: async () => (await import("better-sqlite3")).default,
  catch: (cause) =>
    new DatabaseError({
      reason: "Unavailable",
      message:
        "The SQLite database needs the package better-sqlite3 13 or later: npm install better-sqlite3.",
      cause,
    }),
})

const makeFolder = (file: string): Effect.Effect<void, DatabaseError> =>
  Effect.try({
    try: () => {
      if (file !== ":memory:") fs.mkdirSync(path.dirname(path.resolve(file)), { recursive: true })
    },
    catch: (cause) =>
      new DatabaseError({
        reason: "Unavailable",
        message: `The folder of ${file} cannot be made. Check the path and its permissions.`,
        field: "file",
        cause,
      }),
  })

/** Opens the database; it closes with the scope. */
export const make: (
  options: SqliteOptions,
) => Effect.Effect<Database["Service"], DatabaseError, Scope.Scope> = Effect.fnUntraced(
  function* (options) {
    if (options.file === "") {
      return yield* new DatabaseError({
        reason: "InvalidInput",
        message: "file is empty. Name a file, or ':memory:'.",
        field: "file",
      })
    }
    const Driver = yield* loadDriver
    yield* makeFolder(options.file)
    const busyTimeoutMs = options.busyTimeoutMs ?? 10_000
    const raw = yield* Effect.acquireRelease(
      Effect.try({
        // Timeout 0: waiting happens in Effect, where it blocks nobody else.
        try: () => new Driver(options.file, { timeout: 0 }),
        catch: (cause) => fromSqlite(cause, options.file, busyTimeoutMs),
      }),
      (opened) => Effect.sync(() => opened.close()),
    )
    const connection = yield* connect(raw, { ...options, busyTimeoutMs })
    return makeDatabase({
      dialect: "sqlite",
      build: sqliteBuilder(),
      // One statement a row would do on SQLite too, but crossing into C once a batch is faster.
      rowsPerInsert: (columns) => Math.max(1, Math.min(64, Math.floor(32_766 / columns))),
      migrationLock: Effect.void,
      ...connection,
    })
  },
)

/**
 * A Database in a SQLite file.
 *
 * @example
 * ```ts
 * import { Database } from "@ashlar/core"
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import * as Effect from "effect/Effect"
 * import { sql } from "kysely"
 *
 * const program = Effect.gen(function* () {
 *   const db = yield* Database.Database
 *   return yield* db.first(sql<{ answer: number }>`select 42 as answer`)
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Sqlite.layer({ file: ":memory:" }))) // => { answer: 42 }
 * ```
 */
export const layer = (options: SqliteOptions): Layer.Layer<Database, DatabaseError> =>
  Layer.effect(Database, make(options))

/** The settings of the environment: `ASHLAR_SQLITE_FILE`, `_BUSY_TIMEOUT_MS`, `_SYNCHRONOUS`. */
export const config: Config.Config<SqliteOptions> = Config.all({
  file: Config.String("ASHLAR_SQLITE_FILE").pipe(Config.withDefault("ashlar.db")),
  busyTimeoutMs: Config.Int("ASHLAR_SQLITE_BUSY_TIMEOUT_MS").pipe(Config.withDefault(10_000)),
  synchronous: Config.Literals(["full", "normal"], "ASHLAR_SQLITE_SYNCHRONOUS").pipe(
    Config.withDefault("full" as const),
  ),
})

/** {@link layer} with options from configuration. */
export const layerConfig = (
  options: Config.Wrap<SqliteOptions> = config,
): Layer.Layer<Database, DatabaseError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
