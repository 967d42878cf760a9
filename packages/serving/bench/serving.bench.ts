/**
 * What serving adds to a model's own time, and whether the server answers while a model runs.
 * Both sides of a ratio are measured in the same rounds, in this process.
 */
import type { DataType } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import { Serving } from "@ashlar/serving"
import * as Oip from "@ashlar/serving/fastify"
import { open } from "@ashlar/serving/onnx"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdtempSync, rmSync } from "node:fs"
import { request as httpRequest, Agent } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ModelStore from "../test/model-store.ts"
import { squarer } from "../test/onnx-model.ts"

const width = 32
const folder = mkdtempSync(join(tmpdir(), "ashlar-serving-bench-"))
const store = ModelStore.make(folder)
store.add("numbers", squarer(width), width)
store.add("slow", Uint8Array.of(0), 1, "FP32", "slow")

const runtime = ManagedRuntime.make(
  Layer.provide(
    Serving.layer({ backends: { slow: new URL("./slow-backend.ts", import.meta.url) } }),
    store.layer,
  ),
)
const server = await HttpKit.makeServer({
  auth: "off-on-loopback",
  register: (app) => app.register(Oip.plugin, { runtime }),
})
const agent = new Agent({ keepAlive: true })

/** One request on a kept connection, without fetch's own cost. */
const send = (method: string, path: string, headers: Record<string, string>, body?: Uint8Array) =>
  new Promise<Buffer>((resolve, reject) => {
    const sent = httpRequest(`${server.url}${path}`, { method, headers, agent }, (answer) => {
      const chunks: Array<Buffer> = []
      answer.on("data", (chunk: Buffer) => chunks.push(chunk))
      answer.on("end", () => {
        const bytes = Buffer.concat(chunks)
        if (answer.statusCode === 200) resolve(bytes)
        else reject(new Error(`${answer.statusCode}: ${bytes.toString()}`))
      })
    })
    sent.on("error", reject)
    sent.end(body)
  })

const quantile = (values: ReadonlyArray<number>, q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ??
  Number.NaN

const micros = async (run: () => Promise<unknown>, count: number): Promise<number> => {
  const start = performance.now()
  for (let i = 0; i < count; i++) await run()
  return ((performance.now() - start) * 1000) / count
}

const print = (bench: string, value: number, unit: string, against: string, bar: number) =>
  console.log(
    JSON.stringify({
      bench: `serving/${bench}`,
      value: Number(value.toFixed(2)),
      unit,
      against,
      bar,
      pass: value < bar,
    }),
  )

const raw = await open(join(folder, "numbers-1", "model.onnx"), { threads: 1 })
for (const rows of [1, 256]) {
  const data = Float32Array.from({ length: rows * width }, (_, i) => i % 17)
  const x: DataType.Tensor = { datatype: "FP32", shape: [rows, width], data }
  const bytes = new Uint8Array(data.buffer)
  const json = Buffer.from(
    JSON.stringify({
      inputs: [
        {
          name: "x",
          datatype: "FP32",
          shape: [rows, width],
          parameters: { binary_data_size: bytes.length },
        },
      ],
      parameters: { binary_data_output: true },
    }),
  )
  const body = Buffer.concat([json, bytes])
  const headers = {
    "content-type": "application/octet-stream",
    "inference-header-content-length": String(json.length),
  }
  const sides = {
    run: () => raw.run({ x }, undefined),
    predict: () =>
      runtime.runPromise(
        Effect.flatMap(Serving.Serving, (serving) =>
          serving.predict({ model: { name: "numbers" }, inputs: { x } }),
        ),
      ),
    ping: () => send("GET", "/v2/health/live", {}),
    http: () => send("POST", "/v2/models/numbers/infer", headers, body),
  }
  const times = {
    run: [] as Array<number>,
    predict: [] as Array<number>,
    ping: [] as Array<number>,
    http: [] as Array<number>,
  }
  for (let round = -1; round < 7; round++) {
    for (const side of ["run", "predict", "ping", "http"] as const) {
      const value = await micros(sides[side], 300)
      // The first round warms up.
      if (round >= 0) times[side].push(value)
    }
  }
  const median = (side: keyof typeof times) => quantile(times[side], 0.5)
  print(
    `worker/${rows}`,
    median("predict") - median("run"),
    "us",
    `session.run on the calling thread takes ${median("run").toFixed(0)} us for ${rows} x ${width} floats`,
    400,
  )
  print(
    `http/${rows}`,
    median("http") - median("run"),
    "us",
    `the same run of ${median("run").toFixed(0)} us; an empty request to this server takes ${median("ping").toFixed(0)} us`,
    1000,
  )
}

// A model that keeps its thread for 1 s, and health probes beside it.
const probe = async (count: number): Promise<Array<number>> => {
  const latencies: Array<number> = []
  for (let i = 0; i < count; i++) {
    const start = performance.now()
    await send("GET", "/v2/health/live", {})
    latencies.push(performance.now() - start)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return latencies
}
const slow = JSON.stringify({ inputs: [{ name: "x", datatype: "FP32", shape: [1, 1], data: [1] }] })
const slowly = () => send("POST", "/v2/models/slow/infer", {}, Buffer.from(slow))
await slowly()
const idle = await probe(800)
let running = true
const load = (async () => {
  while (running) await slowly()
})()
const busy = await probe(800)
running = false
await load
print(
  "health/p99",
  quantile(busy, 0.99),
  "ms",
  `p99 of ${quantile(idle, 0.99).toFixed(2)} ms with no model running; here one runs 1 s at a time`,
  5,
)

await server.drain()
await raw.close()
await runtime.dispose()
agent.destroy()
rmSync(folder, { recursive: true, force: true })
