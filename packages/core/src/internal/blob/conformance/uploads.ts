/**
 * Cases of the BlobStore suite: uploads in parts, and presigned URLs.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Id from "../../../Id.ts"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { type BlobCase, bytes, read, same, scratch } from "./scratch.ts"

// The smallest part S3 takes, save for the last.
const partSize = 5 * 1024 * 1024

/** Cases about uploads and presigned URLs. */
export const uploads: ReadonlyArray<BlobCase> = [
  {
    name: "joins parts in order",
    requires: (capabilities) => capabilities.multipart,
    otherwise: "NotSupported",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}parts`
        const upload = yield* blobs.createUpload(key, { contentType: "text/csv" })
        const last = yield* blobs.uploadPart(key, upload, 3, bytes(10, 3))
        yield* blobs.uploadPart(key, upload, 1, bytes(partSize, 9))
        const first = yield* blobs.uploadPart(key, upload, 1, bytes(partSize, 1))
        yield* fails(blobs.head(key), "NotFound")
        const info = yield* blobs.completeUpload(key, upload, [first, last])
        yield* equal([info.key, info.size], [key, partSize + 10], "the blob")
        yield* equal((yield* blobs.head(key)).contentType, "text/csv", "the content type")
        const expected = Buffer.concat([bytes(partSize, 1), bytes(10, 3)])
        yield* ensure(same(yield* read(blobs, key), expected), "the parts are joined wrongly")
      }),
    ),
  },
  {
    name: "refuses wrong parts",
    requires: (capabilities) => capabilities.multipart,
    otherwise: "NotSupported",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}wrong`
        const upload = yield* blobs.createUpload(key)
        const part = yield* blobs.uploadPart(key, upload, 1, bytes(10))
        const complete = (...parts: ReadonlyArray<typeof part>) =>
          blobs.completeUpload(key, upload, parts)
        yield* fails(complete(), "InvalidInput")
        yield* fails(complete(part, part), "InvalidInput")
        yield* fails(
          complete({ ...part, etag: part.etag.replace(/[0-9a-f]/, "x") }),
          "PreconditionFailed",
        )
        yield* fails(complete({ ...part, partNumber: 2 }), "PreconditionFailed")
        yield* fails(blobs.uploadPart(key, upload, 0, bytes(1)), "InvalidInput")
        yield* fails(blobs.uploadPart(key, upload, 10_001, bytes(1)), "InvalidInput")
        yield* fails(blobs.head(key), "NotFound")
        yield* complete(part)
      }),
    ),
  },
  {
    name: "an aborted upload is gone",
    requires: (capabilities) => capabilities.multipart,
    otherwise: "NotSupported",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}aborted`
        const upload = yield* blobs.createUpload(key)
        const part = yield* blobs.uploadPart(key, upload, 1, bytes(10))
        yield* blobs.abortUpload(key, upload)
        yield* blobs.abortUpload(key, upload)
        yield* fails(blobs.uploadPart(key, upload, 2, bytes(10)), "NotFound")
        yield* fails(blobs.completeUpload(key, upload, [part]), "NotFound")
        yield* fails(blobs.uploadPart(key, Id.make(), 1, bytes(10)), "NotFound")
        yield* fails(blobs.head(key), "NotFound")
      }),
    ),
  },
  {
    name: "presigned URLs read and write",
    requires: (capabilities) => capabilities.presignedUrls,
    otherwise: "NotSupported",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}presigned`
        const url = yield* blobs.presign(key, { method: "PUT", expiresSeconds: 60 })
        const put = yield* Effect.promise(() =>
          fetch(url, { method: "PUT", body: Buffer.from(bytes(1000)) }),
        )
        yield* ensure(put.ok, `the presigned PUT answered ${put.status}`)
        yield* ensure(same(yield* read(blobs, key), bytes(1000)), "another content was stored")
        const from = yield* blobs.presign(key, { method: "GET", expiresSeconds: 60 })
        const got = yield* Effect.promise(async () => (await fetch(from)).arrayBuffer())
        yield* ensure(same(new Uint8Array(got), bytes(1000)), "the presigned GET gave other bytes")
        yield* fails(blobs.presign(key, { method: "GET", expiresSeconds: 0 }), "InvalidInput")
        if (!blobs.capabilities.multipart) return
        const uploadId = yield* blobs.createUpload(`${key}-parts`)
        const part = { uploadId, partNumber: 1 }
        const to = yield* blobs.presign(`${key}-parts`, {
          method: "PUT",
          expiresSeconds: 60,
          part,
        })
        const sent = yield* Effect.promise(() =>
          fetch(to, { method: "PUT", body: Buffer.from(bytes(1000)) }),
        )
        const etag = sent.headers.get("etag") ?? ""
        yield* blobs.completeUpload(`${key}-parts`, uploadId, [{ partNumber: 1, etag }])
        yield* ensure(
          same(yield* read(blobs, `${key}-parts`), bytes(1000)),
          "the part sent to a presigned URL is not in the blob",
        )
        yield* fails(
          blobs.presign(key, { method: "GET", expiresSeconds: 60, part }),
          "InvalidInput",
        )
      }),
    ),
  },
]
