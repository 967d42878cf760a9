/**
 * What can go wrong in the feature store.
 *
 * @module
 */
import { Failure } from "@ashlar/core"
import * as Schema from "effect/Schema"

/** An operation of the feature store failed. */
export class FeatureStoreError extends Schema.TaggedError<FeatureStoreError>()(
  "FeatureStoreError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "Conflict",
    "PermissionDenied",
    "TooLarge",
    "Corrupt",
    "NotSupported",
    "OutOfSpace",
    "Unavailable",
    "Timeout",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}
