/**
 * SPI: a relational database behind one dialect-neutral query set. Backends: `sqlite`, `postgres`.
 *
 * Queries are built with Kysely and carry their result type; the backend compiles and runs them.
 * Portable column types: `text`, `bigint` (integers and microsecond timestamps; JS numbers, an
 * error beyond 2^53), `double precision`, `blob`, JSON as `text`, booleans as `bigint` 0 or 1.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { CompiledQuery, Kysely, QueryExecutorProvider } from "kysely"
import * as Failure from "./Failure.ts"

/** A statement failed. `Conflict`: a lock or serialisation clash, safe to try again. */
export class DatabaseError extends Schema.TaggedError<DatabaseError>()(
  "DatabaseError",
  Failure.fields([
    "InvalidInput",
    "AlreadyExists",
    "Conflict",
    "PreconditionFailed",
    "Corrupt",
    "OutOfSpace",
    "Unavailable",
    "Timeout",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Anything Kysely can compile (a query, a schema statement, `sql`), with the row type it returns. */
export interface Query<Row> {
  compile(provider: QueryExecutorProvider): CompiledQuery<Row>
}

/** A forward migration. Statements run in one transaction, in order. */
export interface Migration {
  /** Sorts the migrations of a module and never changes, e.g. `0001-runs`. */
  readonly id: string
  /** Statements for the dialect, built with the schema builder or `sql`. */
  readonly up: (build: Kysely<unknown>, dialect: Dialect) => ReadonlyArray<Query<unknown>>
}

/** The SQL dialects there are. */
export type Dialect = "sqlite" | "postgres"

/** What a statement changed. */
export interface Changes {
  readonly rows: number
}

/** Runs queries. Inside `transaction`, every query of the same fiber uses that transaction. */
export class Database extends Context.Service<
  Database,
  {
    readonly dialect: Dialect
    /** A builder that makes queries and runs none; give it the module's own table types. */
    readonly build: <Tables>() => Kysely<Tables>
    readonly all: <Row>(query: Query<Row>) => Effect.Effect<ReadonlyArray<Row>, DatabaseError>
    readonly first: <Row>(query: Query<Row>) => Effect.Effect<Row | undefined, DatabaseError>
    readonly run: (query: Query<unknown>) => Effect.Effect<Changes, DatabaseError>
    /**
     * Compiles once, runs many times. `build` gets placeholders for the parameters, in order:
     * `db.prepare((build, [id]) => build.selectFrom("run").selectAll().where("id", "=", id))`.
     */
    readonly prepare: <Tables, const Parameters extends ReadonlyArray<unknown>, Row>(
      make: (build: Kysely<Tables>, parameters: Parameters) => Query<Row>,
      count: Parameters["length"],
    ) => (...parameters: Parameters) => Effect.Effect<ReadonlyArray<Row>, DatabaseError>
    /** Inserts many rows with the same columns, in as few statements as the dialect allows. */
    readonly insertMany: (
      table: string,
      rows: ReadonlyArray<object>,
      options?: { readonly onConflict?: "fail" | "ignore" },
    ) => Effect.Effect<Changes, DatabaseError>
    /**
     * Runs the effect in a transaction: committed when it succeeds, rolled back when it fails or
     * is interrupted. Nested calls join the outer transaction. A statement or a nested call that
     * failed dooms the whole transaction on every dialect, also when its error was caught: later
     * statements and the commit fail with `PreconditionFailed`. On SQLite it takes the write lock
     * at once (BEGIN IMMEDIATE).
     */
    readonly transaction: <A, E, R>(
      effect: Effect.Effect<A, E, R>,
    ) => Effect.Effect<A, E | DatabaseError, R>
    /** Runs the action after the current transaction commits; at once outside of one. */
    readonly onCommit: (action: Effect.Effect<void>) => Effect.Effect<void>
    /** Applies a module's migrations that were not yet applied; safe to call from many processes. */
    readonly migrate: (
      module: string,
      migrations: ReadonlyArray<Migration>,
    ) => Effect.Effect<ReadonlyArray<string>, DatabaseError>
  }
>()("@ashlar/core/Database/v1") {}
