import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { OrchestratorError, type Workflow } from "../Workflow.ts"
import { decode, describe, encode } from "./codec.ts"
import type { Journal } from "./journal.ts"
import * as Lease from "./lease.ts"
import type { Lineage } from "./lineage.ts"
import * as Metrics from "./metrics.ts"
import type { RunRow, StepRow } from "./migrations.ts"
import { makeContext, type StepListener } from "./steps.ts"

/** What executing runs needs. */
export interface Settings {
  readonly journal: Journal
  readonly lineage: Lineage
  readonly owner: string
  readonly leaseMs: number
  readonly listener: StepListener
}

/**
 * Claims a run as it was read and runs it to its end; `undefined` when another process was faster.
 */
export const claimAndRun = Effect.fnUntraced(function* <Input, Output, E, R>(
  settings: Settings,
  workflow: Workflow<Input, Output, E, R>,
  run: RunRow,
) {
  if (run.version !== workflow.version) {
    return yield* new OrchestratorError({
      reason: "Conflict",
      field: "version",
      message: `run ${run.id} of ${workflow.name} was started by version ${run.version}, this code is version ${workflow.version}: finish it with that version, or cancel it and start under a new key`,
    })
  }
  const since = Date.now()
  const epoch = yield* settings.journal.claim(run, settings.owner, settings.leaseMs)
  if (epoch === undefined) return undefined
  if (run.state === "running") yield* Metrics.takenOver(run.workflow)
  // A run that failed has ended; continuing it begins anew for those who watch.
  if (epoch === 1 || run.state === "failed") yield* settings.lineage.runStarted(run)
  return yield* Metrics.whileActive(
    run.workflow,
    Effect.map(execute(settings, workflow, run, epoch, since), (output) => ({ output })),
  )
})

/** Runs a claimed run to its end, journaling its steps, and writes the outcome. */
const execute = Effect.fnUntraced(function* <Input, Output, E, R>(
  { journal, lineage, leaseMs, listener }: Settings,
  workflow: Workflow<Input, Output, E, R>,
  run: RunRow,
  epoch: number,
  since: number,
) {
  const lease = Lease.make(journal, run.id, epoch, leaseMs, since)
  const body = Effect.gen(function* () {
    const input = yield* decode(workflow.input, run.input, "input")
    const done = new Map<string, StepRow>()
    for (const step of yield* journal.steps(run.id)) done.set(step.name, step)
    const context = makeContext({ run, epoch, lease, done, lineage, listener })
    const output = yield* workflow.run(input, context)
    return { output, text: yield* encode(workflow.output, output, "output") }
  })
  const failed = Effect.fnUntraced(function* (cause: Cause.Cause<unknown>) {
    // An interrupted run is nobody's fault: whoever starts next continues it at once.
    if (Cause.hasInterruptsOnly(cause)) {
      yield* Effect.ignore(journal.finish(run.id, epoch, { state: "pending" }))
      return yield* Metrics.runEnded(run.workflow, "released")
    }
    const error = describe(cause)
    const mine = yield* Effect.orElseSucceed(
      journal.finish(run.id, epoch, { state: "failed", error }),
      () => false,
    )
    if (mine) yield* lineage.runEnded(run, { outcome: "failed", error })
    yield* Metrics.runEnded(run.workflow, mine ? "failed" : "lost")
  })

  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const { output, text } = yield* Effect.onExit(
        restore(Effect.raceFirst(body, lease.heartbeat)),
        (exit) => (Exit.isSuccess(exit) ? Effect.void : failed(exit.cause)),
      )
      if (!(yield* journal.finish(run.id, epoch, { state: "succeeded", output: text }))) {
        yield* Metrics.runEnded(run.workflow, "lost")
        return yield* new OrchestratorError({
          reason: "Conflict",
          message: `run ${run.id} was cancelled or taken over before its result was written`,
        })
      }
      yield* lineage.runEnded(run, { outcome: "succeeded" })
      yield* Metrics.runEnded(run.workflow, "succeeded")
      return output
    }),
  )
})
