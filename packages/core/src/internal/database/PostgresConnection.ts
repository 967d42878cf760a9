import { createHash } from "node:crypto"
import { Socket } from "node:net"
import type * as Pg from "pg"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { DatabaseError } from "../../Database.ts"
import { doomed, over, unsafeInteger } from "./errors.ts"
import type { Driver } from "./make.ts"
import { bind } from "./parameters.ts"
import { fromPostgres, isStalePlan } from "./postgres-errors.ts"
import { reference, Transaction, transactions } from "./Transaction.ts"

type Row = Record<string, unknown>

const toInteger = (text: string): number => {
  const value = Number(text)
  if (Number.isSafeInteger(value)) return value
  throw unsafeInteger(text)
}

// The sum of bigint columns is a numeric; as on SQLite it is a number, and exact or an error.
const toNumeric = (text: string): number => (/^-?\d+$/.test(text) ? toInteger(text) : Number(text))

const parsers: ReadonlyMap<number, (text: string) => unknown> = new Map<
  number,
  (text: string) => unknown
>([
  [16, (text) => (text === "t" ? 1 : 0)],
  [17, (text) => Buffer.from(text.slice(2), "hex")],
  [20, toInteger],
  [21, Number],
  [23, Number],
  [26, Number],
  [700, Number],
  [701, Number],
  [1700, toNumeric],
])
const asText = (text: string): unknown => text

/** Reads values as SQLite returns them: numbers, strings and bytes; booleans as 1 and 0. */
export const typeParser = {
  getTypeParser: (oid: number) => parsers.get(oid) ?? asText,
} as Pg.CustomTypesConfig

/** A checked-out client; statements on it go one after another. */
interface Connection {
  readonly client: Pg.PoolClient
  readonly turn: Semaphore.Semaphore
  /** A statement was sent and its answer has not come. */
  busy: boolean
}

const query = (
  target: Pg.Pool | Pg.PoolClient,
  statement: Pg.QueryConfig,
  settled?: () => void,
): Effect.Effect<Pg.QueryResult<Row>, unknown> =>
  Effect.callback((resume) => {
    target.query<Row>(statement, (cause: Error | undefined, result: Pg.QueryResult<Row>) => {
      settled?.()
      resume(cause ? Effect.fail(cause) : Effect.succeed(result))
    })
  })

/**
 * The server ends a slow statement itself; one that no packet reaches any more does not. A timer of
 * the socket's own costs a statement nothing, where one for each query would.
 */
const cutWhenSilent = (client: Pg.PoolClient, silentMs: number): void => {
  const connection: unknown = Reflect.get(client, "connection")
  const stream: unknown =
    typeof connection === "object" && connection !== null
      ? Reflect.get(connection, "stream")
      : undefined
  if (!(stream instanceof Socket)) return
  stream.setTimeout(silentMs, () => {
    if (Reflect.get(client, "_activeQuery") != null) {
      stream.destroy(new Error(`the server has not answered for ${silentMs} ms`))
    }
  })
}

/** Statements and transactions on a pool; a server silent for longer than `silentMs` is gone, 0 for never. */
export const connect = (
  pool: Pg.Pool,
  silentMs: number,
): Omit<Driver, "dialect" | "build" | "rowsPerInsert"> => {
  const current = reference<Connection>()
  let generation = 0

  // An idle connection that dies is dropped by the pool; without a listener Node would exit.
  pool.on("error", () => {})
  if (silentMs > 0) pool.on("connect", (client) => cutWhenSilent(client, silentMs))

  const inTransaction = (
    transaction: Transaction<Connection>,
    statement: Pg.QueryConfig,
  ): Effect.Effect<Pg.QueryResult<Row>, DatabaseError> => {
    const { connection } = transaction
    return connection.turn.withPermit(
      Effect.suspend(() => {
        if (transaction.over) return Effect.fail(over())
        if (transaction.failed !== undefined) return Effect.fail(doomed(transaction.failed))
        connection.busy = true
        return query(connection.client, statement, () => {
          connection.busy = false
        }).pipe(
          Effect.mapError((cause) => {
            if (isStalePlan(cause)) generation += 1
            const error = fromPostgres(cause)
            transaction.failed = error.message
            return error
          }),
        )
      }),
    )
  }

  const execute = (statement: Pg.QueryConfig): Effect.Effect<Pg.QueryResult<Row>, DatabaseError> =>
    Effect.withFiber((fiber) => {
      const transaction = fiber.getRef(current)
      return transaction === undefined
        ? Effect.mapError(query(pool, statement), fromPostgres)
        : inTransaction(transaction, statement)
    })

  const send = (text: string, values: ReadonlyArray<unknown>) =>
    execute({ text, values: bind(values) as Array<unknown> })

  const end = (transaction: Transaction<Connection>, broken: boolean): void => {
    const { client } = transaction.connection
    transaction.over = true
    if (!broken) client.removeListener("error", ignore)
    client.release(broken)
  }

  const begin = Effect.callback<Pg.PoolClient, unknown>((resume) => {
    pool.connect((cause, client) =>
      resume(client === undefined ? Effect.fail(cause) : Effect.succeed(client)),
    )
  }).pipe(
    Effect.flatMap((client) => {
      // The pool listens only while a client is idle.
      client.on("error", ignore)
      return Effect.matchEffect(query(client, { text: "begin" }), {
        onFailure: (cause) => {
          client.release(true)
          return Effect.fail(cause)
        },
        onSuccess: () =>
          Effect.succeed(
            new Transaction<Connection>({ client, turn: Semaphore.makeUnsafe(1), busy: false }),
          ),
      })
    }),
    Effect.mapError(fromPostgres),
  )

  const rollback = (transaction: Transaction<Connection>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { client, busy } = transaction.connection
      if (!busy) {
        return Effect.match(query(client, { text: "rollback" }), {
          onFailure: () => end(transaction, true),
          onSuccess: () => end(transaction, false),
        })
      }
      // Interrupted while a statement runs: drop the connection, which rolls back, and ask the
      // server to stop the statement, whose locks would otherwise stay until it is through.
      const processId: unknown = Reflect.get(client, "processID")
      end(transaction, true)
      if (typeof processId !== "number") return Effect.void
      return Effect.sync(() => {
        pool.query("select pg_cancel_backend($1)", [processId]).catch(ignore)
      })
    })

  const commit = (transaction: Transaction<Connection>): Effect.Effect<void, DatabaseError> =>
    Effect.suspend(() => {
      const { failed } = transaction
      if (failed !== undefined) {
        return Effect.andThen(rollback(transaction), Effect.fail(doomed(failed)))
      }
      return Effect.matchEffect(query(transaction.connection.client, { text: "commit" }), {
        onFailure: (cause) => {
          end(transaction, true)
          return Effect.fail(uncertain(cause))
        },
        onSuccess: ({ command }) => {
          end(transaction, false)
          return command === "COMMIT"
            ? Effect.void
            : Effect.fail(doomed("PostgreSQL rolled it back"))
        },
      })
    })

  return {
    all: (text, values) => Effect.map(send(text, values), ({ rows }) => rows),
    run: (text, values) =>
      Effect.map(send(text, values), ({ rowCount }) => ({ rows: rowCount ?? 0 })),
    prepare: ({ sql, fill }) => {
      const digest = createHash("sha256").update(sql).digest("base64url").slice(0, 22)
      const once = (values: ReadonlyArray<unknown>) =>
        Effect.suspend(() =>
          execute({ name: `${digest}_${generation}`, text: sql, values: values as Array<unknown> }),
        )
      return (parameters) =>
        Effect.withFiber<ReadonlyArray<Row>, DatabaseError>((fiber) => {
          const values = boundOrError(fill, parameters)
          if (values instanceof DatabaseError) return Effect.fail(values)
          const result = Effect.catch(once(values), (error) => {
            if (fiber.getRef(current) !== undefined || !isStalePlan(error.cause))
              return Effect.fail(error)
            generation += 1
            return once(values)
          })
          return Effect.map(result, ({ rows }) => rows)
        })
    },
    migrationLock: send("select pg_advisory_xact_lock(hashtext('ashlar migration'))", []),
    tablesChanged: () => {
      generation += 1
    },
    ...transactions({
      current,
      exclusive: (effect) => effect,
      begin: () => begin,
      commit,
      rollback,
    }),
  }
}

const ignore = (): void => {}

const boundOrError = (
  fill: (parameters: ReadonlyArray<unknown>) => ReadonlyArray<unknown>,
  parameters: ReadonlyArray<unknown>,
): ReadonlyArray<unknown> | DatabaseError => {
  try {
    return bind(fill(parameters))
  } catch (error) {
    if (error instanceof DatabaseError) return error
    throw error
  }
}

/** The connection broke while the commit was on its way: nobody knows what the server did. */
const uncertain = (cause: unknown): DatabaseError => {
  const error = fromPostgres(cause)
  if (error.reason !== "Unavailable") return error
  return new DatabaseError({
    reason: "Unavailable",
    message: `The connection broke during the commit; the transaction is either whole or not at all in the database. Look before you run it again. (${error.message})`,
    cause,
  })
}
