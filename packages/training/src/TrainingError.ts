/**
 * The error of every training operation.
 *
 * @module
 */
import { Failure } from "@ashlar/core"
import * as Schema from "effect/Schema"

/** Training, searching or exporting failed; `field` names what to change when the input is at fault. */
export class TrainingError extends Schema.TaggedError<TrainingError>()(
  "TrainingError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "Conflict",
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

/** An `InvalidInput` error about one field. */
export const invalid = (field: string, message: string): TrainingError =>
  new TrainingError({ reason: "InvalidInput", field, message })
