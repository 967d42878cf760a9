/**
 * Blobs in the memory of this process: for tests and caches. Nothing survives the process.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { type BlobInfo, BlobStore, type UploadedPart } from "./BlobStore.ts"
import * as Digest from "./Digest.ts"
import * as Id from "./Id.ts"
import * as Failures from "./internal/blob/failure.ts"
import * as Input from "./internal/blob/input.ts"
import { encodeToken } from "./Page.ts"
import * as Timestamp from "./Timestamp.ts"

interface Entry {
  readonly info: BlobInfo & { readonly digest: Digest.Digest }
  readonly bytes: Uint8Array
}
interface Upload {
  readonly key: string
  readonly contentType: string | undefined
  readonly parts: Map<number, { readonly etag: string; readonly bytes: Uint8Array }>
}

// Readers get slices of this size, as from a file, so that one slow reader holds no second copy.
const chunkBytes = 1 << 20

const join = (chunks: ReadonlyArray<Uint8Array>): Uint8Array =>
  new Uint8Array(Buffer.concat(chunks))

const make = (): BlobStore["Service"] => {
  const entries = new Map<string, Entry>()
  const uploads = new Map<string, Upload>()

  const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: Failures.orInternal })

  const find = (key: string): Entry => {
    const entry = entries.get(Input.key(key))
    if (entry === undefined) throw Failures.notFound(key)
    return entry
  }

  const findUpload = (key: string, uploadId: string): Upload => {
    const upload = uploads.get(Input.uploadId(uploadId))
    if (upload === undefined || upload.key !== Input.key(key)) {
      throw Failures.uploadNotFound(uploadId, key)
    }
    return upload
  }

  const store = (key: string, bytes: Uint8Array, contentType: string | undefined): Entry => {
    const info = {
      key,
      size: bytes.length,
      modified: Timestamp.now(),
      digest: Digest.of(bytes),
      ...(contentType === undefined ? {} : { contentType }),
    }
    const entry = { info, bytes }
    entries.set(key, entry)
    return entry
  }

  const put: BlobStore["Service"]["put"] = Effect.fnUntraced(function* (key, content, options) {
    const given = yield* attempt(() => {
      Input.key(key)
      return { options: Input.putOptions(options ?? {}), stream: Input.content(content) }
    })
    const { digest, contentType, ifAbsent = false } = given.options
    const chunks: Array<Uint8Array> = []
    yield* Stream.runForEachArray(given.stream, (some) =>
      attempt(() => {
        for (const chunk of some) chunks.push(Input.chunk(chunk))
      }),
    )
    return yield* attempt(() => {
      const bytes = join(chunks)
      const actual = Digest.of(bytes)
      if (digest !== undefined && digest !== actual) {
        throw Failures.digestDiffers(key, digest, actual)
      }
      if (ifAbsent && entries.has(key)) throw Failures.alreadyExists(key)
      return store(key, bytes, contentType).info
    })
  })

  const slices = function* (key: string, options: Parameters<BlobStore["Service"]["get"]>[1]) {
    const wanted = Input.getOptions(options)
    const { bytes, info } = find(key)
    const { start, end } = Input.range(wanted, bytes.length)
    for (let at = start; at < end; at += chunkBytes) {
      yield bytes.slice(at, Math.min(at + chunkBytes, end))
    }
    if (wanted.verify === true && Digest.of(bytes) !== info.digest) {
      throw Failures.corrupt(key, "its bytes no longer match its digest")
    }
  }

  return BlobStore.of({
    name: "memory",
    capabilities: { durable: false, presignedUrls: false, multipart: true, conditionalPut: true },
    put,
    get: (key, options) =>
      Stream.suspend(() => {
        const source = slices(key, options)
        return Stream.unfold(undefined, () =>
          attempt(() => {
            const next = source.next()
            return next.done === true ? undefined : ([next.value, undefined] as const)
          }),
        )
      }),
    head: (key) => attempt(() => find(key).info),
    remove: (key) => attempt(() => void entries.delete(Input.key(key))),
    list: (prefix, page) =>
      attempt(() => {
        const start = Input.prefix(prefix)
        const { limit, after } = Input.page(page)
        const from = after === undefined ? undefined : Input.utf8Order(after)
        const matching: Array<{ readonly order: string; readonly info: BlobInfo }> = []
        for (const { info } of entries.values()) {
          if (!info.key.startsWith(start)) continue
          const order = Input.utf8Order(info.key)
          if (from === undefined || order > from) matching.push({ order, info })
        }
        matching.sort((a, b) => (a.order < b.order ? -1 : 1))
        const items = matching.slice(0, limit).map(({ info }) => info)
        const last = items.at(-1)
        return matching.length > limit && last !== undefined
          ? { items, next: encodeToken([last.key]) }
          : { items }
      }),
    presign: () => Effect.fail(Failures.notSupported("memory", "presigned URLs")),
    createUpload: (key, options) =>
      attempt(() => {
        const uploadId = Id.make()
        const { contentType } = Input.putOptions(options ?? {})
        uploads.set(uploadId, { key: Input.key(key), contentType, parts: new Map() })
        return uploadId
      }),
    uploadPart: (key, uploadId, partNumber, content) =>
      attempt((): UploadedPart => {
        const upload = findUpload(key, uploadId)
        const bytes = new Uint8Array(Input.partContent(content))
        const part = { etag: Digest.of(bytes), bytes }
        upload.parts.set(Input.partNumber(partNumber), part)
        return { partNumber, etag: part.etag }
      }),
    completeUpload: (key, uploadId, parts) =>
      attempt(() => {
        const upload = findUpload(key, uploadId)
        const chunks = Input.parts(parts).map(({ partNumber, etag }, index) => {
          const part = upload.parts.get(partNumber)
          if (part === undefined || part.etag !== etag) {
            throw Failures.partDiffers(partNumber, index)
          }
          return part.bytes
        })
        uploads.delete(uploadId)
        return store(key, join(chunks), upload.contentType).info
      }),
    abortUpload: (key, uploadId) =>
      attempt(() => {
        Input.key(key)
        if (uploads.get(Input.uploadId(uploadId))?.key === key) uploads.delete(uploadId)
      }),
  })
}

/**
 * A fresh, empty store, shared by all who get this layer.
 *
 * @example
 * ```ts
 * import { BlobStore } from "@ashlar/core"
 * import * as Memory from "@ashlar/core/memory"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function* () {
 *   const blobs = yield* BlobStore.BlobStore
 *   yield* blobs.put("models/1/model.onnx", new Uint8Array([1, 2, 3]))
 *   return (yield* blobs.head("models/1/model.onnx")).size
 * })
 * await Effect.runPromise(Effect.provide(program, Memory.layer)) // => 3
 * ```
 */
export const layer: Layer.Layer<BlobStore> = Layer.sync(BlobStore, make)
