/** A client that holds back nothing it acknowledged: batches of one run wait, join and leave in order. */
import { Timestamp } from "@ashlar/core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { RegistryError } from "../../RegistryError.ts"
import type { Shape } from "../../Tracking.ts"
import * as Limits from "../limits.ts"
import { type Facts, factsOf, groups, sizeOf } from "./batches.ts"
import { isTransient, type Transport } from "./transport.ts"

/** How batches wait. */
export interface BufferOptions {
  /**
   * When `log` returns: `stored` (default) when the store has the batch; `queued` when it waits in
   * memory, which a killed process loses.
   */
  readonly acknowledge?: "stored" | "queued"
  /** Most facts that wait; `log` waits for room. Default 100000. */
  readonly maxQueued?: number
  /** Runs that are sent at the same time; default 4. */
  readonly concurrency?: number
}

interface Entry {
  readonly facts: Facts
  readonly size: number
  readonly done: Deferred.Deferred<void, RegistryError>
}

interface Lane {
  readonly entries: Array<Entry>
  busy: boolean
  /** The youngest batch, waiting or under way: older ones settle before it. */
  last: Entry
}

/** Opens the client; closing its scope sends what waits. */
export const make: (
  transport: Transport,
  options?: BufferOptions,
) => Effect.Effect<Shape, never, Scope.Scope> = Effect.fnUntraced(function* (
  transport,
  options = {},
) {
  const { acknowledge = "stored", maxQueued = 100_000, concurrency = 4 } = options
  const lanes = new Map<string, Lane>()
  const room = yield* Semaphore.make(maxQueued)
  const lines = yield* Semaphore.make(concurrency)
  const fibers = yield* FiberSet.make<void>()
  let pending = 0
  let refused = 0
  let failing: RegistryError | undefined
  /** What a caller that did not wait has not heard of yet. */
  let unheard: RegistryError | undefined

  const settle = Effect.fnUntraced(function* (
    items: ReadonlyArray<Entry>,
    error: RegistryError | undefined,
  ) {
    failing = error !== undefined && isTransient(error) ? error : undefined
    if (error !== undefined && !isTransient(error)) refused += items.length
    if (error !== undefined && acknowledge === "queued") unheard = error
    for (const { size, done } of items) {
      pending -= 1
      yield* room.release(Math.min(size, maxQueued))
      yield* error === undefined ? Deferred.succeed(done, undefined) : Deferred.fail(done, error)
    }
  })

  const send = Effect.fnUntraced(function* (
    runId: string,
    facts: Facts,
    items: ReadonlyArray<Entry>,
  ): Effect.fn.Return<void> {
    const result = yield* Effect.result(transport.log(runId, facts))
    if (result._tag === "Success") return yield* settle(items, undefined)
    if (items.length === 1 || isTransient(result.failure)) {
      return yield* settle(items, result.failure)
    }
    // One of them is wrong: the others are not to suffer for it.
    for (const item of items) yield* send(runId, item.facts, [item])
  })

  const drain = (runId: string, lane: Lane): Effect.Effect<void> =>
    Effect.gen(function* () {
      while (lane.entries.length > 0) {
        const [group] = groups(lane.entries, transport.merges)
        if (group === undefined) break
        lane.entries.splice(0, group.items.length)
        yield* lines.withPermit(send(runId, group.facts, group.items))
      }
      lane.busy = false
      lanes.delete(runId)
    })

  const enqueue = Effect.fnUntraced(function* (runId: string, entry: Entry) {
    const lane = lanes.get(runId) ?? { entries: [], busy: false, last: entry }
    lanes.set(runId, lane)
    lane.entries.push(entry)
    lane.last = entry
    pending += 1
    if (!lane.busy) {
      lane.busy = true
      yield* FiberSet.run(fibers, drain(runId, lane))
    }
  })

  /** Waits until what was logged before is settled. */
  const settled = (runId: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const last = lanes.get(runId)?.last
      return last === undefined ? Effect.void : Effect.exit(Deferred.await(last.done))
    })

  yield* Effect.addFinalizer(() => FiberSet.awaitEmpty(fibers))

  const hear = Effect.suspend(() => {
    const error = unheard
    unheard = undefined
    return error === undefined ? Effect.void : Effect.fail(error)
  })

  return {
    ...transport,
    log: (runId, batch) =>
      Effect.gen(function* () {
        yield* Limits.batch(batch)
        const facts = factsOf(batch)
        const size = sizeOf(facts)
        const done = yield* Deferred.make<void, RegistryError>()
        // What took room is in its lane, whatever happens to the caller.
        yield* Effect.uninterruptibleMask((restore) =>
          Effect.andThen(
            restore(room.take(Math.min(size, maxQueued))),
            enqueue(runId, { facts, size, done }),
          ),
        )
        if (acknowledge === "stored") yield* Deferred.await(done)
      }),
    logArtifact: (runId, artifact) => transport.logArtifact(runId, artifact),
    finish: (runId, status) =>
      Effect.andThen(settled(runId), transport.finish(runId, status, Timestamp.now())),
    get: (runId) => Effect.andThen(settled(runId), transport.get(runId)),
    history: (runId, metric) => Effect.andThen(settled(runId), transport.history(runId, metric)),
    flush: Effect.andThen(FiberSet.awaitEmpty(fibers), hear),
    backlog: Effect.sync(() => ({
      pending,
      refused,
      ...(failing === undefined ? {} : { failing }),
    })),
  }
})
