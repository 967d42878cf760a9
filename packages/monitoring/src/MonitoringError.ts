/**
 * The one error of this package's own operations.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { Failure } from "@ashlar/core"

/** A statistic, profile, query, explanation or rule could not be computed or stored. */
export class MonitoringError extends Schema.TaggedError<MonitoringError>()(
  "MonitoringError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "TooLarge",
    "Conflict",
    "Corrupt",
    "NotSupported",
    "Unavailable",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}
