import * as HttpKit from "@ashlar/core/fastify"
import { Serving } from "@ashlar/serving"
import * as Oip from "@ashlar/serving/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as ModelStore from "./model-store.ts"
import { doubler, longDoubler, squarer } from "./onnx-model.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-serving-"))
const store = ModelStore.make(folder)
store.add("numbers", doubler(3), 3)
store.add("numbers", squarer(3), 3)
store.setAlias("numbers", "champion", 1)
store.add("longs", longDoubler(1), 1, "INT64")
store.add("broken", Uint8Array.of(1, 2, 3), 1)

const runtime = ManagedRuntime.make(Layer.provide(Serving.layer({ maxBatchRows: 64 }), store.layer))
let server: HttpKit.Server

beforeAll(async () => {
  server = await HttpKit.makeServer({
    auth: "off-on-loopback",
    register: (app) => app.register(Oip.plugin, { runtime }),
  })
})
afterAll(async () => {
  await server.drain()
  await runtime.dispose()
  rmSync(folder, { recursive: true, force: true })
})

const predict = (values: Array<number>, version?: number) =>
  runtime.runPromise(
    Effect.flatMap(Serving.Serving, (serving) =>
      serving.predict({
        model: { name: "numbers", ...(version === undefined ? {} : { version }) },
        inputs: {
          x: { datatype: "FP32", shape: [values.length / 3, 3], data: Float32Array.from(values) },
        },
      }),
    ),
  )

const infer = (body: unknown, path = "numbers", headers: Record<string, string> = {}) =>
  fetch(`${server.url}/v2/models/${path}/infer`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
  })

const request = (data: unknown, shape = [1, 3], datatype = "FP32") => ({
  inputs: [{ name: "x", datatype, shape, data }],
})

describe("Serving", () => {
  it("predicts with the champion, and with a version by number", async () => {
    const champion = await predict([1, 2, 3])
    expect(champion).toMatchObject({ model: "numbers", version: 1 })
    expect(Array.from(champion.outputs["y"]?.data as Float32Array)).toEqual([2, 4, 6])
    const second = await predict([1, 2, 3], 2)
    expect(Array.from(second.outputs["y"]?.data as Float32Array)).toEqual([1, 4, 9])
  })

  it("runs waiting requests together and gives each its own rows", async () => {
    const before = await statistics()
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => predict([i, i + 1, i + 2])),
    )
    answers.forEach((answer, i) => {
      expect(Array.from(answer.outputs["y"]?.data as Float32Array)).toEqual([
        2 * i,
        2 * i + 2,
        2 * i + 4,
      ])
    })
    const after = await statistics()
    expect(after.requests - before.requests).toBe(200)
    expect(after.runs - before.runs).toBeLessThan(100)
  })

  it("keeps the event loop free while a model runs", async () => {
    let ticks = 0
    const timer = setInterval(() => (ticks += 1), 1)
    const rows = 2_000_000
    await runtime.runPromise(
      Effect.flatMap(Serving.Serving, (serving) =>
        serving.predict({
          model: { name: "numbers", version: 2 },
          inputs: { x: { datatype: "FP32", shape: [rows, 3], data: new Float32Array(rows * 3) } },
        }),
      ),
    )
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(3)
  })

  it("follows the alias without refusing a request, and keeps the old version if the new one is broken", async () => {
    const answers: Array<number> = []
    let going = true
    const load = (async () => {
      while (going) answers.push((await predict([1, 1, 3])).version)
    })()
    store.setAlias("numbers", "champion", 2)
    await expect.poll(() => answers.at(-1), { timeout: 10_000 }).toBe(2)
    store.add("numbers", Uint8Array.of(9, 9), 3)
    store.setAlias("numbers", "champion", 3)
    await new Promise((resolve) => setTimeout(resolve, 300))
    going = false
    await load
    expect(answers.at(-1)).toBe(2)
    store.setAlias("numbers", "champion", 1)
    await expect.poll(async () => (await predict([1, 1, 1])).version, { timeout: 10_000 }).toBe(1)
  })

  const statistics = () =>
    runtime.runPromise(
      Effect.flatMap(Serving.Serving, (serving) => serving.status({ name: "numbers" })),
    )
})

describe("Open Inference Protocol", () => {
  it("answers metadata, health and statistics", async () => {
    const get = async (path: string) => (await fetch(`${server.url}${path}`)).json()
    expect(await get("/v2")).toMatchObject({ name: "ashlar" })
    expect(await get("/v2/health/live")).toEqual({ live: true })
    expect(await get("/v2/models/numbers")).toEqual({
      name: "numbers",
      versions: ["1"],
      platform: "onnx_onnxv1",
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 3] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1, 3] }],
    })
    expect(await get("/v2/models/numbers/versions/2/ready")).toMatchObject({ ready: true })
    const { model_stats } = (await get("/v2/models/numbers/stats")) as {
      model_stats: Array<{ inference_stats: { success: { count: number } } }>
    }
    expect(model_stats[0]?.inference_stats.success.count).toBeGreaterThan(0)
  })

  it("infers from flat and nested JSON and echoes the id", async () => {
    const flat = await infer({ id: "a1", ...request([1, 2, 3]) })
    expect(await flat.json()).toEqual({
      model_name: "numbers",
      model_version: "1",
      id: "a1",
      outputs: [{ name: "y", datatype: "FP32", shape: [1, 3], data: [2, 4, 6] }],
    })
    const nested = await infer(
      request(
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
        [2, 3],
      ),
    )
    expect(await nested.json()).toMatchObject({ outputs: [{ data: [2, 4, 6, 8, 10, 12] }] })
  })

  it("infers from and to raw bytes", async () => {
    const json = JSON.stringify({
      inputs: [
        { name: "x", datatype: "FP32", shape: [1, 3], parameters: { binary_data_size: 12 } },
      ],
      parameters: { binary_data_output: true },
    })
    const body = Buffer.concat([Buffer.from(json), new Uint8Array(Float32Array.of(1, 2, 3).buffer)])
    const answer = await infer(body, "numbers", {
      "inference-header-content-length": String(json.length),
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    if (answer.status !== 200) throw new Error(bytes.toString())
    const header = Number(answer.headers.get("inference-header-content-length"))
    expect(JSON.parse(bytes.subarray(0, header).toString())).toMatchObject({
      outputs: [{ name: "y", parameters: { binary_data_size: 12 } }],
    })
    expect(bytes.subarray(header).readFloatLE(8)).toBe(6)
  })

  it("keeps all digits of 64-bit integers in JSON", async () => {
    const answer = await infer(
      '{"inputs":[{"name":"x","datatype":"INT64","shape":[1,1],"data":[4503599627370497123]}]}',
      "longs",
    )
    expect(await answer.text()).toContain('"data":[9007199254740994246]')
  })

  it.each([
    ["no JSON", "{", 400, "not JSON"],
    [
      "another name",
      { inputs: [{ name: "z", datatype: "FP32", shape: [1, 3], data: [1, 2, 3] }] },
      400,
      "x",
    ],
    ["another type", request([1, 2, 3], [1, 3], "INT32"), 400, "INT32"],
    ["another width", request([1, 2], [1, 2]), 400, "x"],
    ["too few values", request([1, 2]), 400, "3 elements"],
    ["a string among numbers", request([1, "2", 3]), 400, "data[1]"],
    ["negative dimensions", request([], [-1, 3]), 400, "shape"],
    ["huge dimensions", request([], [1e9, 3]), 400, "elements"],
    ["no inputs", { inputs: [] }, 400, "inputs"],
    ["unknown output", { ...request([1, 2, 3]), outputs: [{ name: "nope" }] }, 400, "nope"],
    ["unknown model", request([1, 2, 3]), 404, "does not exist", "nobody"],
    ["a name that is none", request([1, 2, 3]), 400, "not a model name", "..%2fetc"],
    ["unknown version", request([1, 2, 3]), 404, "does not exist", "numbers/versions/99"],
    ["a version that is none", request([1, 2, 3]), 400, "version", "numbers/versions/x"],
  ])("refuses %s and stays up", async (_, body, status, text, path = "numbers") => {
    const answer = await infer(body, path)
    const { error } = (await answer.json()) as { error: string }
    expect(error).toContain(text)
    expect(answer.status).toBe(status)
    expect((await infer(request([1, 2, 3]))).status).toBe(200)
  })

  it("refuses a model that cannot be loaded, and serves the others", async () => {
    const answer = await infer(request([1], [1, 1]), "broken")
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(((await answer.json()) as { error: string }).error).toContain("cannot be loaded")
    expect((await infer(request([1, 2, 3]))).status).toBe(200)
  })

  it("refuses a header that does not fit the body", async () => {
    const answer = await infer(request([1, 2, 3]), "numbers", {
      "inference-header-content-length": "99999",
    })
    expect(answer.status).toBe(400)
  })
})
