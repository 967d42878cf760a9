/**
 * A table: an Arrow schema and a stream of record batches that can be read more than once.
 *
 * @module
 */
import type * as Arrow from "apache-arrow"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { Digest } from "./Digest.ts"
import * as Failure from "./Failure.ts"

/** A dataset could not be read or written, or does not fit its schema. */
export class DatasetError extends Schema.TaggedError<DatasetError>()(
  "DatasetError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "TooLarge",
    "Corrupt",
    "OutOfSpace",
    "Unavailable",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** A table that is read batch by batch. */
export interface Dataset {
  readonly schema: Arrow.Schema
  /** Rows, when known without reading. */
  readonly rows: number | undefined
  readonly batches: Stream.Stream<Arrow.RecordBatch, DatasetError>
}

/** Where a dataset's bytes are, and what they must be. */
export const DatasetRef = Schema.Struct({
  name: Schema.NonEmptyString,
  /** `file:` or blob URI of a Parquet file. */
  uri: Schema.NonEmptyString,
  digest: Schema.optionalKey(Digest),
  rows: Schema.optionalKey(Schema.Int),
})

/** A reference to a stored dataset. */
export type DatasetRef = typeof DatasetRef.Type
