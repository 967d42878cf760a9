/**
 * Port: where predictions and, later, their labels go. Implemented by monitoring.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Failure from "./Failure.ts"
import type { LabelBatch, PredictionBatch } from "./PredictionEvent.ts"

/** Predictions or labels could not be recorded. */
export class PredictionSinkError extends Schema.TaggedError<PredictionSinkError>()(
  "PredictionSinkError",
  Failure.fields(["InvalidInput", "TooLarge", "Conflict", "Unavailable", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Takes predictions and labels; both are idempotent by (model, predictionId). */
export class PredictionSink extends Context.Service<
  PredictionSink,
  {
    readonly predictions: (batch: PredictionBatch) => Effect.Effect<void, PredictionSinkError>
    /** A later label of the same prediction corrects the earlier one. */
    readonly labels: (batch: LabelBatch) => Effect.Effect<void, PredictionSinkError>
  }
>()("@ashlar/core/PredictionSink/v1") {}
