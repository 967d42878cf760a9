/**
 * One tree of files: what runs and logged models store, by path. Equal contents are stored once, are
 * checked when they are read, and are removed when nothing refers to them any more.
 *
 * A path is `<experiment>/<run>/artifacts/...` for files of runs, `<experiment>/models/<id>/artifacts/...`
 * for those of logged models, or any other: MLflow's `mlflow-artifacts:/<path>`.
 *
 * @module
 */
import { BlobStore, type Database, type Page } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Collect from "./internal/artifacts/collect.ts"
import type { CollectOptions, Collected } from "./internal/artifacts/collect.ts"
import type { Range } from "./internal/artifacts/contents.ts"
import * as Path from "./internal/artifacts/path.ts"
import * as Purge from "./internal/artifacts/purge.ts"
import type { PurgeOptions, Purged } from "./internal/artifacts/purge.ts"
import * as Signing from "./internal/artifacts/signing.ts"
import type { Grant } from "./internal/artifacts/signing.ts"
import { type Entry, keep } from "./internal/artifacts/tree.ts"
import * as Uploads from "./internal/artifacts/uploads.ts"
import type { Part, Upload } from "./internal/artifacts/uploads.ts"
import * as Store from "./internal/store.ts"
import { fromBackend, invalid, RegistryError } from "./RegistryError.ts"

export type { CollectOptions, Collected } from "./internal/artifacts/collect.ts"
export type { Range } from "./internal/artifacts/contents.ts"
export type { PurgeOptions, Purged } from "./internal/artifacts/purge.ts"
export type { Grant } from "./internal/artifacts/signing.ts"
export type { Entry } from "./internal/artifacts/tree.ts"
export type { Part, Upload } from "./internal/artifacts/uploads.ts"

/** A file of the tree. */
export interface File {
  /** The whole path. */
  readonly path: string
  /** `sha256:<hex>` of the content. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
  /** When it was stored, in microseconds. */
  readonly created: number
}

/** Stores, reads and collects files. */
export class Artifacts extends Context.Service<
  Artifacts,
  {
    /** Size of the largest file, in bytes. */
    readonly maxBytes: number
    /**
     * Stores a file, in place of one with this path. A stream is never held in memory. What is not
     * stored whole is not stored.
     */
    readonly put: (path: string, content: Content) => Effect.Effect<File, RegistryError>
    /** Fails with `NotFound`, and with `InvalidInput` for a directory. */
    readonly get: (path: string) => Effect.Effect<File, RegistryError>
    /**
     * The bytes of a file. The whole content is checked against its digest, and so is a range of a
     * file up to 8 MiB; a range of a larger one against the checksums of its blocks. The stream of
     * damaged content fails with `Corrupt` before its last bytes.
     */
    readonly read: (
      file: { readonly digest: string; readonly size: number },
      range?: Range,
    ) => Stream.Stream<Uint8Array, RegistryError>
    /** What lies in a directory (`""` is the root), by path; up to 10000 entries a page. */
    readonly list: (
      directory: string,
      page?: Page.PageRequest,
    ) => Effect.Effect<Page.Page<Entry>, RegistryError>
    /** Removes a file, or all files below a directory; returns how many there were. */
    readonly remove: (path: string) => Effect.Effect<number, RegistryError>
    /**
     * Starts an upload of 1 to 10000 parts, which outlives this process. On a blob store with
     * presigned URLs the parts go straight to it.
     */
    readonly createUpload: (
      path: string,
      parts: number,
      options?: { readonly expiresSeconds?: number },
    ) => Effect.Effect<Upload, RegistryError>
    /** Stores one part; the same number again replaces it. The etag is its digest. */
    readonly putPart: (
      uploadId: string,
      partNumber: number,
      content: Content,
    ) => Effect.Effect<Part, RegistryError>
    /** Joins the parts into the file. Completing again does no harm. */
    readonly completeUpload: (
      path: string,
      uploadId: string,
      parts: ReadonlyArray<Part>,
    ) => Effect.Effect<File, RegistryError>
    /** Drops an upload and its parts; one that is not there is no error. */
    readonly abortUpload: (path: string, uploadId: string) => Effect.Effect<void, RegistryError>
    /**
     * A URL of the blob store that reads a file until it expires; `undefined` where the blob store
     * has none.
     */
    readonly presign: (
      file: { readonly digest: string },
      expiresSeconds: number,
    ) => Effect.Effect<string | undefined, RegistryError>
    /** Signs what a URL lets its holder do, for so many seconds. */
    readonly sign: (grant: Grant, expiresSeconds: number) => Effect.Effect<string>
    /** Fails with `PermissionDenied` when the token is not ours, or has expired. */
    readonly verify: (token: string) => Effect.Effect<Grant, RegistryError>
    /** Removes contents that no file and no version of a model has, and uploads that were given up. */
    readonly collect: (options?: CollectOptions) => Effect.Effect<Collected, RegistryError>
    /** Removes the files of runs and logged models that were deleted. */
    readonly purgeDeleted: (options?: PurgeOptions) => Effect.Effect<Purged, RegistryError>
  }
>()("@ashlar/registry/Artifacts/v1") {}

/** How files are kept. */
export interface ArtifactsOptions {
  /** Size of the largest file, in bytes; default 5 TiB, which is S3's. */
  readonly maxBytes?: number
}

/** S3's largest object. */
const largest = 5 * 2 ** 40

/** Long enough for a slow line, short enough that a URL somebody finds is of no use. */
const uploadSeconds = 86_400

/** S3's longest. */
const mostSeconds = 604_800

const isWithin = (value: number, most: number) =>
  Number.isSafeInteger(value) && value >= 1 && value <= most

/** Bytes, or a stream of them. */
export type Content = Uint8Array | Stream.Stream<Uint8Array, BlobStore.BlobStoreError>

/** Content that fails when it turns out to be larger than a file may be. */
const limit =
  (maxBytes: number) =>
  (content: Content): Content => {
    if (content instanceof Uint8Array && content.length <= maxBytes) return content
    const stream = content instanceof Uint8Array ? Stream.succeed(content) : content
    return Stream.suspend(() => {
      let size = 0
      return Stream.mapArrayEffect(stream, (chunks) => {
        for (const chunk of chunks) size += chunk.length
        return size <= maxBytes
          ? Effect.succeed(chunks)
          : Effect.fail(
              new BlobStore.BlobStoreError({
                reason: "TooLarge",
                message: `the content is larger than the ${maxBytes} bytes a file may have`,
              }),
            )
      })
    })
  }

const make = Effect.fnUntraced(function* ({ maxBytes = largest }: ArtifactsOptions) {
  if (!isWithin(maxBytes, Number.MAX_SAFE_INTEGER)) {
    return yield* invalid("maxBytes", `maxBytes is ${maxBytes}: give a whole number of bytes`)
  }
  const store = yield* Store.make
  const { blobs, contents, tree, wrap } = store
  const bounded = limit(maxBytes)
  const uploads = yield* Uploads.make(store, maxBytes)
  const signing = yield* wrap(Signing.make(store))
  const collect = Collect.make(store, uploads)
  const purge = Purge.make(store)

  /** Files of registered versions never change. */
  const writable = Effect.fnUntraced(function* (given: string) {
    const path = yield* Path.parseFile("path", given)
    if (path !== "registered-models" && !path.startsWith("registered-models/")) return path
    return yield* new RegistryError({
      reason: "PermissionDenied",
      field: "path",
      message: `${path.slice(0, 300)} belongs to a registered version, whose files never change: register another version`,
    })
  })

  const checkSeconds = (expiresSeconds: number) =>
    isWithin(expiresSeconds, mostSeconds)
      ? Effect.void
      : Effect.fail(
          invalid(
            "expiration",
            `expiration must be between 1 and ${mostSeconds} seconds (got ${expiresSeconds}).`,
          ),
        )

  return Artifacts.of({
    maxBytes,
    put: (path, content) =>
      wrap(
        Effect.gen(function* () {
          const at = yield* writable(path)
          return yield* keep(store, at, yield* contents.write(bounded(content)))
        }),
      ),
    get: (path) => wrap(Effect.flatMap(Path.parseFile("path", path), tree.get)),
    read: (file, range) => Stream.mapError(contents.read(file, range), fromBackend),
    list: (directory, page = {}) =>
      wrap(Effect.flatMap(Path.parse("path", directory), (path) => tree.list(path, page))),
    remove: (path) => wrap(Effect.flatMap(writable(path), tree.remove)),
    createUpload: (path, parts, { expiresSeconds = uploadSeconds } = {}) =>
      wrap(
        Effect.gen(function* () {
          const at = yield* writable(path)
          yield* checkSeconds(expiresSeconds)
          if (!isWithin(parts, 10_000)) {
            return yield* invalid("num_parts", `num_parts is ${parts}: an upload has 1 to 10000`)
          }
          return yield* uploads.create(at, parts, expiresSeconds)
        }),
      ),
    putPart: (uploadId, partNumber, content) =>
      wrap(
        isWithin(partNumber, 10_000)
          ? uploads.putPart(uploadId, partNumber, bounded(content))
          : Effect.fail(invalid("part_number", "a part's number is 1 to 10000")),
      ),
    completeUpload: (path, uploadId, parts) =>
      wrap(
        Effect.flatMap(Path.parseFile("path", path), (at) => uploads.complete(at, uploadId, parts)),
      ),
    abortUpload: (path, uploadId) =>
      wrap(Effect.flatMap(Path.parseFile("path", path), (at) => uploads.abort(at, uploadId))),
    presign: ({ digest }, expiresSeconds) =>
      wrap(
        Effect.gen(function* () {
          yield* checkSeconds(expiresSeconds)
          if (!blobs.capabilities.presignedUrls) return undefined
          const found = yield* contents.find(digest)
          return found === undefined
            ? undefined
            : yield* blobs.presign(found.key, { method: "GET", expiresSeconds })
        }),
      ),
    sign: (grant, expiresSeconds) => Effect.sync(() => signing.sign(grant, expiresSeconds)),
    verify: signing.verify,
    collect: (options = {}) => wrap(collect(options)),
    purgeDeleted: (options = {}) => wrap(purge(options)),
  })
})

/** Files on a Database and a BlobStore, with options. */
export const layerWith = (
  options: ArtifactsOptions,
): Layer.Layer<Artifacts, RegistryError, Database.Database | BlobStore.BlobStore> =>
  Layer.effect(Artifacts, make(options))

/** Files on a Database and a BlobStore. */
export const layer: Layer.Layer<Artifacts, RegistryError, Database.Database | BlobStore.BlobStore> =
  layerWith({})
