/**
 * SPI: large objects under keys. Backends: `memory`, `fs`, `s3`.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { Digest } from "./Digest.ts"
import * as Failure from "./Failure.ts"
import type { Page, PageRequest } from "./Page.ts"
import type { Timestamp } from "./Timestamp.ts"

/** A blob could not be read or written. */
export class BlobStoreError extends Schema.TaggedError<BlobStoreError>()(
  "BlobStoreError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "AlreadyExists",
    "PreconditionFailed",
    "PermissionDenied",
    "TooLarge",
    "Corrupt",
    "NotSupported",
    "OutOfSpace",
    "Unavailable",
    "Timeout",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/**
 * Schema of a key: 1 to 1024 bytes of UTF-8, segments separated by `/`, none of them empty, `.` or
 * `..`, no backslash and no control characters.
 */
export const BlobKey = Schema.String.check(
  Schema.makeFilter((key: string) => {
    if (key === "" || Buffer.byteLength(key) > 1024) return "a blob key has 1 to 1024 bytes"
    if (!key.isWellFormed()) return "a blob key has no unpaired surrogates"
    // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
    if (/[\\\u0000-\u001f\u007f]/.test(key)) {
      return "a blob key has no backslash and no control characters"
    }
    const bad = key.split("/").some((part) => part === "" || part === "." || part === "..")
    return bad ? "a blob key has no empty, '.' or '..' segment" : undefined
  }),
)

/** What a backend can do. Undeclared operations fail with `NotSupported`. */
export interface BlobStoreCapabilities {
  /** What was acknowledged survives a crash. */
  readonly durable: boolean
  readonly presignedUrls: boolean
  /** Uploads in parts that can be resumed. */
  readonly multipart: boolean
  /** `put` with `ifAbsent`. */
  readonly conditionalPut: boolean
}

/** A stored blob. */
export interface BlobInfo {
  readonly key: string
  readonly size: number
  readonly modified: Timestamp
  /** Known for blobs this store wrote. */
  readonly digest?: Digest
  readonly contentType?: string
}

/** How to write. */
export interface PutOptions {
  /** Fails with `PreconditionFailed`, storing nothing, when the content differs. */
  readonly digest?: Digest
  readonly contentType?: string
  /** Fails with `AlreadyExists` when the key is taken. */
  readonly ifAbsent?: boolean
}

/** How to read. */
export interface GetOptions {
  /** First byte, default 0. */
  readonly start?: number
  /** One past the last byte, default the size. */
  readonly end?: number
  /**
   * Fails with `Corrupt` at the end when the content is not what its digest says. Only for whole
   * blobs: a range fails with `InvalidInput`.
   */
  readonly verify?: boolean
}

/** A part of a multipart upload. */
export interface UploadedPart {
  /** 1 to 10000. */
  readonly partNumber: number
  readonly etag: string
}

/** Stores blobs. A `put` is visible whole or not at all. */
export class BlobStore extends Context.Service<
  BlobStore,
  {
    /** Name of the backend, for messages. */
    readonly name: string
    readonly capabilities: BlobStoreCapabilities
    readonly put: (
      key: string,
      content: Uint8Array | Stream.Stream<Uint8Array, BlobStoreError>,
      options?: PutOptions,
    ) => Effect.Effect<BlobInfo & { readonly digest: Digest }, BlobStoreError>
    /** Bytes in chunks; a range that starts past the end fails with `InvalidInput`. */
    readonly get: (key: string, options?: GetOptions) => Stream.Stream<Uint8Array, BlobStoreError>
    readonly head: (key: string) => Effect.Effect<BlobInfo, BlobStoreError>
    /** Deletes a blob; a key that does not exist is no error. */
    readonly remove: (key: string) => Effect.Effect<void, BlobStoreError>
    /**
     * Blobs whose key starts with the prefix, sorted by key in UTF-8 order; 1000 a page unless
     * `limit` (1 to 1000) says less. Backends whose listing has no digests leave them out.
     */
    readonly list: (
      prefix: string,
      page?: PageRequest,
    ) => Effect.Effect<Page<BlobInfo>, BlobStoreError>
    /**
     * URL that reads or writes the blob without credentials until it expires; with `part`, a PUT
     * writes that part of an upload and answers its etag.
     */
    readonly presign: (
      key: string,
      options: {
        readonly method: "GET" | "PUT"
        readonly expiresSeconds: number
        readonly part?: { readonly uploadId: string; readonly partNumber: number }
      },
    ) => Effect.Effect<string, BlobStoreError>
    /** Starts an upload in parts and returns its id; nothing is visible before it completes. */
    readonly createUpload: (
      key: string,
      options?: Pick<PutOptions, "contentType">,
    ) => Effect.Effect<string, BlobStoreError>
    /** Stores one part; the same number again replaces it. S3 asks for 5 MiB in all but the last. */
    readonly uploadPart: (
      key: string,
      uploadId: string,
      partNumber: number,
      content: Uint8Array,
    ) => Effect.Effect<UploadedPart, BlobStoreError>
    /** Joins the parts, listed in rising order, into the blob. */
    readonly completeUpload: (
      key: string,
      uploadId: string,
      parts: ReadonlyArray<UploadedPart>,
    ) => Effect.Effect<BlobInfo, BlobStoreError>
    /** Drops an upload and its parts; one that does not exist is no error. */
    readonly abortUpload: (key: string, uploadId: string) => Effect.Effect<void, BlobStoreError>
  }
>()("@ashlar/core/BlobStore/v1") {}
