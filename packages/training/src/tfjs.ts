/**
 * A multilayer perceptron trained by TensorFlow.js in a worker thread, for binary labels.
 *
 * Features are standardised; a missing value becomes 0 with an indicator input beside it. Needs
 * `@tensorflow/tfjs-core`, `-layers` and `-backend-wasm` (or, slower, `-backend-cpu`).
 *
 * @module
 */
import { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Frame } from "./Frame.ts"
import { framesFault, labelFault } from "./internal/frames.ts"
import { mlpToOnnx, predictMlp } from "./internal/mlp.ts"
import type { Mlp } from "./internal/mlp.ts"
import { report } from "./internal/report.ts"
import { signatureOf } from "./internal/signature.ts"
import type { MlpData, MlpMessage, MlpParams } from "./internal/tfjs-protocol.ts"
import type { Fitted, FitOptions, Trainer } from "./Trainer.ts"
import { invalid, TrainingError } from "./TrainingError.ts"

/** Name of the trainer. */
export const name = "tfjs-mlp"

const integer = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Schema of the hyper-parameters. */
export const Params = Schema.Struct({
  /** Hidden layers; default 2. */
  layers: Schema.optionalKey(integer(0, 32)),
  /** Units of each hidden layer; default 64. */
  units: Schema.optionalKey(integer(1, 8192)),
  /** Passes over the rows at most; default 10. */
  epochs: Schema.optionalKey(integer(1, 100_000)),
  /** Rows of one step; default 1024. */
  batchSize: Schema.optionalKey(integer(1, 1_000_000)),
  /** Rows of one epoch, drawn anew each time; 0 for all of them; default 0. */
  rowsPerEpoch: Schema.optionalKey(integer(0, 1_000_000_000)),
  /** Adam's learning rate; default 0.001. */
  learningRate: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThan(0))),
  /** Penalty on the sum of squared weights; default 0. */
  l2: Schema.optionalKey(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
  /** Stop after so many epochs without a better validation metric, and keep the best; 0 never; default 0. */
  earlyStoppingRounds: Schema.optionalKey(integer(0, 100_000)),
  /** Validation metric for early stopping; default `logloss`. */
  metric: Schema.optionalKey(Schema.Literals(["auc", "logloss"])),
})

/** Hyper-parameters of the network. */
export type Params = typeof Params.Type

const defaults: MlpParams = {
  layers: 2,
  units: 64,
  epochs: 10,
  batchSize: 1024,
  rowsPerEpoch: 0,
  learningRate: 1e-3,
  l2: 0,
  earlyStoppingRounds: 0,
  metric: "logloss",
}

interface Trained {
  readonly mlp: Mlp
  readonly epoch: number
  readonly metrics: Readonly<Record<string, number>>
}

const runThread = (data: MlpData, options: FitOptions) =>
  Effect.callback<Trained, TrainingError>((resume) => {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"
    const worker = new Worker(new URL(`./internal/tfjs-worker.${extension}`, import.meta.url), {
      workerData: data,
    })
    const fail = (reason: "Unavailable" | "Internal", message: string, cause?: unknown) =>
      resume(
        Effect.fail(
          new TrainingError({ reason, message, ...(cause === undefined ? {} : { cause }) }),
        ),
      )
    worker.on("message", (message: MlpMessage) => {
      switch (message.type) {
        case "missing":
          return fail(
            "Unavailable",
            "The tfjs-mlp trainer needs TensorFlow.js: npm install @tensorflow/tfjs-core @tensorflow/tfjs-layers @tensorflow/tfjs-backend-wasm",
          )
        case "diverged":
          return resume(
            Effect.fail(
              invalid(
                "params.learningRate",
                `The loss was no longer finite in epoch ${message.epoch}; lower learningRate.`,
              ),
            ),
          )
        case "epoch":
          return report(
            worker,
            options,
            { step: message.epoch, steps: data.params.epochs, metrics: message.metrics },
            resume,
          )
        case "done":
          return resume(Effect.succeed(message))
      }
    })
    worker.once("error", (cause) =>
      fail("Internal", `The network trainer failed: ${cause.message}`, cause),
    )
    worker.once("exit", (code) =>
      fail("Internal", `The network trainer's thread ended early with code ${code}.`),
    )
    return Effect.promise(() => {
      // What is still on its way is of no interest to who interrupted.
      worker.removeAllListeners("message")
      return worker.terminate()
    })
  })

/**
 * Fits a network in a worker thread; interruption stops it. Deterministic for a seed.
 *
 * Errors: `InvalidInput` for parameters out of range, labels that are not 0 and 1, or a loss that
 * diverges; `Unavailable` when TensorFlow.js is not installed.
 */
export const fit = Effect.fnUntraced(function* (train: Frame, options: FitOptions) {
  const given = yield* Schema.decodeUnknownEffect(Params)(options.params, {
    onExcessProperty: "error",
  }).pipe(Effect.mapError((cause) => invalid("params", `Parameters of ${name}: ${cause.message}`)))
  const params = { ...defaults, ...given }
  const { validation } = options
  const fault =
    framesFault(train, validation) ??
    labelFault("label", train.label) ??
    (validation === undefined ? undefined : labelFault("validation.label", validation.label))
  if (fault !== undefined) return yield* fault
  if (params.earlyStoppingRounds > 0 && validation === undefined) {
    return yield* invalid(
      "validation",
      "earlyStoppingRounds needs a validation frame; give one, or set it to 0.",
    )
  }
  const { mlp, epoch, metrics } = yield* runThread(
    {
      params,
      seed: options.seed,
      columns: train.columns,
      label: train.label,
      validation:
        validation === undefined
          ? undefined
          : { columns: validation.columns, label: validation.label },
    },
    options,
  )
  const fitted: Fitted = {
    trainer: name,
    params: { ...params },
    steps: epoch,
    metrics: Object.fromEntries(
      Object.entries(metrics).filter(([key]) => !key.startsWith("train_")),
    ),
    signature: signatureOf(train.features, "probability"),
    predict: (columns) => predictMlp(mlp, columns),
    toOnnx: () => mlpToOnnx(mlp),
  }
  return fitted
})

/** The trainer, for `Training.layer`. */
export const trainer: Trainer = { name, fit }
