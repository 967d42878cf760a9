/**
 * Gradient-boosted decision trees: a histogram learner in WebAssembly on worker threads.
 *
 * Columns are binned to bytes; gradients are quantised to integers, so the model is bit-identical
 * for any number of threads; trees grow leaf-wise; a missing value (NaN) has a learnt direction;
 * categories are split by their gradient statistics. After Friedman (2001), LightGBM (Ke et al.
 * 2017) and quantised training (Shi et al. 2022).
 *
 * @module
 */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Frame } from "./Frame.ts"
import type {
  BoostingSettings,
  CoordinatorData,
  CoordinatorMessage,
} from "./internal/gbdt-protocol.ts"
import { framesFault, labelFault } from "./internal/frames.ts"
import { compileKernel } from "./internal/kernel.ts"
import { treesToOnnx } from "./internal/onnx-trees.ts"
import { report } from "./internal/report.ts"
import { outputOf, signatureOf } from "./internal/signature.ts"
import type { Fitted, FitOptions, Trainer } from "./Trainer.ts"
import type { TreeEnsemble } from "./TreeEnsemble.ts"
import { predict } from "./TreeEnsemble.ts"
import { invalid, TrainingError } from "./TrainingError.ts"

/** Name of the trainer. */
export const name = "gradient-boosting"

const positive = Schema.Finite.check(Schema.isGreaterThan(0))
const atLeastZero = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const fraction = Schema.Finite.check(Schema.isGreaterThan(0), Schema.isLessThanOrEqualTo(1))
const integer = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Schema of the hyper-parameters; the defaults are LightGBM's. */
export const Params = Schema.Struct({
  /** `binary`: labels 0 and 1, logistic loss. `regression`: squared error. */
  objective: Schema.optionalKey(Schema.Literals(["binary", "regression"])),
  /** Trees at most; default 100. */
  iterations: Schema.optionalKey(integer(1, 100_000)),
  /** Default 0.1. */
  learningRate: Schema.optionalKey(positive),
  /** Leaves of a tree at most; default 31. */
  maxLeaves: Schema.optionalKey(integer(2, 65_536)),
  /** Depth at most, -1 for no limit; default -1. */
  maxDepth: Schema.optionalKey(integer(-1, 1000)),
  /** Bins of a column at most, beside the one for missing values; default 255. */
  maxBins: Schema.optionalKey(integer(2, 255)),
  /** Rows of a leaf at least (estimated from the hessian while searching); default 20. */
  minRowsInLeaf: Schema.optionalKey(integer(1, 1_000_000_000)),
  /** Sum of a leaf's hessian at least; default 1e-3. */
  minChildWeight: Schema.optionalKey(atLeastZero),
  /** Gain of a split at least; default 0. */
  minGain: Schema.optionalKey(atLeastZero),
  /** L2 penalty on leaf values; default 0. */
  lambda: Schema.optionalKey(atLeastZero),
  /** Share of the rows for each tree; default 1. */
  rowFraction: Schema.optionalKey(fraction),
  /** Share of the features for each tree; default 1. */
  featureFraction: Schema.optionalKey(fraction),
  /** Smoothing of category statistics, and rows of a category at least; default 10. */
  categorySmoothing: Schema.optionalKey(atLeastZero),
  /** Added to `lambda` for category splits; default 10. */
  categoryLambda: Schema.optionalKey(atLeastZero),
  /** Rows added to a side of a category split at least, between two tries; default 100. */
  minCategoryRows: Schema.optionalKey(integer(1, 1_000_000_000)),
  /** Categories on the smaller side of a split at most; default 32. */
  maxCategoriesInSplit: Schema.optionalKey(integer(1, 254)),
  /** Stop after so many trees without a better validation metric, and keep the best; 0 never; default 0. */
  earlyStoppingRounds: Schema.optionalKey(integer(0, 100_000)),
  /** Validation metric for early stopping; default `logloss` for binary, `rmse` for regression. */
  metric: Schema.optionalKey(Schema.Literals(["auc", "logloss", "rmse"])),
})

/** Hyper-parameters of the learner. */
export type Params = typeof Params.Type

const settingsOf = (params: Params): BoostingSettings => {
  const objective = params.objective ?? "binary"
  return {
    objective,
    iterations: 100,
    learningRate: 0.1,
    maxLeaves: 31,
    maxDepth: -1,
    maxBins: 255,
    minRowsInLeaf: 20,
    minChildWeight: 1e-3,
    minGain: 0,
    lambda: 0,
    rowFraction: 1,
    featureFraction: 1,
    categorySmoothing: 10,
    categoryLambda: 10,
    minCategoryRows: 100,
    maxCategoriesInSplit: 32,
    earlyStoppingRounds: 0,
    metric: objective === "binary" ? "logloss" : "rmse",
    ...params,
  }
}

const checkFrames = (train: Frame, validation: Frame | undefined, settings: BoostingSettings) => {
  const fault = framesFault(train, validation)
  if (fault !== undefined) return fault
  if (settings.objective === "binary") {
    const unknown =
      labelFault("label", train.label) ??
      (validation === undefined ? undefined : labelFault("validation.label", validation.label))
    if (unknown !== undefined) return unknown
    const first = train.label[0]
    if (train.label.every((y) => y === first)) {
      return invalid("label", `Every label is ${first}; a classifier needs rows of both classes.`)
    }
    if (settings.metric === "rmse")
      return invalid("params.metric", "rmse is a regression metric; use auc or logloss.")
  } else if (settings.metric !== "rmse") {
    return invalid("params.metric", `${settings.metric} is a binary metric; use rmse.`)
  }
  if (validation === undefined) {
    if (settings.earlyStoppingRounds === 0) return undefined
    return invalid(
      "validation",
      "earlyStoppingRounds needs a validation frame; give one, or set it to 0.",
    )
  }
  return undefined
}

/** Runs the coordinator thread; interruption ends it and its helpers. */
const runLearner = (data: CoordinatorData, train: Frame, options: FitOptions) =>
  Effect.callback<
    {
      readonly ensemble: TreeEnsemble
      readonly steps: number
      readonly metrics: ReadonlyArray<Readonly<Record<string, number>>>
    },
    TrainingError
  >((resume) => {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"
    const worker = new Worker(new URL(`./internal/gbdt-worker.${extension}`, import.meta.url), {
      workerData: data,
    })
    const metrics: Array<Readonly<Record<string, number>>> = []
    const fail = (error: TrainingError) => resume(Effect.fail(error))
    worker.on("message", (message: CoordinatorMessage) => {
      switch (message.type) {
        case "want": {
          const frame = message.set === "train" ? train : options.validation
          const values = message.index < 0 ? frame?.label : frame?.columns[message.index]
          return worker.postMessage({ values: values ?? new Float32Array() })
        }
        case "iteration": {
          const { iteration, iterations } = message.iteration
          metrics.push(message.iteration.metrics)
          const progress = {
            step: iteration,
            steps: iterations,
            metrics: message.iteration.metrics,
          }
          return report(worker, options, progress, resume)
        }
        case "invalid":
          return fail(invalid(message.field, message.message))
        case "tooLarge":
          return fail(
            new TrainingError({
              reason: "TooLarge",
              message:
                `Training needs ${Math.ceil(message.bytes / 2 ** 20)} MiB in one piece; WebAssembly holds at most 4095, and the machine must have them free. ` +
                "Sample the rows, drop features, or lower maxLeaves.",
            }),
          )
        case "done":
          return resume(
            Effect.succeed({ ensemble: message.ensemble, steps: message.bestIteration, metrics }),
          )
      }
    })
    worker.once("error", (cause) =>
      fail(
        new TrainingError({
          reason: "Internal",
          message: `The tree learner failed: ${cause.message}`,
          cause,
        }),
      ),
    )
    worker.once("exit", (code) =>
      fail(
        new TrainingError({
          reason: "Internal",
          message: `The tree learner's thread ended early with code ${code}.`,
        }),
      ),
    )
    return Effect.promise(() => {
      // What is still on its way is of no interest to who interrupted.
      worker.removeAllListeners("message")
      return worker.terminate()
    })
  })

/** A fitted ensemble with what it was trained with. */
export interface FittedTrees extends Fitted {
  readonly ensemble: TreeEnsemble
}

/**
 * Fits an ensemble on worker threads; the event loop stays free and interruption stops the work.
 *
 * Errors: `InvalidInput` for parameters out of range, labels that are not 0 and 1 (binary), one
 * class only, category codes that are no whole numbers; `TooLarge` beyond 4 GiB of binned data.
 *
 * @example
 * ```ts
 * import { Frame, GradientBoosting } from "@ashlar/training"
 * import * as Effect from "effect/Effect"
 *
 * const x = Float32Array.from({ length: 500 }, (_, i) => i)
 * const program = Effect.gen(function* () {
 *   const frame = yield* Frame.make({ features: ["x"], columns: [x], label: x.map((v) => (v > 250 ? 1 : 0)) })
 *   const fitted = yield* GradientBoosting.fit(frame, { params: { iterations: 20 }, seed: 1 })
 *   return fitted.predict([Float32Array.of(10, 490)]).map(Math.round)
 * })
 * await Effect.runPromise(program) // => Float64Array.of(0, 1)
 * ```
 */
export const fit = Effect.fnUntraced(function* (train: Frame, options: FitOptions) {
  const params = yield* Schema.decodeUnknownEffect(Params)(options.params, {
    onExcessProperty: "error",
  }).pipe(Effect.mapError((cause) => invalid("params", `Parameters of ${name}: ${cause.message}`)))
  const settings = settingsOf(params)
  const problem = checkFrames(train, options.validation, settings)
  if (problem !== undefined) return yield* problem
  const wanted = Math.floor(options.threads ?? 1)
  const threads = wanted > 1 ? Math.min(wanted, availableParallelism(), 64) : 1
  const module = yield* Effect.tryPromise({
    try: compileKernel,
    catch: (cause) =>
      new TrainingError({
        reason: "Unavailable",
        message: `The tree learner's kernel could not be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
        cause,
      }),
  })
  const { ensemble, steps, metrics } = yield* runLearner(
    {
      role: "coordinator",
      module,
      threads,
      seed: options.seed,
      settings,
      features: train.features,
      categorical: train.features.map((feature) => train.categorical.includes(feature)),
      rows: train.rows,
      validationRows: options.validation?.rows ?? 0,
    },
    train,
    options,
  )
  const fitted: FittedTrees = {
    trainer: name,
    params: { ...settings },
    steps,
    metrics: metrics[steps - 1] ?? {},
    signature: signatureOf(train.features, outputOf(ensemble.objective)),
    ensemble,
    predict: (columns) => predict(ensemble, columns),
    toOnnx: () => treesToOnnx(ensemble),
  }
  return fitted
})

/** The trainer, for `Training.layer`. */
export const trainer: Trainer = { name, fit }
