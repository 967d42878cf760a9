import { BlobStore, type Database, Digest, Id, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { invalid, RegistryError } from "../../RegistryError.ts"
import type { FileRow, UploadRow } from "../migrations/0008-files.ts"
import type { Store } from "../store.ts"
import * as Blocks from "./blocks.ts"
import { freshKey, prefix, type Stored } from "./contents.ts"

type Failed = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError

/** A part as its sender knows it. */
export interface Part {
  /** From 1, without gaps. */
  readonly partNumber: number
  readonly etag: string
}

/** An upload in parts. */
export interface Upload {
  readonly uploadId: string
  readonly path: string
  /**
   * Where each part goes, by number, when the blob store takes them itself; without them parts go
   * through `putPart`.
   */
  readonly urls?: ReadonlyArray<string>
}

/** Files that come in parts, which may outlive the process. */
export interface Uploads {
  readonly create: (
    path: string,
    parts: number,
    expiresSeconds: number,
  ) => Effect.Effect<Upload, Failed>
  readonly putPart: (
    uploadId: string,
    partNumber: number,
    content: Uint8Array | Stream.Stream<Uint8Array, BlobStore.BlobStoreError>,
  ) => Effect.Effect<Part, Failed>
  readonly complete: (
    path: string,
    uploadId: string,
    parts: ReadonlyArray<Part>,
  ) => Effect.Effect<FileRow, Failed>
  readonly abort: (path: string, uploadId: string) => Effect.Effect<void, Failed>
  /** Removes what an upload left in the blob store. */
  readonly drop: (upload: UploadRow) => Effect.Effect<void, Failed>
}

/** Where the parts of an upload lie until it completes. */
export const partsPrefix = `${prefix}parts/`

const partKey = (id: string, partNumber: number): string => `${partsPrefix}${id}/${partNumber}`

/** Some stores quote their etags, and some clients do. */
const bare = (etag: string): string => etag.replace(/^"(.*)"$/, "$1")

const unknown = (uploadId: string): RegistryError =>
  new RegistryError({
    reason: "NotFound",
    field: "upload_id",
    message: `upload ${uploadId.slice(0, 100)} does not exist: it was aborted, or has expired; start another`,
  })

const refuseParts = (
  parts: ReadonlyArray<Part>,
  upload: UploadRow,
): Effect.Effect<void, RegistryError> => {
  const wrong = parts.findIndex(({ partNumber }, i) => partNumber !== i + 1)
  if (wrong < 0 && parts.length === upload.parts) return Effect.void
  return Effect.fail(
    invalid(
      wrong < 0 ? "parts" : `parts[${wrong}].part_number`,
      `the upload has ${upload.parts} parts: name each once, from 1, in rising order`,
    ),
  )
}

/** The uploads of a store. `maxBytes` is the size of the largest file. */
export const make = Effect.fnUntraced(function* (
  { db, blobs, build, contents, tree }: Store,
  maxBytes: number,
) {
  const scope = yield* Effect.scope
  const joining = new Map<string, Fiber.Fiber<FileRow, Failed>>()
  const isNative = blobs.capabilities.presignedUrls && blobs.capabilities.multipart

  const find = Effect.fnUntraced(function* (uploadId: string, path?: string) {
    const row = yield* db.first(
      build.selectFrom("registry_upload").selectAll().where("id", "=", uploadId),
    )
    return row === undefined || (path !== undefined && row.path !== path)
      ? yield* unknown(uploadId)
      : row
  })

  const dropParts = Effect.fnUntraced(function* (id: string) {
    for (let token: string | undefined; ;) {
      const page = yield* blobs.list(`${partsPrefix}${id}/`, token === undefined ? {} : { token })
      yield* Effect.forEach(page.items, (item) => blobs.remove(item.key), { discard: true })
      if (page.next === undefined) return
      token = page.next
    }
  })

  const drop: Uploads["drop"] = Effect.fnUntraced(function* ({ id, key, native }) {
    yield* native === null ? dropParts(id) : blobs.abortUpload(key, native)
    // The parts may have been joined just before the process was killed.
    yield* blobs.remove(key)
  })

  const abort: Uploads["abort"] = Effect.fnUntraced(function* (path, uploadId) {
    const upload = yield* Effect.catchTag(find(uploadId, path), "RegistryError", () =>
      Effect.succeed(undefined),
    )
    if (upload === undefined) return
    const { rows } = yield* db.run(
      build.deleteFrom("registry_upload").where("id", "=", uploadId).where("digest", "is", null),
    )
    if (rows === 1) yield* drop(upload)
  })

  /** The parts as one content; each is checked against its etag, which is its digest. */
  const joined = (upload: UploadRow, parts: ReadonlyArray<Part>) =>
    Stream.flatMap(Stream.fromIterable(parts), ({ partNumber, etag }) => {
      const key = partKey(upload.id, partNumber)
      const differs = new BlobStore.BlobStoreError({
        reason: "PreconditionFailed",
        field: `parts[${partNumber - 1}].etag`,
        message: `part ${partNumber} is not stored with this etag: send it again, and name the etag of the answer`,
      })
      return Stream.unwrap(
        Effect.map(
          Effect.mapError(blobs.head(key), (error) =>
            error.reason === "NotFound" ? differs : error,
          ),
          (head) =>
            head.digest === bare(etag)
              ? blobs.get(key, { verify: true })
              : Stream.fail<BlobStore.BlobStoreError>(differs),
        ),
      )
    })

  const tooLarge = (path: string) =>
    invalid("path", `${path.slice(0, 300)} is larger than the ${maxBytes} bytes a file may have`)

  const assembled = Effect.fnUntraced(function* (upload: UploadRow, parts: ReadonlyArray<Part>) {
    const { key, native } = upload
    if (native === null) {
      return yield* contents.write(joined(upload, parts), { key })
    }
    // The store knows no digest of what it joins, so what it joined is read once.
    yield* Effect.catchIf(
      blobs.completeUpload(key, native, parts),
      (error) => error.reason === "NotFound",
      // An earlier attempt came so far.
      (error) => Effect.mapError(blobs.head(key), () => error),
    )
    const hash = Digest.start()
    const tally = Blocks.tally()
    let size = 0
    yield* Stream.runForEach(blobs.get(key), (chunk) =>
      Effect.sync(() => {
        hash.update(chunk)
        tally.add(chunk)
        size += chunk.length
      }),
    )
    return { digest: Digest.finish(hash), size, key, blocks: tally.finish() }
  })

  const complete = Effect.fnUntraced(function* (
    path: string,
    uploadId: string,
    parts: ReadonlyArray<Part>,
  ) {
    const upload = yield* find(uploadId, path)
    yield* refuseParts(parts, upload)
    if (upload.digest !== null) return yield* tree.get(path)
    const stored: Stored = yield* assembled(upload, parts)
    if (stored.size > maxBytes) {
      yield* abort(path, uploadId)
      return yield* tooLarge(path)
    }
    // What fails here leaves the blob: it is the upload's until that completes or is dropped.
    const done = yield* db.transaction(
      Effect.gen(function* () {
        const { digest } = stored
        const { rows } = yield* db.run(
          build
            .updateTable("registry_upload")
            .set({ digest, touched: Timestamp.now() })
            .where("id", "=", uploadId)
            .where("digest", "is", null),
        )
        // Aborted, or completed by another process, while its parts were joined.
        if (rows === 0) {
          yield* find(uploadId)
          return { row: yield* tree.get(path), key: undefined }
        }
        const key = yield* contents.adopt(stored)
        return { row: yield* tree.set(path, stored), key }
      }),
    )
    if (done.key !== undefined) {
      yield* Effect.ignore(contents.settle(stored, done.key))
      if (upload.native === null) yield* Effect.ignore(dropParts(uploadId))
    }
    return done.row
  })

  return {
    drop,
    create: Effect.fnUntraced(function* (path, parts, expiresSeconds) {
      const id = Id.make()
      const key = freshKey()
      const native = isNative ? yield* blobs.createUpload(key) : null
      yield* db.run(
        build
          .insertInto("registry_upload")
          .values({ id, path, key, native, parts, digest: null, touched: Timestamp.now() }),
      )
      if (native === null) return { uploadId: id, path }
      const urls = yield* Effect.forEach(Array.from({ length: parts }), (_, i) =>
        blobs.presign(key, {
          method: "PUT",
          expiresSeconds,
          part: { uploadId: native, partNumber: i + 1 },
        }),
      )
      return { uploadId: id, path, urls }
    }),
    putPart: Effect.fnUntraced(function* (uploadId, partNumber, content) {
      const upload = yield* find(uploadId)
      if (upload.native !== null || upload.digest !== null) return yield* unknown(uploadId)
      if (partNumber > upload.parts) {
        return yield* invalid("part_number", `the upload has ${upload.parts} parts`)
      }
      const { digest } = yield* blobs.put(partKey(uploadId, partNumber), content)
      const still = yield* db.run(
        build
          .updateTable("registry_upload")
          .set({ touched: Timestamp.now() })
          .where("id", "=", uploadId)
          .where("digest", "is", null),
      )
      if (still.rows === 1) return { partNumber, etag: digest }
      yield* Effect.ignore(blobs.remove(partKey(uploadId, partNumber)))
      return yield* unknown(uploadId)
    }),
    abort,
    // Joining large parts outlasts the patience of clients, which then ask again: the second
    // request waits for what the first began.
    complete: (path, uploadId, parts) =>
      Effect.gen(function* () {
        const key = `${uploadId} ${path}`
        const known = joining.get(key)
        if (known !== undefined) return yield* Fiber.join(known)
        const fiber = yield* Effect.forkIn(
          Effect.ensuring(
            complete(path, uploadId, parts),
            Effect.sync(() => joining.delete(key)),
          ),
          scope,
        )
        joining.set(key, fiber)
        return yield* Fiber.join(fiber)
      }),
  } satisfies Uploads
})
