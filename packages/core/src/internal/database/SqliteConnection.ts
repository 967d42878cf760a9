import type BetterSqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Changes, DatabaseError } from "../../Database.ts"
import type { SqliteOptions } from "../../sqlite.ts"
import { doomed, over, unsafeInteger } from "./errors.ts"
import { Lru } from "./Lru.ts"
import type { Driver } from "./make.ts"
import { bind } from "./parameters.ts"
import { fromSqlite, isBusy } from "./sqlite-errors.ts"
import { reference, Transaction, transactions } from "./Transaction.ts"

type Raw = BetterSqlite.Database
type Values = ReadonlyArray<unknown>
type Row = Record<string, unknown>

/** The part of the driver that needs the connection. */
type SqliteDriver = Pick<
  Driver,
  "all" | "run" | "prepare" | "transaction" | "onCommit" | "tablesChanged"
>

/** A prepared statement and which of its columns may hold integers. */
interface Prepared {
  readonly statement: BetterSqlite.Statement<Array<unknown>, Row>
  readonly returnsRows: boolean
  readonly integers: ReadonlyArray<string>
}

const isUnsafe = (value: unknown): boolean =>
  typeof value === "number" && (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER)

/** Integers read as BigInt become numbers, or the error they are. */
const narrow = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> => {
  for (const row of rows) {
    for (const [column, value] of Object.entries(row)) {
      if (typeof value !== "bigint") continue
      const number = Number(value)
      if (!Number.isSafeInteger(number)) throw unsafeInteger(String(value), column)
      row[column] = number
    }
  }
  return rows
}

const prepareOn = (raw: Raw, sql: string): Prepared => {
  const statement = raw.prepare<Array<unknown>, Row>(sql)
  if (!statement.reader) return { statement, returnsRows: false, integers: [] }
  // A statement that writes cannot run again to see its integers exactly.
  if (!statement.readonly) statement.safeIntegers(true)
  const integers = statement
    .columns()
    .filter(({ type }) => type === null || !/char|clob|text|real|floa|doub|blob/i.test(type))
    .map(({ name }) => name)
  return { statement, returnsRows: true, integers }
}

const readAll = (
  { statement, returnsRows, integers }: Prepared,
  values: Values,
): ReadonlyArray<Row> => {
  const bound = bind(values)
  if (!returnsRows) {
    statement.run(bound)
    return []
  }
  const rows = statement.all(bound)
  if (!statement.readonly) return narrow(rows)
  for (const column of integers) {
    for (const row of rows) {
      // Beyond 2^53 a double cannot tell an integer from a neighbour: look again, exactly.
      if (isUnsafe(row[column])) {
        try {
          return narrow(statement.safeIntegers(true).all(bound))
        } finally {
          statement.safeIntegers(false)
        }
      }
    }
  }
  return rows
}

const runOne = ({ statement, returnsRows }: Prepared, values: Values): Changes =>
  returnsRows
    ? { rows: statement.all(bind(values)).length }
    : { rows: statement.run(bind(values)).changes }

/** One connection: statements, transactions, and waiting for other processes. */
export const connect: (
  raw: Raw,
  options: SqliteOptions & { readonly busyTimeoutMs: number },
) => Effect.Effect<SqliteDriver, DatabaseError> = Effect.fnUntraced(function* (raw, options) {
  const current = reference<Raw>()
  const lock = Semaphore.makeUnsafe(1)
  const cache = new Lru<string, Prepared>(512)
  let generation = 0
  let open: Transaction<Raw> | undefined

  const toError = (cause: unknown): DatabaseError =>
    fromSqlite(cause, options.file, options.busyTimeoutMs)

  /** Runs the work again while another process holds the lock, at most `busyTimeoutMs` long. */
  const patiently = <A>(
    work: () => A,
    restore: <B>(sleep: Effect.Effect<B>) => Effect.Effect<B>,
    started: number,
    attempt: number,
  ): Effect.Effect<A, unknown> =>
    Effect.suspend(() => {
      try {
        return Effect.succeed(work())
      } catch (cause) {
        if (!isBusy(cause) || Date.now() - started >= options.busyTimeoutMs)
          return Effect.fail(cause)
        const delay = Math.min(2 ** attempt, 32) * (0.5 + Math.random())
        return Effect.andThen(
          restore(Effect.sleep(delay)),
          patiently(work, restore, started, attempt + 1),
        )
      }
    })

  /** Runs the work on behalf of the fiber: in its transaction, or when none is open. */
  const guarded = <A>(work: () => A): Effect.Effect<A, DatabaseError> =>
    Effect.withFiber((fiber) => {
      const mine = fiber.getRef(current)
      if (mine !== open) return contended(mine, work)
      if (mine !== undefined && (mine.failed !== undefined || !raw.inTransaction)) {
        return Effect.fail(doomed(mine.failed ?? "SQLite rolled it back"))
      }
      try {
        return Effect.succeed(work())
      } catch (cause) {
        if (mine === undefined && isBusy(cause)) return waiting(work)
        const error = toError(cause)
        if (mine !== undefined) mine.failed = error.message
        return Effect.fail(error)
      }
    })

  const contended = <A>(mine: Transaction<Raw> | undefined, work: () => A) =>
    mine === undefined
      ? Effect.andThen(lock.withPermit(Effect.void), guarded(work))
      : Effect.fail(over())

  /** Another process writes: wait as a transaction would, so that no fiber slips in between. */
  const waiting = <A>(work: () => A): Effect.Effect<A, DatabaseError> =>
    lock.withPermit(
      Effect.suspend(() =>
        Effect.mapError(
          patiently(work, (sleep) => sleep, Date.now(), 0),
          toError,
        ),
      ),
    )

  const lookup = (sql: string): Prepared => {
    const known = cache.get(sql)
    if (known !== undefined) return known
    const prepared = prepareOn(raw, sql)
    cache.set(sql, prepared)
    return prepared
  }

  const end = (transaction: Transaction<Raw>): void => {
    transaction.over = true
    open = undefined
  }

  const rollback = (transaction: Transaction<Raw>): Effect.Effect<void> =>
    Effect.sync(() => {
      end(transaction)
      try {
        if (raw.inTransaction) raw.exec("rollback")
      } catch {
        // A disk that cannot even roll back: without its connection SQLite undoes it on next open.
        raw.close()
      }
    })

  const begin = (restore: <A, E, R>(e: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const beginNow = () => {
        raw.exec("begin immediate")
        open = new Transaction(raw)
        return open
      }
      return Effect.mapError(patiently(beginNow, restore, Date.now(), 0), toError)
    })

  const commit = (transaction: Transaction<Raw>): Effect.Effect<void, DatabaseError> =>
    Effect.suspend(() => {
      const broken = transaction.failed ?? (raw.inTransaction ? undefined : "SQLite rolled it back")
      if (broken !== undefined) {
        return Effect.andThen(rollback(transaction), Effect.fail(doomed(broken)))
      }
      try {
        raw.exec("commit")
        end(transaction)
        return Effect.void
      } catch (cause) {
        return Effect.andThen(rollback(transaction), Effect.fail(toError(cause)))
      }
    })

  const configure = () => {
    raw.pragma("journal_mode = wal")
    raw.pragma(`synchronous = ${options.synchronous === "normal" ? "normal" : "full"}`)
    raw.pragma("foreign_keys = on")
    // LIKE minds case on PostgreSQL; the same query must find the same rows.
    raw.pragma("case_sensitive_like = on")
    if (options.maxBytes !== undefined) {
      const pageSize = Number(raw.pragma("page_size", { simple: true }))
      raw.pragma(`max_page_count = ${Math.max(1, Math.floor(options.maxBytes / pageSize))}`)
    }
  }
  yield* Effect.mapError(
    patiently(configure, (sleep) => sleep, Date.now(), 0),
    toError,
  )

  const driver: SqliteDriver = {
    all: (sql, values) => guarded(() => readAll(lookup(sql), values)),
    run: (sql, values) => guarded(() => runOne(lookup(sql), values)),
    prepare: ({ sql, fill }) => {
      let prepared: Prepared | undefined
      let madeAt = -1
      return (values) =>
        guarded(() => {
          if (prepared === undefined || madeAt !== generation) {
            prepared = prepareOn(raw, sql)
            madeAt = generation
          }
          return readAll(prepared, fill(values))
        })
    },
    tablesChanged: () => {
      cache.clear()
      generation += 1
    },
    ...transactions({
      current,
      exclusive: (effect) => lock.withPermit(effect),
      begin,
      commit,
      rollback,
    }),
  }
  return driver
})
