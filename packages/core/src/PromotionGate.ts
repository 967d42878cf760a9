/**
 * Port: is the challenger better than the champion? Implemented by monitoring.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { DatasetRef } from "./Dataset.ts"
import * as Failure from "./Failure.ts"
import type { ModelRef } from "./ModelRef.ts"

/** The comparison could not be made. */
export class PromotionGateError extends Schema.TaggedError<PromotionGateError>()(
  "PromotionGateError",
  Failure.fields(["InvalidInput", "NotFound", "Unavailable", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Schema of one check of a gate. */
export const GateCheck = Schema.Struct({
  name: Schema.String,
  passed: Schema.Boolean,
  /** What was measured, and the value it had to reach. */
  observed: Schema.optionalKey(Schema.Number),
  required: Schema.optionalKey(Schema.Number),
  message: Schema.String,
})

/** Schema of a gate's answer. */
export const GateDecision = Schema.Struct({
  passed: Schema.Boolean,
  checks: Schema.Array(GateCheck),
})

/** A gate's answer, with every check it made. */
export type GateDecision = typeof GateDecision.Type

/** Two models and the data to compare them on. */
export interface GateRequest {
  readonly challenger: ModelRef
  /** Absent when there is nothing to beat. */
  readonly champion?: ModelRef
  /** Features under the names of the model's signature, and the label column. */
  readonly evaluation: DatasetRef
  readonly label: string
  /** Metric to compare; higher is better for all but `log_loss` and `brier`. */
  readonly metric: "auc" | "log_loss" | "brier" | "accuracy"
  /** The challenger must win by at least this; default 0. */
  readonly minimumGain?: number
  /** Significance of the test that it wins; default 0.05. */
  readonly alpha?: number
}

/** Compares a challenger with a champion. */
export class PromotionGate extends Context.Service<
  PromotionGate,
  {
    readonly compare: (request: GateRequest) => Effect.Effect<GateDecision, PromotionGateError>
  }
>()("@ashlar/core/PromotionGate/v1") {}
