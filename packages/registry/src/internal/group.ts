import type { Database } from "@ashlar/core"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { RegistryError } from "../RegistryError.ts"

type Failure = Database.DatabaseError | RegistryError
type Work = Effect.Effect<void, Failure>

interface Waiting {
  readonly work: Work
  readonly done: Deferred.Deferred<void, Failure>
}

/** Most writes of one transaction. */
const most = 64

/** Lets the requests that lie in sockets come in. */
const pause: Effect.Effect<void> = Effect.callback((resume) => {
  setImmediate(() => resume(Effect.void))
})

/**
 * Runs writes in transactions, those that come at the same time in one: on SQLite each commit waits
 * for the disk, and nothing else goes on meanwhile. A write is acknowledged when its transaction is on
 * the disk. Where one of a group fails, all of it is undone and each runs in a transaction of its own,
 * so that no write ever fails for another's sake.
 */
export const make = (
  db: Database.Database["Service"],
  context: Context.Context<never>,
): ((work: Work) => Work) => {
  // PostgreSQL's connections commit side by side, and it puts their commits together itself.
  if (db.dialect !== "sqlite") return (work) => db.transaction(work)
  const waiting: Array<Waiting> = []
  let running = false

  const alone = ({ work, done }: Waiting) =>
    Effect.flatMap(Effect.exit(db.transaction(work)), (exit) => Deferred.done(done, exit))

  const together = Effect.fnUntraced(function* (group: ReadonlyArray<Waiting>) {
    const all = Effect.forEach(group, ({ work }) => work, { discard: true })
    const exit = group.length === 1 ? undefined : yield* Effect.exit(db.transaction(all))
    const apart = exit === undefined || Exit.isFailure(exit)
    yield* Effect.forEach(
      group,
      (one) => (apart ? alone(one) : Deferred.succeed(one.done, undefined)),
      { discard: true },
    )
  })

  const drain = Effect.gen(function* () {
    while (waiting.length > 0) {
      yield* pause
      yield* together(waiting.splice(0, most))
    }
    running = false
  })

  return (work) =>
    Effect.gen(function* () {
      let inside = true
      // Runs at once outside of a transaction; inside of one, the write belongs to it.
      yield* db.onCommit(
        Effect.sync(() => {
          inside = false
        }),
      )
      if (inside) return yield* db.transaction(work)
      const done = Deferred.makeUnsafe<void, Failure>()
      waiting.push({ work, done })
      if (!running) {
        running = true
        // Not the caller's fiber: who goes away does not take the others' writes along.
        Effect.runForkWith(context)(drain)
      }
      return yield* Deferred.await(done)
    })
}
