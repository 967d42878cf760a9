/**
 * Cases of the BlobStore suite: what is written is what is read.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Digest from "../../../Digest.ts"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { type BlobCase, bytes, read, same, scratch } from "./scratch.ts"

/** Cases about content. */
export const content: ReadonlyArray<BlobCase> = [
  {
    name: "gives back the bytes it was given",
    run: scratch((blobs, prefix) =>
      Effect.forEach([0, 1, 100_000, 3_000_001], (size) =>
        Effect.gen(function* () {
          const data = bytes(size, size)
          const key = `${prefix}${size}`
          const put = yield* blobs.put(key, data, { contentType: "application/x-test" })
          yield* equal(put.digest, Digest.of(data), "the digest of a put")
          const head = yield* blobs.head(key)
          yield* equal(
            [head.key, head.size, head.digest, head.contentType],
            [key, size, Digest.of(data), "application/x-test"],
            "head",
          )
          yield* ensure(head.modified > 1.6e15, "modified is not in microseconds")
          yield* ensure(same(yield* read(blobs, key), data), `${size} bytes came back changed`)
        }),
      ),
    ),
  },
  {
    name: "stores a stream of uneven chunks",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const data = bytes(2_500_000)
        const chunks: Array<Uint8Array> = []
        for (let at = 0, size = 1; at < data.length; at += size, size = size * 3 + 1) {
          chunks.push(data.slice(at, at + size))
        }
        const put = yield* blobs.put(`${prefix}stream`, Stream.fromIterable(chunks))
        yield* equal([put.size, put.digest], [data.length, Digest.of(data)], "size and digest")
        yield* ensure(same(yield* read(blobs, put.key), data), "the stream came back changed")
      }),
    ),
  },
  {
    name: "reads ranges",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}range`
        const data = bytes(1_500_000)
        yield* blobs.put(key, data)
        for (const [start, end] of [
          [0, 10],
          [1_000_000, 1_400_001],
          [1_499_999, 9_000_000],
          [1_500_000, 1_500_000],
          [7, 7],
        ] as const) {
          const part = yield* read(blobs, key, { start, end })
          yield* ensure(same(part, data.subarray(start, end)), `range ${start}-${end} is wrong`)
        }
        yield* ensure(same(yield* read(blobs, key, { start: 9 }), data.subarray(9)), "open end")
        yield* ensure(same(yield* read(blobs, key, { end: 9 }), data.subarray(0, 9)), "open start")
        yield* fails(read(blobs, key, { start: 1_500_001 }), "InvalidInput")
        yield* fails(read(blobs, key, { start: 3, end: 2 }), "InvalidInput")
        yield* fails(read(blobs, key, { start: -1 }), "InvalidInput")
      }),
    ),
  },
  {
    name: "replaces a blob",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}replaced`
        yield* blobs.put(key, bytes(100), { contentType: "text/plain" })
        yield* blobs.put(key, bytes(50, 2))
        const head = yield* blobs.head(key)
        yield* equal([head.size, head.digest], [50, Digest.of(bytes(50, 2))], "head")
        yield* ensure(head.contentType !== "text/plain", "the old content type is still there")
        yield* ensure(same(yield* read(blobs, key), bytes(50, 2)), "the old bytes are still there")
      }),
    ),
  },
  {
    name: "refuses content that is not what its digest says",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}digest`
        const digest = Digest.of(bytes(10))
        yield* fails(blobs.put(key, bytes(10, 2), { digest }), "PreconditionFailed")
        yield* fails(blobs.head(key), "NotFound")
        yield* blobs.put(key, bytes(10), { digest })
        yield* fails(blobs.put(key, bytes(10, 2), { digest }), "PreconditionFailed")
        yield* ensure(same(yield* read(blobs, key), bytes(10)), "the refused content was stored")
      }),
    ),
  },
  {
    name: "verifies on request",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}verified`
        yield* blobs.put(key, bytes(700_000))
        yield* ensure(same(yield* read(blobs, key, { verify: true }), bytes(700_000)), "the bytes")
        yield* fails(read(blobs, key, { verify: true, start: 1 }), "InvalidInput")
      }),
    ),
  },
  {
    name: "says when there is nothing under a key",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}absent`
        yield* fails(blobs.head(key), "NotFound")
        yield* fails(read(blobs, key), "NotFound")
        yield* blobs.remove(key)
        yield* blobs.put(key, bytes(3))
        yield* blobs.remove(key)
        yield* fails(blobs.head(key), "NotFound")
        yield* fails(read(blobs, key), "NotFound")
      }),
    ),
  },
]
