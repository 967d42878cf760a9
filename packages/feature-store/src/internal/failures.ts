/** Failures of the feature store and of what it stands on. */
import { Failure } from "@ashlar/core"
import { FeatureStoreError } from "../FeatureStoreError.ts"

const own: ReadonlySet<string> = new Set([
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
])

/** The error as one of the feature store; the original is its cause. */
export const fromCause = (cause: unknown): FeatureStoreError => {
  if (cause instanceof FeatureStoreError) return cause
  const known = Failure.isFailure(cause)
  const field =
    known && "field" in cause && typeof cause.field === "string" ? cause.field : undefined
  return new FeatureStoreError({
    reason: (known && own.has(cause.reason)
      ? cause.reason
      : "Internal") as FeatureStoreError["reason"],
    message: cause instanceof Error ? cause.message : String(cause),
    ...(field === undefined ? {} : { field }),
    cause,
  })
}

/** An error about what the caller sent. */
export const invalid = (field: string, message: string): FeatureStoreError =>
  new FeatureStoreError({ reason: "InvalidInput", field, message })

/** An error about something that is not there. */
export const notFound = (field: string, message: string): FeatureStoreError =>
  new FeatureStoreError({ reason: "NotFound", field, message })
