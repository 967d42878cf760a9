/**
 * The registry's error.
 *
 * @module
 */
import { type BlobStore, type Database, Failure } from "@ashlar/core"
import * as Schema from "effect/Schema"

/** Something could not be recorded, found, registered or promoted. */
export class RegistryError extends Schema.TaggedError<RegistryError>()(
  "RegistryError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "AlreadyExists",
    "Conflict",
    "PreconditionFailed",
    "PermissionDenied",
    "Corrupt",
    "Unavailable",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Failures of a blob store that its caller's content brought about. */
const atFault: ReadonlySet<string> = new Set(["InvalidInput", "PreconditionFailed", "TooLarge"])

/** What a backend's failure means to a caller of the registry. */
export const fromBackend = (
  error: Database.DatabaseError | BlobStore.BlobStoreError | RegistryError,
): RegistryError => {
  if (error._tag === "RegistryError") return error
  if (error._tag === "BlobStoreError" && atFault.has(error.reason)) {
    return invalid(error.field ?? "content", error.message)
  }
  // E.g. NUL, which PostgreSQL has no text for.
  if (error._tag === "DatabaseError" && error.reason === "InvalidInput") {
    return invalid(error.field ?? "value", error.message)
  }
  const reason =
    error.reason === "Corrupt" || error.reason === "Conflict" ? error.reason : "Unavailable"
  return new RegistryError({ reason, message: error.message, cause: error })
}

/** A value that the rules refuse. */
export const invalid = (field: string, message: string): RegistryError =>
  new RegistryError({ reason: "InvalidInput", field, message })

/** Something that is not there. */
export const notFound = (what: string): RegistryError =>
  new RegistryError({ reason: "NotFound", message: `${what} does not exist` })
