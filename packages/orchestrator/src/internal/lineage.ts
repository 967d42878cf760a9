import { createHash } from "node:crypto"
import { LineageSink, OpenLineage } from "@ashlar/core"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"

/** How many events may wait for a slow sink; more are dropped with a warning. */
const capacity = 10_000

/** How long closing waits for the sink to take what is left, milliseconds. */
const flushMs = 5_000

/** How a run or step ended, for lineage. */
export type Ending =
  | { readonly outcome: "succeeded" }
  | { readonly outcome: "cancelled" }
  | { readonly outcome: "failed"; readonly error: string }

interface RunIdentity {
  readonly id: string
  readonly workflow: string
}

/** Says what runs and steps do; never fails, never waits for the sink. */
export interface Lineage {
  readonly runStarted: (run: RunIdentity) => Effect.Effect<void>
  readonly runEnded: (run: RunIdentity, ending: Ending) => Effect.Effect<void>
  readonly stepStarted: (run: RunIdentity, step: string) => Effect.Effect<void>
  readonly stepEnded: (run: RunIdentity, step: string, ending: Ending) => Effect.Effect<void>
}

const silent: Lineage = {
  runStarted: () => Effect.void,
  runEnded: () => Effect.void,
  stepStarted: () => Effect.void,
  stepEnded: () => Effect.void,
}

/** OpenLineage wants a UUID for a step's run too: the same one each time (RFC 9562, version 8). */
export const stepRunId = (run: string, step: string): string => {
  const hex = createHash("sha256").update(`${run}\0${step}`).digest("hex")
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** Emits to the {@link LineageSink.LineageSink} of the context, in order, when there is one. */
export const make = Effect.fnUntraced(function* (namespace: string) {
  const sink = yield* Effect.serviceOption(LineageSink.LineageSink)
  if (Option.isNone(sink)) return silent
  const { emit } = sink.value
  const queue = yield* Queue.dropping<OpenLineage.RunEvent, Cause.Done>(capacity)
  const drain = yield* Effect.forkScoped(
    Effect.forever(
      Effect.flatMap(Queue.take(queue), (event) =>
        Effect.catchCause(emit(event), (cause) =>
          Effect.logWarning(`no lineage of ${event.job.name} (${event.eventType})`, cause),
        ),
      ),
    ),
  )
  // What still waits is emitted before the layer closes.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Queue.end(queue),
      Effect.timeoutOption(Effect.interruptible(Fiber.await(drain)), flushMs),
    ),
  )

  const send = (event: OpenLineage.RunEvent) =>
    Effect.flatMap(Queue.offer(queue, event), (taken) =>
      taken
        ? Effect.void
        : Effect.logWarning(
            `the lineage sink is too slow: dropped ${event.eventType} of ${event.job.name}`,
          ),
    )
  const end = (input: OpenLineage.RunInput, ending: Ending) => {
    if (ending.outcome === "succeeded") return send(OpenLineage.complete(input))
    if (ending.outcome === "cancelled") return send(OpenLineage.abort(input))
    return send(OpenLineage.fail({ ...input, error: { message: ending.error } }))
  }
  const ofRun = (run: RunIdentity) => ({ runId: run.id, job: { namespace, name: run.workflow } })
  const ofStep = (run: RunIdentity, step: string) => ({
    runId: stepRunId(run.id, step),
    job: { namespace, name: `${run.workflow}.${step}` },
    parent: ofRun(run),
  })
  const lineage: Lineage = {
    runStarted: (run) => send(OpenLineage.start(ofRun(run))),
    runEnded: (run, ending) => end(ofRun(run), ending),
    stepStarted: (run, step) => send(OpenLineage.start(ofStep(run, step))),
    stepEnded: (run, step, ending) => end(ofStep(run, step), ending),
  }
  return lineage
})
