import { RunTracker } from "@ashlar/core"
import type { RegistryError } from "../RegistryError.ts"

/** A registry's error as the port `RunTracker` has it. */
export const toTrackerError = (error: RegistryError): RunTracker.RunTrackerError =>
  new RunTracker.RunTrackerError({
    reason:
      error.reason === "InvalidInput" || error.reason === "NotFound" || error.reason === "Conflict"
        ? error.reason
        : "Unavailable",
    message: error.message,
    ...(error.field === undefined ? {} : { field: error.field }),
    cause: error,
  })
