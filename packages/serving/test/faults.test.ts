import * as HttpKit from "@ashlar/core/fastify"
import { Serving } from "@ashlar/serving"
import * as Oip from "@ashlar/serving/fastify"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { orders } from "./fixtures/misbehaving.ts"
import * as ModelStore from "./model-store.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-serving-faults-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let stores = 0

/** Serving with three versions of a model that does what its input says. */
const start = (options: Serving.ServingOptions = {}) => {
  const root = join(folder, String(stores++))
  const store = ModelStore.make(root)
  for (const _ of [1, 2, 3]) store.add("orders", Uint8Array.of(0), 1, "FP32", "misbehaving")
  store.setAlias("orders", "champion", 1)
  const layer = Layer.provide(
    Serving.layer({
      ...options,
      workerHeapMb: 64,
      backends: { misbehaving: new URL("./fixtures/misbehaving.ts", import.meta.url) },
    }),
    store.layer,
  )
  const runtime = ManagedRuntime.make(layer)
  const predict = (order: number, version?: number, signal?: AbortSignal) =>
    runtime.runPromise(
      Effect.flatMap(Serving.Serving, (serving) =>
        serving.predict({
          model: { name: "orders", ...(version === undefined ? {} : { version }) },
          inputs: { x: { datatype: "FP32", shape: [1, 1], data: Float32Array.of(order) } },
        }),
      ),
      signal === undefined ? {} : { signal },
    )
  const status = () =>
    runtime.runPromise(
      Effect.flatMap(Serving.Serving, (serving) => serving.status({ name: "orders", version: 1 })),
    )
  const opened = (version: number) =>
    readFileSync(join(root, `orders-${version}`, "model.onnx.opened"), "utf8").length
  return {
    store,
    layer,
    runtime,
    predict,
    status,
    opened,
    [Symbol.asyncDispose]: () => runtime.dispose(),
  }
}

/** The reason an answer failed with, or "ok". */
const outcome = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    () => "ok",
    (error: { readonly reason?: string }) => error.reason ?? String(error),
  )

const { slow, refuse, exit, ...rest } = orders
const fine = rest["outputs: the inputs"]

describe("a worker that dies while it runs", () => {
  it.each(["throw", "exit", "memory"] as const)(
    "by %s fails its own request with Unavailable, and the next one works",
    async (kind) => {
      await using serving = start()
      expect(await outcome(serving.predict(fine))).toBe("ok")
      expect(await outcome(serving.predict(orders[kind]))).toBe("Unavailable")
      expect(await outcome(serving.predict(fine))).toBe("ok")
      expect(serving.opened(1)).toBe(2)
    },
  )

  it("does not fail those who ran with it", async () => {
    await using serving = start()
    await serving.predict(fine)
    const first = serving.predict(slow)
    const together = [fine, fine, exit, fine].map((order) => outcome(serving.predict(order)))
    await first
    expect(await Promise.all(together)).toEqual(["ok", "ok", "Unavailable", "ok"])
  })

  it("is told apart from a model that refuses the values", async () => {
    await using serving = start()
    expect(await outcome(serving.predict(refuse))).toBe("InvalidInput")
    expect(serving.opened(1)).toBe(1)
  })
})

describe("limits", () => {
  it("refuses what does not fit the queue, and answers the rest", async () => {
    await using serving = start({ maxQueue: 2, maxBatchRows: 1 })
    await serving.predict(fine)
    const answers = Array.from({ length: 5 }, () => outcome(serving.predict(slow)))
    const counts = Object.groupBy(await Promise.all(answers), (reason) => reason)
    expect(counts["ok"]).toHaveLength(3)
    expect(counts["RateLimited"]).toHaveLength(2)
    expect(await serving.status()).toMatchObject({ requests: 4, rejected: 2, failures: 2 })
  })

  it("stops waiting at the time limit; what waited does not run", async () => {
    await using serving = start({ timeoutMs: 200, maxBatchRows: 1 })
    await serving.status()
    const answers = [slow, slow, slow].map((order) => outcome(serving.predict(order)))
    expect(await Promise.all(answers)).toEqual(["Timeout", "Timeout", "Timeout"])
    await expect.poll(async () => (await serving.status()).requests, { timeout: 5000 }).toBe(1)
    expect(await serving.status()).toMatchObject({ runs: 1, cancelled: 2 })
  })

  it("does not run what its caller no longer waits for", async () => {
    await using serving = start({ maxBatchRows: 1 })
    await serving.predict(fine)
    const first = serving.predict(slow)
    const controller = new AbortController()
    const left = serving.predict(slow, undefined, controller.signal).catch(() => "left")
    await new Promise((resolve) => setTimeout(resolve, 50))
    controller.abort()
    await Promise.all([first, left])
    expect(await serving.status()).toMatchObject({ runs: 2, cancelled: 1 })
  })
})

describe("loading and unloading", () => {
  it("loads a version once, however many ask for it first", async () => {
    await using serving = start()
    await Promise.all(Array.from({ length: 20 }, () => serving.predict(fine)))
    expect(serving.opened(1)).toBe(1)
  })

  it("never refuses a request because of an eviction", async () => {
    await using serving = start({ maxModels: 1, defaultAlias: "none" })
    const answers = Array.from({ length: 60 }, (_, i) =>
      outcome(serving.predict(fine, (i % 3) + 1)),
    )
    const late = async () => {
      const results: Array<string> = []
      for (let i = 0; i < 9; i++) results.push(await outcome(serving.predict(fine, (i % 3) + 1)))
      return results
    }
    const results = [...(await Promise.all(answers)), ...(await late())]
    expect(new Set(results)).toEqual(new Set(["ok"]))
    const loaded = await serving.runtime.runPromise(
      Effect.flatMap(Serving.Serving, ({ models }) => models),
    )
    expect(loaded.length).toBe(1)
    expect(serving.opened(1)).toBeGreaterThan(2)
  })

  it("follows an alias that moved while its first version was being loaded", async () => {
    await using serving = start()
    const first = serving.predict(fine)
    await expect.poll(() => serving.opened(1)).toBe(1)
    serving.store.setAlias("orders", "champion", 2)
    await first
    await expect.poll(async () => (await serving.predict(fine)).version).toBe(2)
  })

  it("finishes what runs when it closes, and takes no more", async () => {
    await using serving = start()
    const scope = Effect.runSync(Scope.make())
    const context = await Effect.runPromise(Layer.buildWithScope(serving.layer, scope))
    const predict = (order: number) =>
      outcome(
        Effect.runPromise(
          Context.get(context, Serving.Serving).predict({
            model: { name: "orders" },
            inputs: { x: { datatype: "FP32", shape: [1, 1], data: Float32Array.of(order) } },
          }),
        ),
      )
    await predict(fine)
    const running = [slow, fine].map(predict)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await Effect.runPromise(Scope.close(scope, Exit.void))
    expect(await Promise.all(running)).toEqual(["ok", "ok"])
    expect(await predict(fine)).toBe("Unavailable")
  })
})

describe("over HTTP", () => {
  it("says 400, 429 and 503, and shows totals at /metrics", async () => {
    await using serving = start({ maxQueue: 1, maxBatchRows: 1 })
    await using server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      register: (app) => app.register(Oip.plugin, { runtime: serving.runtime }),
    })
    const infer = async (order: number, outputs?: ReadonlyArray<string>) => {
      const answer = await fetch(`${server.url}/v2/models/orders/infer`, {
        method: "POST",
        body: JSON.stringify({
          inputs: [{ name: "x", datatype: "FP32", shape: [1, 1], data: [order] }],
          ...(outputs === undefined ? {} : { outputs: outputs.map((name) => ({ name })) }),
        }),
      })
      await answer.arrayBuffer()
      return answer.status
    }
    expect(await infer(fine)).toBe(200)
    expect(await infer(fine, ["nope"])).toBe(400)
    expect(await infer(exit)).toBe(503)
    const busy = await Promise.all([slow, slow, slow, slow].map((order) => infer(order)))
    expect(busy.toSorted((a, b) => a - b)).toEqual([200, 200, 429, 429])
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    const value = (name: string, labels: string) =>
      metrics.split("\n").find((line) => line.startsWith(`${name}{`) && line.includes(labels))
    // The unknown output never reached the model.
    expect(value("nv_inference_request_success", 'model="orders"')).toMatch(/ 3$/)
    expect(value("nv_inference_exec_count", 'version="1"')).toMatch(/ 3$/)
    expect(value("nv_inference_request_failure", 'reason="REJECTED"')).toMatch(/ 2$/)
    expect(value("nv_inference_request_failure", 'reason="BACKEND"')).toMatch(/ 1$/)
    expect(value("nv_inference_pending_request_count", 'model="orders"')).toMatch(/ 0$/)
    expect((await fetch(`${server.url}/v2/health/live`, { method: "HEAD" })).status).toBe(200)
  })

  it("refuses a small body that unpacks into a large one, and takes raw requests", async () => {
    await using serving = start()
    await using server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      register: (app) => app.register(Oip.plugin, { runtime: serving.runtime, bodyBytes: 100_000 }),
    })
    const { gzipSync } = await import("node:zlib")
    const send = (body: Uint8Array<ArrayBuffer>, headers: Record<string, string>) =>
      fetch(`${server.url}/v2/models/orders/infer`, { method: "POST", body, headers })
    const bomb = await send(new Uint8Array(gzipSync(Buffer.alloc(10_000_000))), {
      "content-encoding": "gzip",
    })
    expect(bomb.status).toBe(413)
    const wrong = await send(Uint8Array.of(1, 2), { "content-encoding": "gzip" })
    expect(wrong.status).toBe(400)
    const unknown = await send(Uint8Array.of(1, 2), { "content-encoding": "br" })
    expect(unknown.status).toBe(400)
    const raw = await send(new Uint8Array(Float32Array.of(0, 7, 8).buffer), {
      "inference-header-content-length": "0",
    })
    const bytes = Buffer.from(await raw.arrayBuffer())
    const header = Number(raw.headers.get("inference-header-content-length"))
    expect(bytes.subarray(header).readFloatLE(8)).toBe(8)
    const odd = await send(Uint8Array.of(1, 2, 3), { "inference-header-content-length": "0" })
    expect(odd.status).toBe(400)
  })
})
