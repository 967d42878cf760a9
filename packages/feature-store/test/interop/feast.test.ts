/** Feast's Python client reads from our server unmodified. */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, beforeAll, expect, it } from "vitest"
import { plugin } from "../../src/fastify.ts"
import { FeatureStore } from "../../src/index.ts"
import { datasetOf, flights, hour, inDatabase, service } from "../flights.ts"
import { feastPython } from "./feastPython.ts"

const start = Date.UTC(2001, 0, 1) * 1000
const runtime = ManagedRuntime.make(inDatabase)
let server: HttpKit.Server
let python = ""

beforeAll(async () => {
  python = feastPython()
  await runtime.runPromise(
    Effect.gen(function* () {
      const store = yield* FeatureStore.FeatureStore
      yield* store.apply([service])
      const row = { tail: 7, time: start, created: start + hour, destination: "JFK" }
      yield* store.ingest(
        flights,
        yield* datasetOf([
          { ...row, origin: "SFO", delay: 30 },
          { ...row, origin: "OAK", delay: 20.5 },
        ]),
        { key: "first" },
      )
      yield* store.materialize({ at: start + 3 * hour })
    }),
  )
  server = await HttpKit.makeServer({
    auth: "off-on-loopback",
    drain: { onSignals: false },
    register: (app) => app.register(plugin, { runtime }),
  })
}, 600_000)
afterAll(async () => {
  await server.drain()
  await runtime.dispose()
})

const script = fileURLToPath(new URL("feast_client.py", import.meta.url))

const ask = (requests: ReadonlyArray<unknown>): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const client = spawn(python, [script, server.url], {
      stdio: ["pipe", "pipe", "pipe"],
    })
    let out = ""
    let errors = ""
    client.stdout.on("data", (chunk) => (out += String(chunk)))
    client.stderr.on("data", (chunk) => (errors += String(chunk)))
    client.once("error", reject)
    client.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(out.trim().split("\n").at(-1) ?? ""))
      else reject(new Error(`the client failed: ${errors.slice(-4000)}`))
    })
    client.stdin.end(JSON.stringify(requests))
  })

it("serves Feast's client: values, types and errors", async () => {
  const features = ["route_delays:delay_mean_1d", "route_delays:delay_last_1d"]
  const entity_rows = [
    { origin: "SFO", destination: "JFK" },
    { origin: "OAK", destination: "JFK" },
    { origin: "LAX", destination: "JFK" },
  ]
  expect(
    await ask([
      { features, entity_rows },
      { features, entity_rows, full_feature_names: true },
      { features: ["planes:destination"], entity_rows: [{ tail: 7 }, { tail: 8 }] },
      { features: ["nope:x"], entity_rows },
    ]),
  ).toMatchObject([
    {
      origin: ["SFO", "OAK", "LAX"],
      destination: ["JFK", "JFK", "JFK"],
      // A whole number first must not make the client cut 20.5.
      delay_mean_1d: [30, 20.5, null],
      delay_last_1d: [30, 20.5, null],
    },
    { route_delays__delay_mean_1d: [30, 20.5, null] },
    // Its ttl has long passed: Feast's own server would serve it.
    { tail: [7, 8], destination: [null, null] },
    { error: expect.any(String), message: expect.stringContaining("nope") },
  ])
}, 120_000)
