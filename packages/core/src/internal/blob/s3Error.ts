/**
 * What the answers of an S3 server mean for a blob store.
 *
 * @module
 */
import { BlobStoreError } from "../../BlobStore.ts"

const reasons: Readonly<Record<string, BlobStoreError["reason"]>> = {
  NoSuchKey: "NotFound",
  NotFound: "NotFound",
  NoSuchUpload: "NotFound",
  NoSuchBucket: "Unavailable",
  AccessDenied: "PermissionDenied",
  Forbidden: "PermissionDenied",
  InvalidAccessKeyId: "PermissionDenied",
  SignatureDoesNotMatch: "PermissionDenied",
  ExpiredToken: "PermissionDenied",
  CredentialsProviderError: "PermissionDenied",
  PreconditionFailed: "AlreadyExists",
  ConditionalRequestConflict: "AlreadyExists",
  InvalidPart: "PreconditionFailed",
  InvalidPartOrder: "InvalidInput",
  EntityTooSmall: "InvalidInput",
  EntityTooLarge: "TooLarge",
  InvalidRange: "InvalidInput",
  KeyTooLongError: "InvalidInput",
  XMinioStorageFull: "OutOfSpace",
  QuotaExceeded: "OutOfSpace",
  RequestTimeout: "Timeout",
  TimeoutError: "Timeout",
}

const hints: Readonly<Partial<Record<BlobStoreError["reason"], string>>> = {
  NotFound: "list the prefix to see what is there",
  PermissionDenied: "check the credentials and the bucket's policy",
  AlreadyExists: "choose another key or drop ifAbsent",
  PreconditionFailed: "upload the part again and pass the etag it returns",
  Unavailable: "check endpoint, region and bucket, and that the server runs",
  OutOfSpace: "free space on the server, or raise its quota",
}

const statusOf = (error: Error): number => {
  const metadata: unknown = Reflect.get(error, "$metadata")
  const status: unknown =
    typeof metadata === "object" && metadata !== null
      ? Reflect.get(metadata, "httpStatusCode")
      : undefined
  return typeof status === "number" ? status : 0
}

const byStatus = (status: number): BlobStoreError["reason"] => {
  if (status === 404) return "NotFound"
  if (status === 403 || status === 401) return "PermissionDenied"
  if (status === 412 || status === 409) return "AlreadyExists"
  return "Unavailable"
}

/** The typed error for anything thrown while `what` was done. */
export const wrap =
  (what: string) =>
  (cause: unknown): BlobStoreError => {
    if (cause instanceof BlobStoreError) return cause
    const error = cause instanceof Error ? cause : new Error(String(cause))
    const reason = reasons[error.name] ?? byStatus(statusOf(error))
    const hint = hints[reason] ?? "correct the request"
    return new BlobStoreError({
      reason,
      message: `S3 could not ${what}: ${error.name}: ${error.message}; ${hint}.`,
      cause,
    })
  }
