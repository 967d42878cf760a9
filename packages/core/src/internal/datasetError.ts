/** The error of datasets; kept apart so that the column code can raise it without a cycle. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Failure from "../Failure.ts"

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

/** A refusal of what the caller passed, naming the field. */
export const invalid = (field: string, message: string): DatasetError =>
  new DatasetError({ reason: "InvalidInput", message, field })

/** Keeps a `DatasetError`, and wraps anything else as `Internal`. */
export const asDatasetError = (error: unknown): DatasetError =>
  error instanceof DatasetError
    ? error
    : new DatasetError({
        reason: "Internal",
        message: `the table could not be processed: ${String(error)}`,
        cause: error,
      })

/** Runs synchronous code that throws `DatasetError`. */
export const attempt = <A>(body: () => A): Effect.Effect<A, DatasetError> =>
  Effect.try({ try: body, catch: asDatasetError })
