/**
 * Port: feature values by entity, now or as they were. Implemented by the feature store.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Dataset, DatasetError } from "./Dataset.ts"
import * as Failure from "./Failure.ts"
import type { Column } from "./PredictionEvent.ts"
import type { Timestamp } from "./Timestamp.ts"

/** Features could not be read. */
export class FeatureSourceError extends Schema.TaggedError<FeatureSourceError>()(
  "FeatureSourceError",
  Failure.fields(["InvalidInput", "NotFound", "Conflict", "Unavailable", "Corrupt", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Feast's statuses of a value. */
export type FeatureStatus = "PRESENT" | "NULL_VALUE" | "NOT_FOUND" | "OUTSIDE_MAX_AGE"

/** Asks for vectors of a feature service, one per row of the entity columns. */
export interface VectorRequest {
  /** Name of a feature service. */
  readonly service: string
  /** Join keys and request-time inputs by column; all columns have the same length. */
  readonly entities: Readonly<Record<string, Column | ReadonlyArray<number | string | null>>>
  /** When the request is made, for ages of values; default now. Replays set it. */
  readonly at?: Timestamp
}

/** Vectors by column: `values[i]` belongs to `names[i]`, and has one value per requested row. */
export interface FeatureVectors {
  readonly names: ReadonlyArray<string>
  readonly values: ReadonlyArray<Column>
  readonly statuses: ReadonlyArray<ReadonlyArray<FeatureStatus>>
}

/** Asks for the training frame of a feature service. */
export interface FrameRequest {
  readonly service: string
  /** Label events: join keys, request-time inputs, a timestamp, and columns to carry along. */
  readonly labels: Dataset
  /** Column of `labels` with the instant to look from (Timestamp<us, UTC>). */
  readonly timestamp: string
}

/** Reads features for serving and for training, with one meaning. */
export class FeatureSource extends Context.Service<
  FeatureSource,
  {
    readonly vectors: (request: VectorRequest) => Effect.Effect<FeatureVectors, FeatureSourceError>
    /**
     * The label rows, in order, with the features known at each row's timestamp: an event counts
     * only if it happened and had become known (`created`) by then.
     */
    readonly trainingFrame: (
      request: FrameRequest,
    ) => Effect.Effect<Dataset, FeatureSourceError | DatasetError>
  }
>()("@ashlar/core/FeatureSource/v1") {}
