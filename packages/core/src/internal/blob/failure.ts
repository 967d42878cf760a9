/**
 * The errors that every blob backend words the same way.
 *
 * @module
 */
import { BlobStoreError } from "../../BlobStore.ts"

/** No blob under this key. */
export const notFound = (key: string): BlobStoreError =>
  new BlobStoreError({
    reason: "NotFound",
    message: `No blob with key '${key}'; list its prefix to see what is there.`,
    field: "key",
  })

/** The key is taken and the caller asked for a new one. */
export const alreadyExists = (key: string): BlobStoreError =>
  new BlobStoreError({
    reason: "AlreadyExists",
    message: `A blob with key '${key}' exists and ifAbsent was set; choose another key or drop ifAbsent.`,
    field: "key",
  })

/** The content is not what the caller said. */
export const digestDiffers = (key: string, expected: string, actual: string): BlobStoreError =>
  new BlobStoreError({
    reason: "PreconditionFailed",
    message: `The content for '${key}' has digest ${actual}, not ${expected}; nothing was stored. Send the content the digest was made from.`,
    field: "options.digest",
  })

/** Stored bytes are not what was written. */
export const corrupt = (key: string, detail: string): BlobStoreError =>
  new BlobStoreError({
    reason: "Corrupt",
    message: `Blob '${key}' is damaged: ${detail}. Restore it from a copy or write it again.`,
    field: "key",
  })

/** A content stream gave something else than bytes. */
export const notBytes = (value: unknown): BlobStoreError =>
  new BlobStoreError({
    reason: "InvalidInput",
    message: `The content stream gave a ${typeof value}; every chunk must be a Uint8Array.`,
    field: "content",
  })

/** The backend does not do this. */
export const notSupported = (backend: string, what: string): BlobStoreError =>
  new BlobStoreError({
    reason: "NotSupported",
    message: `BlobStore '${backend}' has no ${what}; check its capabilities, or use a backend that has it.`,
  })

/** No such upload, or it was completed or aborted. */
export const uploadNotFound = (uploadId: string, key: string): BlobStoreError =>
  new BlobStoreError({
    reason: "NotFound",
    message: `No upload ${uploadId} for '${key}'; it was completed, aborted or has expired. Start another with createUpload.`,
    field: "uploadId",
  })

/** A part is missing, or was replaced after it was named. */
export const partDiffers = (partNumber: number, index: number): BlobStoreError =>
  new BlobStoreError({
    reason: "PreconditionFailed",
    message: `Part ${partNumber} is not stored with this etag; upload it again and pass the etag it returns.`,
    field: `parts[${index}].etag`,
  })

/** An error as it is if typed, otherwise `Internal`. */
export const orInternal = (cause: unknown): BlobStoreError =>
  cause instanceof BlobStoreError
    ? cause
    : new BlobStoreError({
        reason: "Internal",
        message: `The blob store failed unexpectedly: ${cause instanceof Error ? cause.message : String(cause)}. This is a defect; report it.`,
        cause,
      })
