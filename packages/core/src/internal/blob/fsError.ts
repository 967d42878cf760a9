/**
 * What the operating system's errors mean for a blob store.
 *
 * @module
 */
import { BlobStoreError } from "../../BlobStore.ts"

/** True for a system error with one of these codes. */
export const isCode = (cause: unknown, ...codes: ReadonlyArray<string>): boolean =>
  cause instanceof Error &&
  "code" in cause &&
  typeof cause.code === "string" &&
  codes.includes(cause.code)

const make = (
  reason: "OutOfSpace" | "PermissionDenied" | "Unavailable",
  cause: Error,
  hint: string,
) => new BlobStoreError({ reason, message: `${cause.message}: ${hint}.`, cause })

/** The typed error for anything thrown while working with files. */
export const wrap = (cause: unknown): BlobStoreError => {
  if (cause instanceof BlobStoreError) return cause
  const error = cause instanceof Error ? cause : new Error(String(cause))
  if (isCode(cause, "ENOSPC", "EDQUOT", "EFBIG")) {
    return make("OutOfSpace", error, "the disk, quota or file size limit is full; free some space")
  }
  if (isCode(cause, "EACCES", "EPERM", "EROFS", "ELOOP")) {
    return make(
      "PermissionDenied",
      error,
      "give this process write access to the store's directory",
    )
  }
  if (isCode(cause, "EMFILE", "ENFILE")) {
    return make("Unavailable", error, "raise the limit of open files, or run fewer requests")
  }
  return make("Unavailable", error, "check the disk that holds the store's directory")
}
