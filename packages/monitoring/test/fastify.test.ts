import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Digest, ModelSource } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import Fastify, { type FastifyInstance } from "fastify"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { plugin } from "../src/fastify.ts"
import { Monitoring, Profile } from "../src/index.ts"

const folder = mkdtempSync(join(tmpdir(), "http-"))
const names = ["f0", "f1", "f2", "f3", "f4"]
writeFileSync(
  join(folder, "model.onnx"),
  readFileSync(new URL("./fixtures/trees-xgb-binary.onnx", import.meta.url)),
)

const models = Layer.succeed(ModelSource.ModelSource, {
  changes: () => Stream.never,
  resolve: ({ name }) =>
    name === "trees"
      ? Effect.succeed({
          name,
          version: 3,
          aliases: ["champion"],
          package: {
            directory: folder,
            manifest: {
              flavor: "onnx",
              flavors: {},
              entry: "model.onnx",
              signature: {
                inputs: [{ name: "features", datatype: "FP32", shape: [-1, 5], columns: names }],
                outputs: [{ name: "probability", datatype: "FP32", shape: [-1] }],
              },
              modelUuid: "x",
              created: 0,
              files: [],
              digest: Digest.of("x"),
            },
          },
        })
      : Effect.fail(
          new ModelSource.ModelStoreError({ reason: "NotFound", message: `no model '${name}'` }),
        ),
})

const runtime = ManagedRuntime.make(
  Layer.merge(Monitoring.layer().pipe(Layer.provide(Sqlite.layer({ file: ":memory:" }))), models),
)
let app: FastifyInstance

beforeAll(async () => {
  app = Fastify()
  await app.register(HttpKit.plugin, { auth: "off-on-loopback", openMetrics: true })
  await app.register(plugin, { runtime, models: runtime })
  await app.ready()
})
afterAll(async () => {
  await app.close()
  await runtime.dispose()
  rmSync(folder, { recursive: true, force: true })
})

const send = async (method: "GET" | "POST" | "PUT", url: string, payload?: object) => {
  const response = await app.inject({ method, url, ...(payload === undefined ? {} : { payload }) })
  return {
    status: response.statusCode,
    body: response.body === "" ? undefined : JSON.parse(response.body),
  }
}

const events = Array.from({ length: 200 }, (_, i) => ({
  predictionId: `p${i}`,
  model: "trees",
  version: "3",
  time: new Date(Date.UTC(2001, 4, 1 + (i % 40))).toISOString(),
  features: Object.fromEntries([
    ...names.map((name, j) => [name, i % 7 === j ? null : Math.sin(i * (j + 1))]),
    ["origin", i % 2 === 0 ? "SFO" : null],
  ]),
  outputs: { probability: (i % 100) / 100 },
  segments: { carrier: i % 2 === 0 ? "AA" : "UA" },
}))

describe("the Fastify plugin", () => {
  it("takes predictions and labels and answers what became of them", async () => {
    expect(await send("POST", "/v1/predictions", { predictions: events })).toEqual({
      status: 200,
      body: { accepted: 200 },
    })
    expect(
      (await send("POST", "/v1/predictions", { predictions: events.slice(0, 50) })).status,
    ).toBe(200)
    const labels = events.map(({ predictionId, model, time, outputs }) => ({
      predictionId,
      model,
      time,
      label: outputs.probability > 0.5,
    }))
    expect((await send("POST", "/v1/labels", { labels })).body).toEqual({ accepted: 200 })

    const list = await send("GET", "/v1/models")
    expect(list.body.models).toEqual([
      {
        model: "trees",
        versions: ["3"],
        predictions: 200,
        first: "2001-05-01T00:00:00Z",
        last: "2001-06-09T00:00:00Z",
      },
    ])
    const months = await send(
      "GET",
      "/v1/models/trees/performance?by=month&segment=carrier&metrics=auc,brier",
    )
    expect(months.body.rows).toHaveLength(4)
    expect(months.body.rows[0]).toMatchObject({
      window: { from: "2001-05-01T00:00:00Z", to: "2001-06-01T00:00:00Z" },
      segment: "AA",
      coverage: 1,
      metrics: { auc: 1 },
    })
    const misses = await send("GET", "/v1/models/trees/misses?limit=3")
    expect(misses.body.misses).toHaveLength(3)
    expect(misses.body.misses[0].features).toHaveProperty("origin")
  })

  it("takes a reference profile and reports drift against it", async () => {
    const profile = Profile.ofColumns({
      f0: Float64Array.from({ length: 500 }, (_, i) => 5 + Math.sin(i)),
    })
    expect((await send("PUT", "/v1/models/trees/references/training", profile)).status).toBe(204)
    const { body } = await send("GET", "/v1/models/trees/drift?by=month&reference=training")
    expect(body.windows).toHaveLength(2)
    expect(body.windows[0].columns[0]).toMatchObject({ column: "f0", drifted: true })
    expect(body.windows[0].incomparable).toContain("origin")
  })

  it("explains rows of a registered model", async () => {
    const rows = events
      .slice(0, 3)
      .map(({ features }) => Object.fromEntries(names.map((name) => [name, features[name]])))
    const { status, body } = await send("POST", "/v1/models/trees/explain", {
      alias: "champion",
      rows,
    })
    expect(status).toBe(200)
    expect(body.version).toBe(3)
    for (const row of body.rows as ReadonlyArray<{
      output: number
      attributions: ReadonlyArray<{ value: number }>
    }>) {
      const sum = row.attributions.reduce((total, { value }) => total + value, body.base)
      expect(sum).toBeCloseTo(row.output, 9)
    }
  })

  it("answers bad requests with what is wrong, never a 5xx", async () => {
    const bad: ReadonlyArray<
      readonly ["GET" | "POST" | "PUT", string, object | undefined, number, RegExp]
    > = [
      [
        "POST",
        "/v1/predictions",
        { predictions: [{ ...events[0], time: "yesterday" }] },
        400,
        /ISO 8601/,
      ],
      [
        "POST",
        "/v1/predictions",
        { predictions: [{ ...events[0], predictionId: "" }] },
        400,
        /predictionId/,
      ],
      [
        "POST",
        "/v1/predictions",
        { predictions: [events[0], { ...events[1], features: { origin: 3 } }] },
        400,
        /texts and numbers/,
      ],
      ["POST", "/v1/labels", { labels: "x" }, 400, /labels/],
      ["GET", "/v1/models/nobody/performance", undefined, 404, /check its name/],
      ["GET", "/v1/models/trees/performance?by=year", undefined, 400, /by/],
      ["GET", "/v1/models/trees/performance?metrics=f2", undefined, 400, /metrics/],
      ["GET", "/v1/models/trees/misses?limit=0", undefined, 400, /limit/],
      ["GET", "/v1/models/trees/drift?reference=none", undefined, 404, /no reference 'none'/],
      ["PUT", "/v1/models/trees/references/x", { schema: "other" }, 400, /body/],
      ["POST", "/v1/models/nobody/explain", { rows: [{}] }, 404, /no model/],
      ["POST", "/v1/models/trees/explain", { rows: [{ f0: "1" }] }, 400, /rows/],
    ]
    for (const [method, url, payload, status, message] of bad) {
      const response = await app.inject({
        method,
        url,
        ...(payload === undefined ? {} : { payload }),
      })
      expect([url, response.statusCode]).toEqual([url, status])
      expect(response.body).toMatch(message)
    }
  })

  it("shows its metrics in Prometheus text", async () => {
    const { body } = await app.inject({ method: "GET", url: "/metrics" })
    expect(body).toMatch(/ashlar_monitoring_predictions_total\{model="trees"\} 200/)
    expect(body).toMatch(/ashlar_monitoring_labels_total\{model="trees"\} 200/)
  })
})
