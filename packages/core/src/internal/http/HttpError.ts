import * as Schema from "effect/Schema"
import * as Failure from "../../Failure.ts"

/** A field of a request that a schema refuses. */
export interface Issue {
  /** Where, e.g. `body.columns[2].name`. */
  readonly field: string
  readonly message: string
}

/** A request could not be served, or a server could not be started. */
export class HttpError extends Schema.TaggedError<HttpError>()("HttpError", {
  ...Failure.fields([
    "InvalidInput",
    "NotFound",
    "TooLarge",
    "RateLimited",
    "Cancelled",
    "Unavailable",
    "Timeout",
    "Internal",
  ]),
  /** Every refused field, when a request does not fit its schema. */
  issues: Schema.optionalKey(
    Schema.Array(Schema.Struct({ field: Schema.String, message: Schema.String })),
  ),
  /** When to try again. */
  retryAfterSeconds: Schema.optionalKey(Schema.Number),
}) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** What the caller of a failed request is told. Protocol plugins give it their own shape. */
export interface HttpFailure {
  readonly status: number
  readonly reason: Failure.Reason
  readonly code: string
  readonly message: string
  readonly field?: string
  readonly issues?: ReadonlyArray<Issue>
  readonly requestId: string
  readonly retryAfterSeconds?: number
  /** What went wrong inside; never sent. */
  readonly error: unknown
}

/** The answer to a failed request. */
export interface ErrorReply {
  /** Default: the failure's. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
}

/** Gives a failure the shape of a protocol. */
export type FormatError = (failure: HttpFailure) => ErrorReply

const textOf = (value: object, key: string): string | undefined => {
  const text: unknown = Reflect.get(value, key)
  return typeof text === "string" ? text : undefined
}

const reasonOfStatus = (status: number): Failure.Reason => {
  if (status === 401) return "Unauthenticated"
  if (status === 403) return "PermissionDenied"
  if (status === 404) return "NotFound"
  if (status === 408) return "Timeout"
  if (status === 409) return "Conflict"
  if (status === 413) return "TooLarge"
  return status === 429 ? "RateLimited" : "InvalidInput"
}

/** Errors of Fastify and its plugins say by `statusCode` that the caller is at fault. */
const clientStatusOf = (error: object): number | undefined => {
  const status: unknown = Reflect.get(error, "statusCode")
  return typeof status === "number" && status >= 400 && status < 500 ? status : undefined
}

const internal = (error: unknown, requestId: string, code: string): HttpFailure => ({
  status: 500,
  reason: "Internal",
  code,
  message: `the server made a mistake; its log has the details under request id ${requestId}`,
  requestId,
  error,
})

/** What the caller is told about an error. Defects and `Internal` failures show nothing inside. */
export const toHttpFailure = (error: unknown, requestId: string): HttpFailure => {
  if (Failure.isFailure(error)) {
    const code = Failure.codeOf(error)
    if (error.reason === "Internal") return internal(error, requestId, code)
    const field = textOf(error, "field")
    const more =
      error instanceof HttpError
        ? {
            ...(error.issues === undefined ? {} : { issues: error.issues }),
            ...(error.retryAfterSeconds === undefined
              ? {}
              : { retryAfterSeconds: error.retryAfterSeconds }),
          }
        : {}
    return {
      status: Failure.statusOf[error.reason],
      reason: error.reason,
      code,
      message: error.message,
      ...(field === undefined ? {} : { field }),
      ...more,
      requestId,
      error,
    }
  }
  if (error instanceof Error) {
    const status = clientStatusOf(error)
    if (status !== undefined) {
      const reason = reasonOfStatus(status)
      return {
        status,
        reason,
        code: `HttpError.${reason}`,
        message: error.message,
        requestId,
        error,
      }
    }
  }
  return internal(error, requestId, "HttpError.Internal")
}

/** The error body where no protocol asks for another: `{ error: { code, reason, message, ... } }`. */
export const defaultFormat: FormatError = (failure) => ({
  body: {
    error: {
      code: failure.code,
      reason: failure.reason,
      message: failure.message,
      ...(failure.field === undefined ? {} : { field: failure.field }),
      ...(failure.issues === undefined ? {} : { issues: failure.issues }),
      requestId: failure.requestId,
    },
  },
})
