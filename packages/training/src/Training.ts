/**
 * Fit models and search hyper-parameters, every trial tracked, resumable and exported.
 *
 * @module
 */
import { availableParallelism } from "node:os"
import { join, resolve } from "node:path"
import type { ModelPackage } from "@ashlar/core"
import { Digest, RunTracker } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Frame from "./Frame.ts"
import * as GradientBoosting from "./GradientBoosting.ts"
import { packageOf, runTrial } from "./internal/trial.ts"
import type { TrialResult, TrialSpec } from "./internal/trial.ts"
import { seedOf } from "./internal/random.ts"
import { random, tpe } from "./Sampler.ts"
import type { Observation } from "./Sampler.ts"
import { decode, FitSettings, framesOf, SearchSettings } from "./SearchRequest.ts"
import type { Data, FitRequest, SearchRequest } from "./SearchRequest.ts"
import type { FitOptions, Params, Trainer } from "./Trainer.ts"
import { invalid, TrainingError } from "./TrainingError.ts"

/** A tracked, fitted and packaged model. */
export interface TrainedModel {
  readonly runId: string
  /** Parameters given to the trainer: fixed and searched, without its defaults. */
  readonly params: Params
  /** Validation metrics of the model that was kept, and its `steps`. */
  readonly metrics: Readonly<Record<string, number>>
  /** ONNX, signature and manifest on the local disk. */
  readonly package: ModelPackage.ModelPackage
}

/** One trial of a search. */
export interface Trial {
  readonly index: number
  readonly runId: string
  readonly params: Params
  readonly metrics: Readonly<Record<string, number>>
  /** `FAILED`: the trainer refused these parameters. */
  readonly status: "FINISHED" | "FAILED"
  /** True when an earlier call had finished it, so that nothing was trained. */
  readonly resumed: boolean
}

/** What a search found. */
export interface SearchResult {
  readonly best: TrainedModel
  readonly trials: ReadonlyArray<Trial>
}

/** Settings of the service. */
export interface Options {
  /** Trainers to offer; default gradient boosting alone. */
  readonly trainers?: ReadonlyArray<Trainer>
  /** Folder for model packages; default `.ashlar/training`. */
  readonly directory?: string
  /** Threads a fit may use; default `OMP_NUM_THREADS`, where a job finds its grant, else all of the machine. */
  readonly threads?: number
}

/** Fits and searches. */
export class Training extends Context.Service<
  Training,
  {
    /** Names of the trainers. */
    readonly trainers: ReadonlyArray<string>
    /** Fits one model in a tracked run and packages it. */
    readonly fit: (request: FitRequest) => Effect.Effect<TrainedModel, TrainingError>
    /**
     * Tries `trials` sets of parameters and packages the best by the validation metric. Asked
     * again with the same `key`, data and settings, it does only what is not finished.
     */
    readonly search: (request: SearchRequest) => Effect.Effect<SearchResult, TrainingError>
  }
>()("@ashlar/training/Training/v1") {}

type Settings = typeof FitSettings.Type

const grantedThreads = (): number => {
  const granted = Number(process.env["OMP_NUM_THREADS"])
  return Number.isInteger(granted) && granted > 0 ? granted : availableParallelism()
}

const make = Effect.fnUntraced(function* (options: Options) {
  const tracker = yield* RunTracker.RunTracker
  const trainers = new Map(
    (options.trainers ?? [GradientBoosting.trainer]).map((trainer) => [trainer.name, trainer]),
  )
  const directory = resolve(options.directory ?? ".ashlar/training")
  const granted = options.threads ?? grantedThreads()

  const prepare = Effect.fnUntraced(function* (settings: Settings, data: Data) {
    const trainer = trainers.get(settings.trainer)
    if (trainer === undefined) {
      return yield* invalid(
        "trainer",
        `There is no trainer ${settings.trainer}; this service has ${[...trainers.keys()].join(", ")}. Add one through Training.layer({ trainers }).`,
      )
    }
    const { train, validation } = yield* framesOf(data)
    const inputs = []
    for (const [context, frame] of [
      ["training", train],
      ["validation", validation],
    ] as const) {
      if (frame === undefined) continue
      const digest = yield* Frame.digest(frame)
      inputs.push({
        name: context,
        uri: `ashlar-frame:${digest}`,
        digest,
        rows: frame.rows,
        context,
      })
    }
    const threads = Math.max(1, Math.min(settings.threads ?? granted, granted))
    return {
      trainer,
      train,
      validation,
      threads,
      inputs,
      digests: inputs.map(({ digest }) => digest),
    }
  })
  type Prepared = Effect.Success<ReturnType<typeof prepare>>

  const specOf = (
    settings: Settings,
    prepared: Prepared,
    trial: {
      readonly index: number
      readonly params: Params
      readonly seed: number
      readonly parentRunId?: string
    },
  ): TrialSpec => {
    const identity = Digest.ofJson([
      settings.experiment,
      settings.key,
      settings.trainer,
      prepared.digests,
      trial.index,
      trial.params,
      trial.seed,
    ])
    return {
      experiment: settings.experiment,
      name: `${settings.trainer}-${trial.index}`,
      identity,
      parentRunId: trial.parentRunId,
      params: trial.params,
      seed: trial.seed,
      tags: { ...settings.tags, "ashlar.trainer": settings.trainer, "ashlar.key": settings.key },
      codeVersion: settings.codeVersion,
      inputs: [...(settings.inputs ?? []), ...prepared.inputs],
      folder: join(directory, identity.slice("sha256:".length, "sha256:".length + 32)),
    }
  }

  const fitOptions = (
    prepared: Prepared,
    spec: TrialSpec,
    onProgress: FitOptions["onProgress"],
  ): FitOptions => ({
    params: spec.params,
    seed: spec.seed,
    validation: prepared.validation,
    threads: prepared.threads,
    onProgress,
  })

  const complete = Effect.fnUntraced(function* (
    prepared: Prepared,
    spec: TrialSpec,
    result: TrialResult,
  ) {
    const options = fitOptions(prepared, spec, undefined)
    const model: TrainedModel = {
      runId: result.runId,
      params: result.params,
      metrics: result.metrics,
      package: yield* packageOf(prepared.trainer, spec, result.runId, prepared.train, options),
    }
    return model
  })

  const fit = Effect.fnUntraced(function* (request: FitRequest) {
    const settings = yield* decode(FitSettings, request)
    const prepared = yield* prepare(settings, request)
    const spec = specOf(settings, prepared, {
      index: 0,
      params: settings.params ?? {},
      seed: settings.seed,
    })
    const onProgress: FitOptions["onProgress"] = (progress) =>
      request.onProgress?.({ ...progress, trial: 0, trials: 1 })
    const result = yield* runTrial(
      tracker,
      prepared.trainer,
      spec,
      prepared.train,
      fitOptions(prepared, spec, onProgress),
    )
    return yield* complete(prepared, spec, result)
  })

  const search = Effect.fnUntraced(function* (request: SearchRequest) {
    const settings = yield* decode(SearchSettings, request)
    const prepared = yield* prepare(settings, request)
    if (prepared.validation === undefined) {
      return yield* invalid(
        "validation",
        "A search compares trials on validation data; give a validation dataset.",
      )
    }
    const { metric, trials: count } = settings
    const sign =
      (settings.direction ?? (metric === "auc" ? "maximize" : "minimize")) === "maximize" ? -1 : 1
    const sampler = settings.sampler === "random" ? random : tpe
    const parent = yield* startParent(tracker, settings)
    const trials: Array<Trial> = []
    const history: Array<Observation> = []
    let best:
      | { readonly spec: TrialSpec; readonly result: TrialResult; readonly value: number }
      | undefined
    for (let index = 0; index < count; index++) {
      const searched =
        settings.enqueue?.[index] ??
        sampler({ space: settings.space, seed: settings.seed, index, history })
      const params = { ...settings.params, ...searched }
      const seed = seedOf(settings.seed, 23, index)
      const spec = specOf(settings, prepared, { index, params, seed, parentRunId: parent.runId })
      const options = fitOptions(prepared, spec, (progress) =>
        request.onProgress?.({ ...progress, trial: index, trials: count }),
      )
      const result = yield* runTrial(tracker, prepared.trainer, spec, prepared.train, options)
      const { runId, status, isNew, metrics } = result
      trials.push({ index, runId, params, metrics, status, resumed: !isNew })
      const measured = Object.hasOwn(metrics, metric) ? metrics[metric] : undefined
      if (status === "FINISHED" && measured === undefined) {
        return yield* invalid(
          "metric",
          `${settings.trainer} does not report ${metric}; it reports ${Object.keys(metrics).join(", ")}.`,
        )
      }
      const value = sign * (measured ?? Number.NaN)
      history.push({ params, value })
      if (Number.isFinite(value) && (best === undefined || value < best.value))
        best = { spec, result, value }
    }
    if (best === undefined) {
      yield* finishParent(tracker, parent, "FAILED", {})
      return yield* invalid(
        "space",
        "Every trial failed: the trainer refused their parameters. Narrow the space.",
      )
    }
    const model = yield* complete(prepared, best.spec, best.result)
    yield* finishParent(tracker, parent, "FINISHED", { "ashlar.best_run": model.runId })
    const found: SearchResult = { best: model, trials }
    return found
  })

  return Training.of({ trainers: [...trainers.keys()], fit, search })
})

const recorded = <A>(effect: Effect.Effect<A, RunTracker.RunTrackerError>) =>
  Effect.mapError(
    effect,
    (cause) =>
      new TrainingError({
        reason: "Unavailable",
        message: `The search could not be recorded: ${cause.message}`,
        cause,
      }),
  )

const startParent = (
  tracker: RunTracker.RunTracker["Service"],
  settings: typeof SearchSettings.Type,
) =>
  recorded(
    tracker.startRun({
      experiment: settings.experiment,
      name: `search-${settings.trainer}`,
      key: Digest.ofJson(["search", settings.key, settings.trainer]),
      params: {
        trials: settings.trials,
        sampler: settings.sampler ?? "tpe",
        metric: settings.metric,
      },
      tags: { ...settings.tags, "ashlar.trainer": settings.trainer, "ashlar.key": settings.key },
      seed: settings.seed,
      ...(settings.codeVersion === undefined ? {} : { codeVersion: settings.codeVersion }),
    }),
  )

const finishParent = Effect.fnUntraced(function* (
  tracker: RunTracker.RunTracker["Service"],
  parent: RunTracker.Run,
  status: "FINISHED" | "FAILED",
  tags: Readonly<Record<string, string>>,
) {
  // An earlier call may have finished it.
  if (parent.status !== "RUNNING" && parent.status !== "SCHEDULED") return
  yield* recorded(tracker.log(parent.runId, { tags }))
  yield* recorded(tracker.finishRun(parent.runId, status))
})

/** The service over a run tracker. */
export const layer = (options: Options = {}): Layer.Layer<Training, never, RunTracker.RunTracker> =>
  Layer.effect(Training, make(options))

/** {@link Training}'s `fit`, from the context. */
export const fit = (request: FitRequest): Effect.Effect<TrainedModel, TrainingError, Training> =>
  Effect.flatMap(Training, (training) => training.fit(request))

/** {@link Training}'s `search`, from the context. */
export const search = (
  request: SearchRequest,
): Effect.Effect<SearchResult, TrainingError, Training> =>
  Effect.flatMap(Training, (training) => training.search(request))
