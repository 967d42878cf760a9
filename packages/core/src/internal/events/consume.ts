import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Database, DatabaseError } from "../../Database.ts"
import type { Event } from "../../Events.ts"
import { leases, ownerName } from "./lease.ts"
import type { Wakeups } from "./Wakeups.ts"

/** How a consumer behaves. */
export interface ConsumeOptions {
  readonly topic: string
  readonly group: string
  readonly batch: number
  readonly pollMs: number
  readonly leaseMs: number
}

const backoffMs = (attempt: number): number =>
  Math.min(30_000, 100 * 2 ** Math.min(attempt, 10)) * (0.75 + Math.random() / 2)

/**
 * Feeds the handler until the scope closes. Only one consumer of a group runs at a time, kept by a
 * lease: the others stand by and take over when it ends or dies.
 */
export const consumer = <E, R>(
  db: Database["Service"],
  wakeups: Wakeups,
  read: (
    topic: string,
    after: number,
    limit: number,
  ) => Effect.Effect<ReadonlyArray<Event>, DatabaseError>,
  options: ConsumeOptions,
  handler: (events: ReadonlyArray<Event>) => Effect.Effect<void, E, R>,
): Effect.Effect<void, DatabaseError, R | Scope.Scope> => {
  const { topic, group, batch, pollMs, leaseMs } = options
  const lease = leases(db, options, ownerName(), leaseMs)

  /** Ends when the lease was lost, which stops the handler it races with. */
  const heartbeat: Effect.Effect<void, DatabaseError> = Effect.suspend(() =>
    Effect.andThen(
      Effect.sleep(leaseMs / 3),
      Effect.flatMap(lease.renew, (ours) => (ours ? heartbeat : Effect.void)),
    ),
  )

  // A handler may end in an interruption of its own (it joined a fiber somebody stopped): that is
  // a failure to retry, not the end of the consumer.
  const handled = (events: ReadonlyArray<Event>) =>
    Effect.catchCauseIf(handler(events), Cause.hasInterruptsOnly, (cause) =>
      Effect.die(new Error("the handler interrupted itself", { cause })),
    )

  const deliver = (events: ReadonlyArray<Event>) =>
    Effect.raceFirst(Effect.as(handled(events), true), Effect.as(heartbeat, false))

  /** One look: delivers what is there, or waits. */
  const step = Effect.gen(function* () {
    const wake = wakeups.listen(topic)
    const position = yield* lease.claim
    if (position === undefined) return yield* Effect.sleep(pollMs)
    const events = yield* read(topic, position, batch)
    const last = events.at(-1)
    if (last === undefined) return yield* wake.until(pollMs)
    const delivered = yield* deliver(events)
    if (delivered) yield* lease.advance(last.position)
  })

  const loop = (attempt: number): Effect.Effect<never, never, R> =>
    Effect.matchCauseEffect(step, {
      onSuccess: () => loop(0),
      onFailure: (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.interrupt
          : Effect.logWarning(
              `Consumer group '${group}' of topic '${topic}' failed (attempt ${attempt + 1}); it tries again.`,
              cause,
            ).pipe(
              Effect.andThen(Effect.sleep(backoffMs(attempt))),
              Effect.andThen(loop(attempt + 1)),
            ),
    })

  return Effect.andThen(
    lease.register,
    Effect.asVoid(Effect.forkScoped(Effect.ensuring(loop(0), Effect.ignore(lease.release)))),
  )
}
