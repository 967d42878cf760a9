import type { Failure } from "@ashlar/core"
import type { FormatError } from "@ashlar/core/fastify"

const codes: Readonly<Record<Failure.Reason, readonly [code: string, status: number]>> = {
  InvalidInput: ["INVALID_PARAMETER_VALUE", 400],
  Unauthenticated: ["UNAUTHENTICATED", 401],
  PermissionDenied: ["PERMISSION_DENIED", 403],
  NotFound: ["RESOURCE_DOES_NOT_EXIST", 404],
  AlreadyExists: ["RESOURCE_ALREADY_EXISTS", 400],
  Conflict: ["RESOURCE_CONFLICT", 409],
  PreconditionFailed: ["BAD_REQUEST", 400],
  TooLarge: ["BAD_REQUEST", 413],
  RateLimited: ["REQUEST_LIMIT_EXCEEDED", 429],
  Cancelled: ["CANCELLED", 499],
  Corrupt: ["DATA_LOSS", 500],
  Internal: ["INTERNAL_ERROR", 500],
  NotSupported: ["NOT_IMPLEMENTED", 501],
  Unavailable: ["TEMPORARILY_UNAVAILABLE", 503],
  Timeout: ["DEADLINE_EXCEEDED", 504],
  OutOfSpace: ["TEMPORARILY_UNAVAILABLE", 503],
}

/** MLflow's words for a body that is no JSON by its own account. */
const wrongType = "Bad Request. Content-Type must be one of ['application/json']."

/** MLflow's error: `{"error_code": name, "message": text}`. */
export const formatError: FormatError = ({ reason, message, field }) => {
  const [code, status] = codes[reason]
  const isType = field === "body" && message.startsWith("the content type ")
  return {
    status,
    ...(reason === "Unauthenticated"
      ? { headers: { "www-authenticate": 'Basic realm="mlflow"' } }
      : {}),
    body: { error_code: code, message: isType ? wrongType : message },
  }
}
