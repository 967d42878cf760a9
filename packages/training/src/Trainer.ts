/**
 * SPI: an algorithm that fits a model to a frame.
 *
 * @module
 */
import type { Signature } from "@ashlar/core"
import type * as Effect from "effect/Effect"
import type { Frame } from "./Frame.ts"
import type { TrainingError } from "./TrainingError.ts"

/** Values of hyper-parameters by name, as JSON. */
export type Params = Readonly<Record<string, string | number | boolean>>

/** How far a fit has come, once for each tree or epoch. */
export interface Progress {
  /** Steps done, from 1. */
  readonly step: number
  /** Steps at most; early stopping may end sooner. */
  readonly steps: number
  /** Metrics after this step: on the validation frame, and `train_...` on the training frame. */
  readonly metrics: Readonly<Record<string, number>>
}

/** What a fit needs besides the training frame. */
export interface FitOptions {
  /** Hyper-parameters; the trainer checks them and adds its defaults. */
  readonly params: Params
  /** The same seed, data and parameters give the same model, at any number of threads. */
  readonly seed: number
  /** Frame for early stopping and metrics. */
  readonly validation?: Frame | undefined
  /** Threads at most; default 1. Never give more than the job was granted. */
  readonly threads?: number | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

/** A fitted model. */
export interface Fitted {
  readonly trainer: string
  /** The parameters used, defaults included. */
  readonly params: Params
  /** Steps (trees, epochs) of the model that was kept. */
  readonly steps: number
  /** Metrics on the validation frame of the model that was kept; empty without one. */
  readonly metrics: Readonly<Record<string, number>>
  /** Input `features` FP32 `[-1, n]`; one FP32 output `[-1]`: `probability` of label 1, or `value`. */
  readonly signature: Signature.Signature
  /** One prediction a row, of float32 columns in the order of the training frame. */
  readonly predict: (columns: ReadonlyArray<Float32Array>) => Float64Array
  /** The model as ONNX, with the same inputs, outputs and (to float32 rounding) predictions. */
  readonly toOnnx: () => Uint8Array<ArrayBuffer>
}

/** An algorithm. Fits run off the caller's thread, and stop when the effect is interrupted. */
export interface Trainer {
  /** Name in requests and run tags, e.g. `gradient-boosting`. */
  readonly name: string
  readonly fit: (train: Frame, options: FitOptions) => Effect.Effect<Fitted, TrainingError>
}
