/**
 * Blobs in a bucket of any server that speaks S3. Needs the packages `@aws-sdk/client-s3`,
 * `@aws-sdk/lib-storage` and `@aws-sdk/s3-request-presigner`.
 *
 * A digest is kept in the object's metadata. For a stream longer than one part whose digest the
 * caller did not give, it is known only after the metadata was sent: it is then kept as a tag, tied
 * to this very write; on servers without tags `head` does not tell it.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import { Readable } from "node:stream"
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3"
import { Upload } from "@aws-sdk/lib-storage"
import { getSignedUrl } from "@aws-sdk/s3-request-presigner"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type BlobInfo, BlobStore, BlobStoreError, type GetOptions } from "./BlobStore.ts"
import * as Digest from "./Digest.ts"
import * as Failures from "./internal/blob/failure.ts"
import * as Input from "./internal/blob/input.ts"
import { inParts, tally } from "./internal/blob/s3Body.ts"
import { wrap } from "./internal/blob/s3Error.ts"
import * as Options from "./internal/blob/s3Options.ts"
import { encodeToken } from "./Page.ts"
import * as Timestamp from "./Timestamp.ts"

/** How the bucket is reached. */
export type S3Options = Options.S3Options

const connect = (options: ReturnType<typeof Options.decode>): S3Client => {
  const { endpoint, accessKeyId, secretAccessKey } = options
  return new S3Client({
    region: options.region ?? process.env["AWS_REGION"] ?? "us-east-1",
    forcePathStyle: options.pathStyle ?? endpoint !== undefined,
    // The newer default trailers are unknown to many servers.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : {
          credentials: { accessKeyId, secretAccessKey: Redacted.value(secretAccessKey) },
        }),
  })
}

const digestName = "ashlar-digest"
const writeName = "ashlar-write"
const isDigest = Schema.is(Digest.Digest)

const make = (
  client: S3Client,
  options: ReturnType<typeof Options.decode>,
): BlobStore["Service"] => {
  const { bucket: Bucket, prefix: base = "", partBytes = 8 * 1024 * 1024 } = options
  const canCondition = options.conditionalPut ?? true
  const at = (key: string) => ({ Bucket, Key: base + Input.key(key) })

  const attempt = <A>(what: string, run: (signal: AbortSignal) => Promise<A>) =>
    Effect.tryPromise({ try: run, catch: wrap(what) })

  /** A digest kept as a tag, if it belongs to the write that made this object. */
  const taggedDigest = async (key: string, write: string): Promise<Digest.Digest | undefined> => {
    const { TagSet = [] } = await client
      .send(new GetObjectTaggingCommand(at(key)))
      .catch(() => ({ TagSet: [] }))
    const value = TagSet.find(({ Key }) => Key === digestName)?.Value ?? ""
    const digest = value.slice(write.length + 1)
    return value.startsWith(`${write}/`) && isDigest(digest) ? digest : undefined
  }

  const infoOf = async (key: string, found: HeadObjectCommandOutput): Promise<BlobInfo> => {
    const { [digestName]: kept, [writeName]: write } = found.Metadata ?? {}
    const digest = isDigest(kept)
      ? kept
      : write === undefined
        ? undefined
        : await taggedDigest(key, write)
    return {
      key,
      size: found.ContentLength ?? 0,
      modified: Timestamp.fromMillis(found.LastModified ?? 0),
      ...(digest === undefined ? {} : { digest }),
      ...(found.ContentType === undefined ? {} : { contentType: found.ContentType }),
    }
  }

  const head = async (key: string): Promise<BlobInfo> => {
    try {
      return await infoOf(key, await client.send(new HeadObjectCommand(at(key))))
    } catch (cause) {
      const error = wrap(`read '${key}'`)(cause)
      throw error.reason === "NotFound" ? Failures.notFound(key) : error
    }
  }

  const putStream = async (
    key: string,
    content: AsyncIterable<Uint8Array>,
    given: ReturnType<typeof Input.putOptions>,
    signal: AbortSignal,
  ): Promise<BlobInfo & { readonly digest: Digest.Digest }> => {
    const { digest: expected, contentType, ifAbsent = false } = given
    const count = tally()
    const request = {
      ...at(key),
      ...(contentType === undefined ? {} : { ContentType: contentType }),
      ...(ifAbsent ? { IfNoneMatch: "*" } : {}),
    }
    const finish = () => {
      const result = count.finish()
      if (expected !== undefined && expected !== result.digest) {
        throw Failures.digestDiffers(key, expected, result.digest)
      }
      return result
    }
    const done = (result: ReturnType<typeof finish>) => ({
      key,
      modified: Timestamp.now(),
      ...result,
      ...(contentType === undefined ? {} : { contentType }),
    })
    const parts = inParts(content, partBytes)
    let abort = (): void => undefined
    try {
      const first = await parts.next()
      // Interrupted while the content was awaited: nothing may be stored any more.
      signal.throwIfAborted()
      const body = first.value ?? new Uint8Array(0)
      count.add(body)
      if (body.length < partBytes) {
        const result = finish()
        const Metadata = { [digestName]: result.digest }
        const put = new PutObjectCommand({ ...request, Body: body, Metadata })
        await client.send(put, { abortSignal: signal })
        return done(result)
      }
      const write = randomUUID()
      let result: ReturnType<typeof finish> | undefined
      const rest = async function* () {
        yield body
        for await (const part of parts) {
          count.add(part)
          yield part
        }
        // Thrown before the upload completes, a wrong digest makes it abort.
        result = finish()
      }
      const Metadata = expected === undefined ? { [writeName]: write } : { [digestName]: expected }
      const upload = new Upload({
        client,
        queueSize: 1,
        partSize: partBytes,
        params: { ...request, Metadata, Body: Readable.from(rest(), { objectMode: true }) },
      })
      abort = () => void upload.abort()
      signal.addEventListener("abort", abort, { once: true })
      await upload.done()
      const sealed = result ?? finish()
      if (expected === undefined) {
        const TagSet = [{ Key: digestName, Value: `${write}/${sealed.digest}` }]
        const tag = new PutObjectTaggingCommand({ ...at(key), Tagging: { TagSet } })
        // The blob is stored; on a server without tags only `head` knows less.
        await client.send(tag).catch(() => undefined)
      }
      return done(sealed)
    } catch (cause) {
      throw ifAbsent &&
        wrap("")(cause).reason === "AlreadyExists" &&
        !(cause instanceof BlobStoreError)
        ? Failures.alreadyExists(key)
        : cause
    } finally {
      signal.removeEventListener("abort", abort)
      await parts.return(undefined)
    }
  }

  const put: BlobStore["Service"]["put"] = Effect.fnUntraced(function* (key, content, putOptions) {
    const given = yield* Effect.try({
      try: () => {
        Input.key(key)
        const decoded = Input.putOptions(putOptions ?? {})
        if (decoded.ifAbsent === true && !canCondition) {
          throw Failures.notSupported("s3", "conditional put on this server")
        }
        return { options: decoded, stream: Stream.map(Input.content(content), Input.chunk) }
      },
      catch: Failures.orInternal,
    })
    const chunks = yield* Stream.toAsyncIterableEffect(given.stream)
    return yield* attempt(`store '${key}'`, (signal) =>
      putStream(key, chunks, given.options, signal),
    )
  })

  const read = async function* (key: string, getOptions: GetOptions | undefined) {
    const { start = 0, end, verify = false } = Input.getOptions(getOptions)
    const isRange = start > 0 || end !== undefined
    if (end !== undefined && start >= end) {
      Input.range({ start, end }, (await head(key)).size)
      return
    }
    const Range = isRange ? `bytes=${start}-${end === undefined ? "" : end - 1}` : undefined
    const request = { ...at(key), ...(Range === undefined ? {} : { Range }) }
    const found = await client.send(new GetObjectCommand(request)).catch(async (cause: unknown) => {
      const error = wrap(`read '${key}'`)(cause)
      if (error.reason === "NotFound") throw Failures.notFound(key)
      if (!isRange || error.reason !== "InvalidInput") throw error
      Input.range({ start }, (await head(key)).size)
      // The range starts at the very end.
      return undefined
    })
    if (found?.Body === undefined) return
    const hash = verify ? Digest.start() : undefined
    for await (const chunk of found.Body as AsyncIterable<Uint8Array>) {
      hash?.update(chunk)
      yield chunk
    }
    if (hash === undefined) return
    const { digest } = await infoOf(key, found as HeadObjectCommandOutput)
    const actual = Digest.finish(hash)
    if (digest !== undefined && digest !== actual) {
      throw Failures.corrupt(key, `its content has digest ${actual}, not ${digest}`)
    }
  }

  /** Some servers answer with a plain 500 when the upload is unknown: ask whether it is. */
  const failUpload = async (key: string, uploadId: string, cause: unknown): Promise<never> => {
    const unknown = await client
      .send(new ListPartsCommand({ ...at(key), UploadId: uploadId }))
      .then(() => undefined, wrap("find the upload"))
    throw unknown?.reason === "NotFound" ? Failures.uploadNotFound(uploadId, key) : cause
  }

  return BlobStore.of({
    name: "s3",
    capabilities: {
      durable: true,
      presignedUrls: true,
      multipart: true,
      conditionalPut: canCondition,
    },
    put,
    get: (key, getOptions) =>
      Stream.suspend(() => Stream.fromAsyncIterable(read(key, getOptions), wrap(`read '${key}'`))),
    head: (key) => attempt(`read '${key}'`, async () => head(key)),
    remove: (key) =>
      attempt(`remove '${key}'`, async () => {
        await client.send(new DeleteObjectCommand(at(key)))
      }),
    list: (prefix, page) =>
      attempt(`list '${prefix}'`, async () => {
        const Prefix = base + Input.prefix(prefix)
        const { limit, after } = Input.page(page)
        const found = await client.send(
          new ListObjectsV2Command({
            Bucket,
            Prefix,
            MaxKeys: limit,
            ...(after === undefined ? {} : { StartAfter: base + after }),
          }),
        )
        const items = (found.Contents ?? []).map(
          ({ Key = "", Size = 0, LastModified = 0 }): BlobInfo => ({
            key: Key.slice(base.length),
            size: Size,
            modified: Timestamp.fromMillis(LastModified),
          }),
        )
        const last = items.at(-1)
        return found.IsTruncated === true && last !== undefined
          ? { items, next: encodeToken([last.key]) }
          : { items }
      }),
    presign: (key, request) =>
      attempt(`sign a URL for '${key}'`, async () => {
        const { method, expiresSeconds, part } = Input.presign(request)
        const expires = { expiresIn: expiresSeconds }
        if (part !== undefined) {
          const { uploadId, partNumber } = part
          const UploadId = Options.uploadIdOf(uploadId)
          const command = new UploadPartCommand({ ...at(key), UploadId, PartNumber: partNumber })
          return getSignedUrl(client, command, expires)
        }
        const command =
          method === "GET" ? new GetObjectCommand(at(key)) : new PutObjectCommand(at(key))
        return getSignedUrl(client, command, expires)
      }),
    createUpload: (key, uploadOptions) =>
      attempt(`start an upload of '${key}'`, async () => {
        const { contentType } = Input.putOptions(uploadOptions ?? {})
        const { UploadId } = await client.send(
          new CreateMultipartUploadCommand({
            ...at(key),
            ...(contentType === undefined ? {} : { ContentType: contentType }),
          }),
        )
        return Options.uploadIdOf(UploadId)
      }),
    uploadPart: (key, uploadId, partNumber, content) =>
      attempt(`store part ${partNumber} of '${key}'`, async () => {
        const request = {
          ...at(key),
          UploadId: Options.uploadIdOf(uploadId),
          PartNumber: Input.partNumber(partNumber),
          Body: Input.partContent(content),
        }
        const { ETag = "" } = await client
          .send(new UploadPartCommand(request))
          .catch((cause: unknown) => failUpload(key, uploadId, cause))
        return { partNumber, etag: ETag }
      }),
    completeUpload: (key, uploadId, parts) =>
      attempt(`complete the upload of '${key}'`, async () => {
        const Parts = Input.parts(parts).map(({ partNumber, etag }) => ({
          PartNumber: partNumber,
          ETag: etag,
        }))
        const UploadId = Options.uploadIdOf(uploadId)
        const request = { ...at(key), UploadId, MultipartUpload: { Parts } }
        await client
          .send(new CompleteMultipartUploadCommand(request))
          .catch((cause: unknown) => failUpload(key, uploadId, cause))
        return head(key)
      }),
    abortUpload: (key, uploadId) =>
      attempt(`abort the upload of '${key}'`, async () => {
        const command = new AbortMultipartUploadCommand({
          ...at(key),
          UploadId: Options.uploadIdOf(uploadId),
        })
        await client.send(command).catch((cause: unknown) => {
          if (wrap("")(cause).reason !== "NotFound") throw cause
        })
      }),
  })
}

/** A store in a bucket, which must exist. The server is first asked at the first operation. */
export const layer = (options: S3Options): Layer.Layer<BlobStore, BlobStoreError> =>
  Layer.effect(
    BlobStore,
    Effect.gen(function* () {
      const decoded = yield* Effect.try({
        try: () => Options.decode(options),
        catch: Failures.orInternal,
      })
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => connect(decoded)),
        (opened) => Effect.sync(() => opened.destroy()),
      )
      return make(client, decoded)
    }),
  )

/** The same, from configuration. */
export const layerConfig = (
  options: Config.Wrap<S3Options>,
): Layer.Layer<BlobStore, BlobStoreError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
