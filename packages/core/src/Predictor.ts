/**
 * Port: predictions of a registered model. Implemented by serving.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Tensor } from "./DataType.ts"
import * as Failure from "./Failure.ts"
import type { ModelRef } from "./ModelRef.ts"
import type { Signature } from "./Signature.ts"

/** A prediction failed. */
export class PredictorError extends Schema.TaggedError<PredictorError>()(
  "PredictorError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "TooLarge",
    "RateLimited",
    "Corrupt",
    "NotSupported",
    "Unavailable",
    "Timeout",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Inputs by the names of the model's signature. */
export interface PredictRequest {
  readonly model: ModelRef
  readonly inputs: Readonly<Record<string, Tensor>>
  /** Outputs wanted; absent means all. */
  readonly outputs?: ReadonlyArray<string>
}

/** Outputs, and the version that made them. */
export interface PredictResponse {
  readonly model: string
  readonly version: number
  readonly outputs: Readonly<Record<string, Tensor>>
}

/** Predicts in batches, typed by the model's signature. */
export class Predictor extends Context.Service<
  Predictor,
  {
    readonly predict: (request: PredictRequest) => Effect.Effect<PredictResponse, PredictorError>
    readonly signature: (model: ModelRef) => Effect.Effect<Signature, PredictorError>
  }
>()("@ashlar/core/Predictor/v1") {}
