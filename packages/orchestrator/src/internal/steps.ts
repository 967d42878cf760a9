import { Timestamp } from "@ashlar/core"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type { StepEvent } from "../Run.ts"
import { OrchestratorError, type StepOptions, type WorkflowContext } from "../Workflow.ts"
import { decode, describe, encode } from "./codec.ts"
import type { Lease } from "./lease.ts"
import type { Lineage } from "./lineage.ts"
import * as Metrics from "./metrics.ts"
import type { RunRow, StepRow } from "./migrations.ts"

/**
 * A step that runs longer than this is shown as running; a shorter one costs a single commit.
 * Milliseconds.
 */
const announceMs = 100

/** Told of each step as it is replayed, begun and ended. */
export type StepListener = (event: StepEvent) => void

/** A claimed run whose code is being run. */
export interface Claimed {
  readonly run: RunRow
  readonly epoch: number
  readonly lease: Lease
  readonly done: ReadonlyMap<string, StepRow>
  readonly lineage: Lineage
  readonly listener: StepListener
}

/** What a workflow's code gets. */
export const makeContext = ({
  run,
  epoch,
  lease,
  done,
  lineage,
  listener,
}: Claimed): WorkflowContext => {
  const { id: runId, workflow } = run
  const used = new Set<string>()

  const say = (step: string, state: StepEvent["state"], attempt: number, message?: string) =>
    Effect.ignoreCause(
      Effect.sync(() =>
        listener({
          runId,
          workflow,
          step,
          state,
          attempt,
          ...(message === undefined ? {} : { message }),
        }),
      ),
    )

  const step = Effect.fnUntraced(function* <A, E, R>(
    options: StepOptions<A>,
    effect: Effect.Effect<A, E, R>,
  ) {
    const { name, attempts = 1, backoffMs = 500 } = options
    if (name === "" || name.length > 512) {
      return yield* new OrchestratorError({
        reason: "InvalidInput",
        field: "name",
        message: `a step name has 1 to 512 characters, this one has ${name.length}`,
      })
    }
    if (used.has(name)) {
      return yield* new OrchestratorError({
        reason: "InvalidInput",
        field: "name",
        message: `workflow ${workflow} uses the step name ${JSON.stringify(name)} twice in one run: number the steps of a loop`,
      })
    }
    used.add(name)
    const before = done.get(name)
    if (before?.state === "succeeded") {
      yield* say(name, "replayed", before.attempt)
      yield* Metrics.stepEnded(workflow, "replayed")
      return yield* decode(options.output, before.output, `step ${name}`)
    }
    if (before?.state !== "running") yield* lineage.stepStarted(run, name)

    const first = (before?.attempt ?? 0) + 1
    const last = first + attempts - 1
    const once = (attempt: number): Effect.Effect<A, E | OrchestratorError, R> => {
      const started = Timestamp.now()
      const row = (state: StepRow["state"], rest: Partial<StepRow> = {}): StepRow => ({
        run: runId,
        name,
        state,
        attempt,
        epoch,
        output: null,
        error: null,
        started,
        finished: null,
        ...rest,
      })
      const announce = Effect.andThen(
        Effect.sleep(announceMs),
        // What fails here fails again where the result is written.
        Effect.uninterruptible(Effect.ignore(lease.write(row("running")))),
      )
      return Effect.gen(function* () {
        yield* lease.check
        yield* say(name, "running", attempt)
        const announcing = yield* Effect.forkChild(announce)
        const value = yield* Effect.ensuring(
          withTimeout(effect, options),
          Fiber.interrupt(announcing),
        )
        const output = yield* encode(options.output, value, `step ${name}`)
        yield* lease.write(row("succeeded", { output, finished: Timestamp.now() }))
        yield* say(name, "succeeded", attempt)
        yield* Metrics.stepEnded(workflow, "succeeded")
        yield* lineage.stepEnded(run, name, { outcome: "succeeded" })
        return value
      }).pipe(
        Effect.catchCause((cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
          const error = describe(cause)
          return Effect.gen(function* () {
            yield* say(name, "failed", attempt, error)
            yield* Metrics.stepEnded(workflow, "failed")
            yield* lease.write(row("failed", { error, finished: Timestamp.now() }))
            if (attempt < last) {
              yield* Effect.sleep(backoffMs * 2 ** (attempt - first))
              return yield* once(attempt + 1)
            }
            yield* lineage.stepEnded(run, name, { outcome: "failed", error })
            return yield* Effect.failCause(cause)
          })
        }),
      )
    }
    return yield* once(first)
  })

  return {
    runId,
    epoch,
    step,
    sleep: (name, millis) =>
      Effect.flatMap(
        step(
          { name, output: Schema.Number },
          Effect.sync(() => Timestamp.now() + millis * 1000),
        ),
        (wake) => Effect.sleep(Math.max(0, (wake - Timestamp.now()) / 1000)),
      ),
  }
}

const withTimeout = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: StepOptions<A>,
): Effect.Effect<A, E | OrchestratorError, R> =>
  options.timeoutMs === undefined
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: options.timeoutMs,
        orElse: () =>
          Effect.fail(
            new OrchestratorError({
              reason: "Timeout",
              message: `step ${options.name} took longer than ${options.timeoutMs} ms: raise timeoutMs or make the step smaller`,
            }),
          ),
      })
