import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { DatabaseError } from "../../Database.ts"

/** An open transaction and what must happen with it. */
export class Transaction<Connection> {
  readonly connection: Connection
  /** Why it can only roll back, once something in it failed. */
  failed: string | undefined = undefined
  over = false
  readonly afterCommit: Array<Effect.Effect<void>> = []

  constructor(connection: Connection) {
    this.connection = connection
  }
}

let instances = 0

/**
 * The fiber's transaction. Each database has its own reference: with two databases, a transaction
 * on one must not be taken for a transaction on the other.
 */
export const reference = <Connection>(): Context.Reference<Transaction<Connection> | undefined> =>
  Context.Reference<Transaction<Connection> | undefined>(
    `@ashlar/core/Database/transaction/${++instances}`,
    {
      defaultValue: () => undefined,
    },
  )

/** How a driver opens and ends transactions. */
export interface Ends<Connection> {
  readonly current: Context.Reference<Transaction<Connection> | undefined>
  /** Keeps others out for as long as the effect runs. */
  readonly exclusive: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Called uninterruptibly; `restore` is for waiting. */
  readonly begin: (
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
  ) => Effect.Effect<Transaction<Connection>, DatabaseError>
  readonly commit: (transaction: Transaction<Connection>) => Effect.Effect<void, DatabaseError>
  /** Never fails: what cannot be rolled back is disconnected. */
  readonly rollback: (transaction: Transaction<Connection>) => Effect.Effect<void>
}

/** `Database.transaction` and `Database.onCommit` for a driver. */
export const transactions = <Connection>(ends: Ends<Connection>) => {
  const outermost = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      let committed: Transaction<Connection> | undefined
      const run = Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(ends.begin(restore), (opened) =>
          Effect.matchCauseEffect(restore(Effect.provideService(effect, ends.current, opened)), {
            onFailure: (cause) => Effect.andThen(ends.rollback(opened), Effect.failCause(cause)),
            onSuccess: (value) =>
              Effect.map(ends.commit(opened), () => {
                committed = opened
                return value
              }),
          }),
        ),
      )
      // What waits for the commit may query, so it runs after the lock is free; and it runs
      // also when an interruption arrived after the commit.
      return Effect.onExit(ends.exclusive(run), () =>
        Effect.forEach(committed?.afterCommit ?? [], (action) => action, { discard: true }),
      )
    })

  const transaction = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
  ): Effect.Effect<A, E | DatabaseError, R> =>
    Effect.withFiber<A, E | DatabaseError, R>((fiber) => {
      const outer = fiber.getRef(ends.current)
      if (outer === undefined || outer.over) return outermost(effect)
      return Effect.onExit(effect, (exit) =>
        Effect.sync(() => {
          if (exit._tag === "Failure") outer.failed ??= "a nested transaction failed"
        }),
      )
    })

  const onCommit = (action: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.withFiber((fiber) => {
      const current = fiber.getRef(ends.current)
      if (current === undefined || current.over) return action
      current.afterCommit.push(action)
      return Effect.void
    })

  return { transaction, onCommit }
}
