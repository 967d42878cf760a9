/**
 * What a model predicted, and later what came true.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { Timestamp } from "./Timestamp.ts"

/** A feature or output value of one prediction. */
export const Value = Schema.NullOr(Schema.Union([Schema.Number, Schema.String, Schema.Boolean]))

/** Schema of one prediction. The pair (model, predictionId) is the idempotency key. */
export const PredictionEvent = Schema.Struct({
  predictionId: Schema.NonEmptyString,
  model: Schema.NonEmptyString,
  version: Schema.String,
  time: Timestamp,
  features: Schema.Record(Schema.String, Value),
  outputs: Schema.Record(Schema.String, Value),
  /** Low-cardinality groups to report by, e.g. `{ carrier: "AA" }`. */
  segments: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})

/** One prediction. */
export type PredictionEvent = typeof PredictionEvent.Type

/** Schema of the truth of one prediction, known from `time` on; a later one corrects it. */
export const LabelEvent = Schema.Struct({
  predictionId: Schema.NonEmptyString,
  model: Schema.NonEmptyString,
  time: Timestamp,
  label: Value,
})

/** The truth of one prediction. */
export type LabelEvent = typeof LabelEvent.Type

/**
 * Many predictions of one model version, by column: the form of hot paths. All columns have one
 * value per id. A missing number is NaN, a missing string is null.
 */
export interface PredictionBatch {
  readonly model: string
  readonly version: string
  readonly predictionIds: ReadonlyArray<string>
  /** Microseconds UTC. */
  readonly times: Float64Array
  readonly features: Readonly<Record<string, Column>>
  readonly outputs: Readonly<Record<string, Column>>
  readonly segments?: Readonly<Record<string, ReadonlyArray<string>>>
}

/** Labels of many predictions of one model, by column. */
export interface LabelBatch {
  readonly model: string
  readonly predictionIds: ReadonlyArray<string>
  /** When each label became known, microseconds UTC. */
  readonly times: Float64Array
  readonly labels: Column
}

/** One column of values. */
export type Column = Float32Array | Float64Array | Int32Array | ReadonlyArray<string | null>
