/**
 * Blobs on a local disk. A `put` goes to a temporary file, is synced, and takes its key in one
 * rename: after a crash a key holds the old content or the new, whole. Several processes may share
 * the directory.
 *
 * @module
 */
import { resolve } from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type BlobInfo, BlobStore, BlobStoreError, type GetOptions } from "./BlobStore.ts"
import * as Digest from "./Digest.ts"
import * as Failures from "./internal/blob/failure.ts"
import * as FileWriter from "./internal/blob/FileWriter.ts"
import { walk } from "./internal/blob/fileList.ts"
import * as Upload from "./internal/blob/fileUpload.ts"
import * as Folder from "./internal/blob/Folder.ts"
import { wrap } from "./internal/blob/fsError.ts"
import * as Input from "./internal/blob/input.ts"
import * as Record from "./internal/blob/record.ts"
import { encodeToken } from "./Page.ts"

/** How the store on disk is set up. */
export interface FsOptions {
  /** Where the blobs are; made when absent. The store owns everything in it. */
  readonly directory: string
  /** Sync files and directories before a `put` returns; default true. Off, a power cut may lose it. */
  readonly fsync?: boolean
  /** Temporary files of killed writers are removed at start when older; ms, default one day. */
  readonly leftoverAgeMs?: number
  /** Uploads nobody has touched for so long are removed at start; ms, default seven days. */
  readonly uploadAgeMs?: number
}

const day = 86_400_000
// Large enough to keep a disk busy, small enough that a few in flight are nothing.
const readBytes = 1 << 19

const attempt = <A>(run: () => Promise<A>) => Effect.tryPromise({ try: run, catch: wrap })

async function* read(
  folder: Folder.Folder,
  key: string,
  options: GetOptions | undefined,
): AsyncGenerator<Uint8Array> {
  const wanted = Input.getOptions(options)
  const file = await folder.open(Input.key(key))
  // One read is always under way while the consumer works on the chunk before.
  let ahead: Promise<Uint8Array> = Promise.resolve(new Uint8Array(0))
  try {
    const info = await Record.readInfo(file, key)
    const { start, end } = Input.range(wanted, info.size)
    const hash = wanted.verify === true ? Digest.start() : undefined
    const fetch = async (at: number): Promise<Uint8Array> => {
      const length = Math.min(readBytes, end - at)
      if (length <= 0) return new Uint8Array(0)
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, at)
      if (bytesRead === 0) throw Failures.corrupt(key, "the file became shorter while it was read")
      return buffer.subarray(0, bytesRead)
    }
    ahead = fetch(start)
    for (let at = start; at < end;) {
      const chunk = await ahead
      at += chunk.length
      ahead = fetch(at)
      ahead.catch(() => undefined)
      hash?.update(chunk)
      yield chunk
    }
    const actual = hash === undefined ? info.digest : Digest.finish(hash)
    if (actual !== info.digest) {
      throw Failures.corrupt(key, `its content has digest ${actual}, not ${info.digest}`)
    }
  } finally {
    await ahead.catch(() => undefined)
    await file.close()
  }
}

const head = async (folder: Folder.Folder, key: string) => {
  const file = await folder.open(Input.key(key))
  try {
    return await Record.readInfo(file, key)
  } finally {
    await file.close()
  }
}

/** Hands chunks to the writer; most only join its batch, which costs no turn of the event loop. */
const feed = (
  writer: FileWriter.FileWriter,
  chunks: ReadonlyArray<Uint8Array>,
): Promise<void> | undefined => {
  const onwards = async (written: Promise<void>, next: number): Promise<void> => {
    await written
    for (const chunk of chunks.slice(next)) await writer.write(chunk)
  }
  for (const [index, chunk] of chunks.entries()) {
    const written = writer.write(chunk)
    if (written !== undefined) return onwards(written, index + 1)
  }
  return undefined
}

/** Seals what the writer holds and gives it its key. */
const commit = async (
  folder: Folder.Folder,
  writer: FileWriter.FileWriter,
  key: string,
  options: ReturnType<typeof Input.putOptions>,
): Promise<BlobInfo & { readonly digest: Digest.Digest }> => {
  const { size, digest } = await writer.flush()
  if (options.digest !== undefined && options.digest !== digest) {
    throw Failures.digestDiffers(key, options.digest, digest)
  }
  const { contentType } = options
  const content = { key, size, digest, ...(contentType === undefined ? {} : { contentType }) }
  await writer.seal(Record.encodeTrailer(content), folder.sync)
  await folder.publish(writer.path, key, options.ifAbsent ?? false)
  return { ...content, modified: await writer.modified() }
}

const list = async (
  folder: Folder.Folder,
  prefix: string,
  { limit, after }: ReturnType<typeof Input.page>,
) => {
  const items: Array<BlobInfo> = []
  for await (const key of walk(folder.blobs, prefix, after)) {
    const last = items.at(-1)
    if (items.length === limit && last !== undefined) {
      return { items, next: encodeToken([last.key]) }
    }
    const info = await head(folder, key).catch((error: unknown) => {
      // Removed since the walk saw it.
      if (error instanceof BlobStoreError && error.reason === "NotFound") return undefined
      throw error
    })
    if (info !== undefined) items.push(info)
  }
  return { items }
}

const positive = (value: number | undefined, fallback: number, field: string): number => {
  const given = value ?? fallback
  if (Number.isFinite(given) && given >= 0) return given
  throw new BlobStoreError({
    reason: "InvalidInput",
    message: `${field} is ${given}; give milliseconds, 0 or more.`,
    field,
  })
}

const decodeOptions = (options: FsOptions) => {
  if (typeof options.directory !== "string" || !/^[^\0]+$/.test(options.directory)) {
    throw new BlobStoreError({
      reason: "InvalidInput",
      message: "directory is empty or no path; name the directory that is to hold the blobs.",
      field: "directory",
    })
  }
  return {
    directory: resolve(options.directory),
    fsync: options.fsync ?? true,
    leftoverAgeMs: positive(options.leftoverAgeMs, day, "leftoverAgeMs"),
    uploadAgeMs: positive(options.uploadAgeMs, 7 * day, "uploadAgeMs"),
  }
}

const make = (folder: Folder.Folder): BlobStore["Service"] => {
  /** Runs with a temporary file that is closed and removed whatever happens. */
  const withWriter = <A>(
    use: (writer: FileWriter.FileWriter) => Effect.Effect<A, BlobStoreError>,
  ) =>
    Effect.acquireUseRelease(
      attempt(() => FileWriter.make(folder.temporary())),
      use,
      (writer) => attempt(() => writer.dispose()),
    )

  const put: BlobStore["Service"]["put"] = Effect.fnUntraced(function* (key, content, options) {
    const given = yield* Effect.try({
      try: () => {
        Input.key(key)
        return { options: Input.putOptions(options ?? {}), stream: Input.content(content) }
      },
      catch: Failures.orInternal,
    })
    return yield* withWriter((writer) =>
      Stream.runForEachArray(given.stream, (chunks) =>
        Effect.suspend(() => {
          const bad = chunks.find((chunk) => !(chunk instanceof Uint8Array))
          if (bad !== undefined) return Effect.fail(Failures.notBytes(bad))
          const pending = feed(writer, chunks)
          return pending === undefined ? Effect.void : attempt(() => pending)
        }),
      ).pipe(
        Effect.andThen(
          // Once the rename may have happened the caller must learn of it.
          Effect.uninterruptible(attempt(() => commit(folder, writer, key, given.options))),
        ),
      ),
    )
  })

  return BlobStore.of({
    name: "fs",
    capabilities: {
      durable: folder.sync,
      presignedUrls: false,
      multipart: true,
      conditionalPut: true,
    },
    put,
    get: (key, options) =>
      Stream.suspend(() => Stream.fromAsyncIterable(read(folder, key, options), wrap)),
    head: (key) => attempt(() => head(folder, key)),
    remove: (key) => attempt(async () => folder.remove(Input.key(key))),
    list: (prefix, page) =>
      attempt(async () => list(folder, Input.prefix(prefix), Input.page(page))),
    presign: () => Effect.fail(Failures.notSupported("fs", "presigned URLs")),
    createUpload: (key, options) =>
      attempt(async () => {
        const { contentType } = Input.putOptions(options ?? {})
        return Upload.create(folder, Input.key(key), contentType)
      }),
    uploadPart: (key, uploadId, partNumber, content) =>
      attempt(async () =>
        Upload.putPart(
          folder,
          Input.key(key),
          Input.uploadId(uploadId),
          Input.partNumber(partNumber),
          Input.partContent(content),
        ),
      ),
    completeUpload: (key, uploadId, parts) =>
      withWriter((writer) =>
        Effect.uninterruptible(
          attempt(async () => {
            const listed = Input.parts(parts)
            const upload = await Upload.find(folder, Input.key(key), Input.uploadId(uploadId))
            await Upload.concatenate(upload.directory, listed, writer)
            const info = await commit(folder, writer, key, { contentType: upload.contentType })
            // The blob is there; what is left of the upload goes when it is old.
            await Upload.drop(upload.directory).catch(() => undefined)
            return info
          }),
        ),
      ),
    abortUpload: (key, uploadId) =>
      attempt(async () => {
        const found = await Upload.find(folder, Input.key(key), Input.uploadId(uploadId)).catch(
          (error: unknown) => {
            if (error instanceof BlobStoreError && error.reason === "NotFound") return undefined
            throw error
          },
        )
        if (found !== undefined) await Upload.drop(found.directory)
      }),
  })
}

/**
 * A store in a directory. Fails with `PermissionDenied`, `OutOfSpace` or `Unavailable` when the
 * directory cannot be used.
 *
 * @example
 * ```ts
 * import { mkdtemp } from "node:fs/promises"
 * import { tmpdir } from "node:os"
 * import { join } from "node:path"
 * import { BlobStore } from "@ashlar/core"
 * import * as Fs from "@ashlar/core/fs"
 * import * as Effect from "effect/Effect"
 *
 * const directory = await mkdtemp(join(tmpdir(), "blobs-"))
 * const program = Effect.gen(function* () {
 *   const blobs = yield* BlobStore.BlobStore
 *   yield* blobs.put("reports/june.html", Buffer.from("<h1>June</h1>"))
 *   return (yield* blobs.list("reports/")).items.map(({ key, size }) => [key, size])
 * })
 * await Effect.runPromise(Effect.provide(program, Fs.layer({ directory }))) // => [["reports/june.html", 13]]
 * ```
 */
export const layer = (options: FsOptions): Layer.Layer<BlobStore, BlobStoreError> =>
  Layer.effect(
    BlobStore,
    Effect.map(
      attempt(async () => Folder.make(decodeOptions(options))),
      make,
    ),
  )

/** The same, from configuration. */
export const layerConfig = (
  options: Config.Wrap<FsOptions>,
): Layer.Layer<BlobStore, BlobStoreError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
