import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { beforeAll, describe, expect, it } from "vitest"
import { BlobStore, Digest } from "@ashlar/core"
import * as S3 from "@ashlar/core/s3"
import { BlobStoreSuite } from "@ashlar/core/testing"

const endpoint = process.env["ASHLAR_S3_ENDPOINT"]
const bucket = `conformance-${process.pid}`
const credentials = { accessKeyId: "test", secretAccessKey: "test" }
const options: S3.S3Options = {
  bucket,
  region: "us-east-1",
  endpoint: endpoint ?? "http://127.0.0.1:1",
  accessKeyId: credentials.accessKeyId,
  secretAccessKey: Redacted.make(credentials.secretAccessKey),
}

const run = <A, E>(effect: Effect.Effect<A, E, BlobStore.BlobStore>, given = options) =>
  Effect.runPromise(Effect.provide(effect, S3.layer(given)))

describe.skipIf(endpoint === undefined)("needs ASHLAR_S3_ENDPOINT", () => {
  beforeAll(async () => {
    const client = new S3Client({
      endpoint: options.endpoint ?? "",
      region: "us-east-1",
      forcePathStyle: true,
      credentials,
    })
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
    client.destroy()
  })

  BlobStoreSuite.run("s3", S3.layer(options), { timeoutMs: 60_000 })
  BlobStoreSuite.run("s3 under a prefix", S3.layer({ ...options, prefix: "team a/" }), {
    timeoutMs: 60_000,
    promise: false,
  })
  BlobStoreSuite.run(
    "s3 without conditional put",
    S3.layer({ ...options, conditionalPut: false }),
    { timeoutMs: 60_000, promise: false },
  )

  const chunk = new Uint8Array(1 << 20).fill(7)
  const long = Stream.fromIterable(Array.from({ length: 20 }, () => chunk))
  const longDigest = Digest.of(Buffer.alloc(20 << 20, 7))

  it("streams in parts and knows the digest afterwards", async () => {
    const head = await run(
      Effect.gen(function* () {
        const blobs = yield* BlobStore.BlobStore
        yield* blobs.put("long", long)
        yield* Stream.runDrain(blobs.get("long", { verify: true }))
        return yield* blobs.head("long")
      }),
    )
    expect(head).toMatchObject({ size: 20 << 20, digest: longDigest })
  })

  it("a long stream with a wrong digest leaves nothing, not even parts", async () => {
    const error = await run(
      Effect.gen(function* () {
        const blobs = yield* BlobStore.BlobStore
        const failed = yield* Effect.flip(blobs.put("wrong", long, { digest: Digest.of("other") }))
        const absent = yield* Effect.flip(blobs.head("wrong"))
        return [failed.code, absent.code]
      }),
    )
    expect(error).toEqual(["BlobStoreError.PreconditionFailed", "BlobStoreError.NotFound"])
    const uploads = await fetch(`${endpoint}/${bucket}?uploads`)
    expect(await uploads.text()).not.toContain("<Upload>")
  })

  it("a long stream honours ifAbsent", async () => {
    const error = await run(
      Effect.gen(function* () {
        const blobs = yield* BlobStore.BlobStore
        yield* blobs.put("taken", long, { ifAbsent: true, digest: longDigest })
        return yield* Effect.flip(blobs.put("taken", long, { ifAbsent: true }))
      }),
    )
    expect(error.code).toBe("BlobStoreError.AlreadyExists")
  })

  it("names a bucket that is not there", async () => {
    const error = await run(
      Effect.flip(BlobStore.BlobStore.use((blobs) => blobs.put("a", chunk))),
      { ...options, bucket: "no-such-bucket" },
    )
    expect(error.code).toBe("BlobStoreError.Unavailable")
    expect(error.message).toContain("bucket")
  })
})

describe("without a server", () => {
  it("fails with Unavailable", async () => {
    const error = await run(Effect.flip(BlobStore.BlobStore.use((blobs) => blobs.head("a"))), {
      ...options,
      endpoint: "http://127.0.0.1:1",
    })
    expect(error.code).toBe("BlobStoreError.Unavailable")
  })

  it("refuses wrong options", async () => {
    const error = await Effect.runPromise(
      Effect.flip(
        Effect.provide(
          BlobStore.BlobStore.use((blobs) => blobs.head("a")),
          S3.layer({ bucket: "No/Bucket" }),
        ),
      ),
    )
    expect(error.code).toBe("BlobStoreError.InvalidInput")
  })
})
