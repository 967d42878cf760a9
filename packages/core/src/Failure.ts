/**
 * The one shape of every Ashlar error: a tag, a `reason` from a small vocabulary, a message that
 * says what to do, and a stable code `Tag.Reason`.
 *
 * @module
 */
import * as Schema from "effect/Schema"

/** Every reason an Ashlar error can carry, with the HTTP status it maps to. */
export const statusOf = {
  /** The caller sent something the schema or a rule refuses. */
  InvalidInput: 400,
  Unauthenticated: 401,
  PermissionDenied: 403,
  NotFound: 404,
  AlreadyExists: 409,
  /** A concurrent change won, or the state does not allow this operation. */
  Conflict: 409,
  /** A stated condition (digest, version, gate) does not hold. */
  PreconditionFailed: 412,
  TooLarge: 413,
  RateLimited: 429,
  Cancelled: 499,
  /** Stored or transmitted bytes are not what their digest or format says. */
  Corrupt: 500,
  Internal: 500,
  /** The backend does not declare this capability. */
  NotSupported: 501,
  Unavailable: 503,
  Timeout: 504,
  OutOfSpace: 507,
} as const

/** Why an operation failed. */
export type Reason = keyof typeof statusOf

/** What every Ashlar error looks like from outside. */
export interface Failure {
  readonly _tag: string
  readonly reason: Reason
  readonly message: string
  readonly code: string
}

/** Fields shared by all Ashlar errors; pass the reasons this error can have. */
export const fields = <const R extends ReadonlyArray<Reason>>(reasons: R) => ({
  reason: Schema.Literals(reasons),
  message: Schema.String,
  /** The offending field as a path, e.g. `columns[2].name`. */
  field: Schema.optionalKey(Schema.String),
  cause: Schema.optionalKey(Schema.Defect()),
})

/** The stable code of an error: its tag and its reason, e.g. `BlobStoreError.NotFound`. */
export const codeOf = (error: { readonly _tag: string; readonly reason: string }): string =>
  `${error._tag}.${error.reason}`

/** True for any Ashlar error, also one from another copy of the library. */
export const isFailure = (value: unknown): value is Failure =>
  typeof value === "object" &&
  value !== null &&
  "_tag" in value &&
  "reason" in value &&
  "message" in value &&
  typeof value.reason === "string" &&
  Object.hasOwn(statusOf, value.reason)
