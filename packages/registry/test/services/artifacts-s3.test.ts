import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3"
import { BlobStore, Database, Digest } from "@ashlar/core"
import * as S3 from "@ashlar/core/s3"
import * as Sqlite from "@ashlar/core/sqlite"
import { Artifacts } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { sql } from "kysely"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const endpoint = process.env["ASHLAR_S3_ENDPOINT"] ?? ""
const bucket = `artifacts-service-${process.pid}`
const folder = mkdtempSync(join(tmpdir(), "ashlar-artifacts-s3-"))

const environment = () =>
  Artifacts.layer.pipe(
    Layer.provideMerge(
      Layer.merge(
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        S3.layer({
          bucket,
          endpoint,
          region: "us-east-1",
          accessKeyId: "test",
          secretAccessKey: Redacted.make("test"),
        }),
      ),
    ),
  )
type Environment = Layer.Success<ReturnType<typeof environment>>
const run = <A, E>(effect: Effect.Effect<A, E, Environment>) =>
  Effect.runPromise(Effect.provide(effect, environment()))

const part = (seed: number) => Buffer.alloc(5 * 1024 * 1024 + seed, seed)
const send = async (url: string, body: Buffer) => {
  const answer = await fetch(url, { method: "PUT", body: new Uint8Array(body) })
  expect(answer.status).toBe(200)
  return answer.headers.get("etag") ?? ""
}
const digestOf = (stream: Stream.Stream<Uint8Array, unknown>) =>
  Effect.map(Stream.runCollect(stream), (chunks) => Digest.of(Buffer.concat(chunks)))

describe.skipIf(endpoint === "")("artifacts on S3", () => {
  const client = new S3Client({
    endpoint: endpoint === "" ? "http://127.0.0.1:1" : endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  })
  beforeAll(() => client.send(new CreateBucketCommand({ Bucket: bucket })))
  afterAll(() => {
    client.destroy()
    rmSync(folder, { recursive: true, force: true })
  })
  const pending = async () =>
    (await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads?.length ?? 0

  it("takes parts straight from clients, and goes on after a restart", async () => {
    const { uploadId, urls = [] } = await run(
      Artifacts.Artifacts.use((artifacts) => artifacts.createUpload("s3/big.bin", 3)),
    )
    expect(urls).toHaveLength(3)
    expect(urls[0]).toContain(endpoint)
    const bodies = [part(1), part(2), Buffer.from("end")]
    const etags = await Promise.all(bodies.map((body, i) => send(urls[i] ?? "", body)))
    const parts = etags.map((etag, i) => ({ partNumber: i + 1, etag }))
    const file = await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const wrong = parts.with(1, { partNumber: 2, etag: '"0123456789abcdef"' })
        const refused = yield* Effect.flip(artifacts.completeUpload("s3/big.bin", uploadId, wrong))
        expect(refused.reason).toBe("InvalidInput")
        return yield* artifacts.completeUpload("s3/big.bin", uploadId, parts)
      }),
    )
    expect(file).toMatchObject({
      digest: Digest.of(Buffer.concat(bodies)),
      size: bodies.reduce((sum, { length }) => sum + length, 0),
    })
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        // A client that did not hear of it completes again.
        yield* artifacts.completeUpload("s3/big.bin", uploadId, parts)
        expect(yield* digestOf(artifacts.read(file))).toBe(file.digest)
        const url = (yield* artifacts.presign(file, 60)) ?? ""
        const ranged = yield* Effect.promise(() =>
          fetch(url, { headers: { range: `bytes=${file.size - 3}-` } }).then((got) => got.text()),
        )
        expect(ranged).toBe("end")
        // The same content again leaves one blob.
        yield* artifacts.put("s3/copy.bin", Stream.fromIterable(bodies))
        const found = yield* (yield* BlobStore.BlobStore).list("registry/")
        expect(found.items).toHaveLength(1)
      }),
    )
    expect(await pending()).toBe(0)
  })

  it("completes what a killed process had joined already", async () => {
    const { uploadId, urls = [] } = await run(
      Artifacts.Artifacts.use((artifacts) => artifacts.createUpload("s3/joined.bin", 1)),
    )
    const etag = await send(urls[0] ?? "", Buffer.from("joined"))
    const file = await run(
      Effect.gen(function* () {
        const db = yield* Database.Database
        const blobs = yield* BlobStore.BlobStore
        const [row] = yield* db.all<{ key: string; native: string }>(
          sql`select key, native from registry_upload where id = ${uploadId}`,
        )
        const parts = [{ partNumber: 1, etag }]
        yield* blobs.completeUpload(row?.key ?? "", row?.native ?? "", parts)
        const artifacts = yield* Artifacts.Artifacts
        return yield* artifacts.completeUpload("s3/joined.bin", uploadId, parts)
      }),
    )
    expect(file.digest).toBe(Digest.of(Buffer.from("joined")))
  })

  it("drops uploads that were aborted or given up", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const aborted = yield* artifacts.createUpload("s3/aborted.bin", 1)
        yield* artifacts.createUpload("s3/given-up.bin", 1)
        yield* artifacts.abortUpload("s3/aborted.bin", aborted.uploadId)
        const db = yield* Database.Database
        yield* db.run(sql`update registry_upload set touched = 0`)
        expect((yield* artifacts.collect()).uploads).toBe(1)
      }),
    )
    expect(await pending()).toBe(0)
  })
})
