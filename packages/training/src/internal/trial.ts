/**
 * One tracked fit: a run with its parameters, metrics, data, seed and model package.
 *
 * @module
 */
import type { ModelPackage, RunTracker } from "@ashlar/core"
import { Digest } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Frame } from "../Frame.ts"
import type { FitOptions, Fitted, Params, Progress, Trainer } from "../Trainer.ts"
import { TrainingError } from "../TrainingError.ts"
import { packageAt, savePackage } from "./package.ts"

/** Everything that decides a trial's result; equal identities have equal results. */
export interface TrialSpec {
  readonly experiment: string
  readonly name: string
  /** Identity within the search: index, parameters, seed, trainer, data. */
  readonly identity: string
  readonly parentRunId: string | undefined
  readonly params: Params
  readonly seed: number
  readonly tags: Readonly<Record<string, string>>
  readonly codeVersion: string | undefined
  readonly inputs: RunTracker.StartRun["inputs"]
  /** Folder for this trial's files. */
  readonly folder: string
}

/** What a trial gave. */
export interface TrialResult {
  readonly runId: string
  readonly params: Params
  readonly metrics: Readonly<Record<string, number>>
  readonly status: "FINISHED" | "FAILED"
  /** False when an earlier call had done it already. */
  readonly isNew: boolean
}

type Tracker = RunTracker.RunTracker["Service"]

/** Metrics of the kept model carry this prefix; plain names are the series by step. */
const finalPrefix = "final_"

const tracked = <A>(effect: Effect.Effect<A, RunTracker.RunTrackerError>) =>
  Effect.mapError(
    effect,
    (cause) =>
      new TrainingError({
        reason:
          cause.reason === "Unavailable" ||
          cause.reason === "InvalidInput" ||
          cause.reason === "Conflict"
            ? cause.reason
            : "Internal",
        message: `The run could not be recorded: ${cause.message}`,
        cause,
      }),
  )

const finalMetrics = (run: RunTracker.Run): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(run.metrics)
      .filter(([key]) => key.startsWith(finalPrefix))
      .map(([key, value]) => [key.slice(finalPrefix.length), value]),
  )

/** Tag of a run whose parameters the trainer refused: asking again would end the same. */
const refusedTag = "ashlar.refused"

/** A killed or broken run is not continued: the next attempt has its own. Returns its key and what is recorded under it. */
const findAttempt = Effect.fnUntraced(function* (tracker: Tracker, spec: TrialSpec) {
  for (let attempt = 0; ; attempt++) {
    const key = Digest.ofJson([spec.identity, attempt])
    const run = yield* tracked(tracker.findRun(spec.experiment, key))
    const isOver =
      run?.status === "KILLED" || (run?.status === "FAILED" && run.tags[refusedTag] === undefined)
    if (!isOver) return { key, run }
  }
})

/** Fits and reports series of metrics to the tracker about once a second. */
const fitAndReport = Effect.fnUntraced(function* (
  tracker: Tracker,
  runId: string,
  trainer: Trainer,
  train: Frame,
  options: FitOptions,
) {
  let pending: Array<RunTracker.Metric> = []
  const onProgress = (progress: Progress) => {
    for (const [key, value] of Object.entries(progress.metrics)) {
      if (Number.isFinite(value)) pending.push({ key, value, step: progress.step })
    }
    options.onProgress?.(progress)
  }
  const flush = Effect.suspend(() => {
    if (pending.length === 0) return Effect.void
    const metrics = pending
    pending = []
    return tracked(tracker.log(runId, { metrics }))
  })
  const reporter = Effect.forever(Effect.sleep(1000).pipe(Effect.andThen(flush)))
  const fitted = yield* Effect.raceFirst(trainer.fit(train, { ...options, onProgress }), reporter)
  yield* flush
  return fitted
})

/** Runs a trial, or returns what an earlier call recorded for it. */
export const runTrial = Effect.fnUntraced(function* (
  tracker: Tracker,
  trainer: Trainer,
  spec: TrialSpec,
  train: Frame,
  options: FitOptions,
) {
  const { key, run: earlier } = yield* findAttempt(tracker, spec)
  if (earlier?.status === "FINISHED" || earlier?.status === "FAILED") {
    const { runId, status } = earlier
    const result: TrialResult = {
      runId,
      params: spec.params,
      metrics: finalMetrics(earlier),
      status,
      isNew: false,
    }
    return result
  }
  const { runId } = yield* tracked(
    tracker.startRun({
      experiment: spec.experiment,
      name: spec.name,
      key,
      params: spec.params,
      tags: spec.tags,
      seed: spec.seed,
      ...(spec.inputs === undefined ? {} : { inputs: spec.inputs }),
      ...(spec.parentRunId === undefined ? {} : { parentRunId: spec.parentRunId }),
      ...(spec.codeVersion === undefined ? {} : { codeVersion: spec.codeVersion }),
    }),
  )
  const work = Effect.gen(function* () {
    const fitted: Fitted = yield* fitAndReport(tracker, runId, trainer, train, options)
    const model = yield* savePackage(spec.folder, fitted, runId)
    yield* tracked(tracker.logArtifact(runId, { path: "model", file: model.directory }))
    const final = { ...fitted.metrics, steps: fitted.steps }
    const metrics = Object.entries(final)
      .filter(([, value]) => Number.isFinite(value))
      .map(([name, value]) => ({ key: `${finalPrefix}${name}`, value }))
    yield* tracked(
      tracker.log(runId, { metrics, tags: { "ashlar.package": model.manifest.digest } }),
    )
    return final
  })
  // Parameters the trainer refuses are a trial's failure; all other errors are the caller's.
  const isRefusal = (error: TrainingError) =>
    error.reason === "InvalidInput" &&
    error.field?.startsWith("params") === true &&
    spec.parentRunId !== undefined
  const metrics = yield* work.pipe(
    Effect.tapError((error) =>
      isRefusal(error)
        ? tracked(tracker.log(runId, { tags: { [refusedTag]: error.message } }))
        : Effect.void,
    ),
    Effect.onExit((exit) => {
      if (Exit.isSuccess(exit)) return tracked(tracker.finishRun(runId, "FINISHED"))
      // What cannot be recorded any more must not hide why it failed.
      return Effect.ignore(tracker.finishRun(runId, Exit.hasInterrupts(exit) ? "KILLED" : "FAILED"))
    }),
    Effect.catchIf(isRefusal, () => Effect.succeed(undefined)),
  )
  const result: TrialResult = {
    runId,
    params: spec.params,
    metrics: metrics ?? {},
    status: metrics === undefined ? "FAILED" : "FINISHED",
    isNew: true,
  }
  return result
})

/** The package a finished trial left, fitted again (with the same result) if its files are gone. */
export const packageOf = Effect.fnUntraced(function* (
  trainer: Trainer,
  spec: TrialSpec,
  runId: string,
  train: Frame,
  options: FitOptions,
) {
  const kept: ModelPackage.ModelPackage | undefined = yield* packageAt(spec.folder)
  if (kept !== undefined) return kept
  return yield* savePackage(spec.folder, yield* trainer.fit(train, options), runId)
})
