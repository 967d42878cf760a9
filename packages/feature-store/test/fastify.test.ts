import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { afterAll, beforeAll, expect, it } from "vitest"
import { plugin } from "../src/fastify.ts"
import { FeatureStore, RequestView } from "../src/index.ts"
import { datasetOf, flights, hour, inDatabase, service } from "./flights.ts"

const start = Date.UTC(2001, 0, 1) * 1000
const runtime = ManagedRuntime.make(inDatabase)
let server: HttpKit.Server

beforeAll(async () => {
  await runtime.runPromise(
    Effect.gen(function* () {
      const store = yield* FeatureStore.FeatureStore
      yield* store.apply([service])
      const row = { origin: "SFO", destination: "JFK", tail: 7, delay: 30 }
      yield* store.ingest(
        flights,
        yield* datasetOf([
          { ...row, time: start, created: start + hour },
          { ...row, time: start + hour, created: start + 2 * hour, delay: 10 },
        ]),
        { key: "first" },
      )
    }),
  )
  server = await HttpKit.makeServer({
    auth: "off-on-loopback",
    drain: { onSignals: false },
    register: (app) => app.register(plugin, { runtime }),
  })
})
afterAll(async () => {
  await server.drain()
  await runtime.dispose()
})

const post = async (path: string, body: unknown) => {
  const response = await fetch(`${server.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as unknown }
}

it("is healthy", async () => {
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
})

it("materialises, and answers by column like Feast", async () => {
  expect(
    await post("/materialize", { start_ts: "2001-01-01", end_ts: "2001-01-01T03:00:00Z" }),
  ).toEqual({ status: 200, body: null })
  const answer = await post("/get-online-features", {
    features: ["route_delays:delay_mean_1d", "route_delays:delay_last_1d"],
    entities: { origin: ["SFO", "LAX"], destination: ["JFK", "JFK"] },
  })
  const epoch = "1970-01-01T00:00:00Z"
  const present = { statuses: ["PRESENT", "PRESENT"], event_timestamps: [epoch, epoch] }
  const found = {
    statuses: ["PRESENT", "NOT_FOUND"],
    event_timestamps: ["2001-01-01T01:00:00Z", epoch],
  }
  expect(answer).toEqual({
    status: 200,
    body: {
      metadata: { feature_names: ["origin", "destination", "delay_mean_1d", "delay_last_1d"] },
      results: [
        { values: ["SFO", "LAX"], ...present },
        { values: ["JFK", "JFK"], ...present },
        { values: [20, null], ...found },
        { values: [10, null], ...found },
      ],
    },
  })
})

it("does not serve what is older than its ttl, and serves request-time features", async () => {
  const { body, status } = await post("/get-online-features", {
    feature_service: "flight_risk",
    entities: {
      origin: ["SFO"],
      destination: ["JFK"],
      tail: [7],
      time: ["2001-01-01T05:30:00Z"],
      distance: [2586],
    },
  })
  expect(status).toBe(200)
  const { metadata, results } = body as {
    metadata: { feature_names: ReadonlyArray<string> }
    results: ReadonlyArray<{ values: ReadonlyArray<unknown>; statuses: ReadonlyArray<string> }>
  }
  const of = (name: string) => results[metadata.feature_names.indexOf(name)]
  // The server's clock is now; these views keep values for one and two days.
  expect(of("planes__delay")).toMatchObject({ values: [null], statuses: ["OUTSIDE_MAX_AGE"] })
  expect(of("origin_delays__count_1d")?.statuses).toEqual(["OUTSIDE_MAX_AGE"])
  expect(of("route_delays__delay_mean_1d")).toMatchObject({ values: [20], statuses: ["PRESENT"] })
  expect(of("calendar__hour")).toMatchObject({ values: [5], statuses: ["PRESENT"] })
})

it("takes pushed events once, offline and online", async () => {
  const now = new Date(Date.now() - 60_000).toISOString()
  const push = {
    push_source_name: "flights",
    to: "online_and_offline",
    df: {
      origin: ["OAK"],
      destination: ["JFK"],
      tail: [9],
      time: [now],
      created: [now],
      delay: [5],
    },
  }
  expect((await post("/push", push)).status).toBe(200)
  expect((await post("/push", push)).status).toBe(200)
  const { body } = await post("/get-online-features", {
    features: ["origin_delays:count_1h", "planes:destination"],
    entities: { origin: ["OAK"], tail: [9] },
  })
  expect(body).toMatchObject({
    results: [{}, {}, { values: [1], statuses: ["PRESENT"] }, { values: ["JFK"] }],
  })
})

it("refuses what it cannot take, in Feast's shape", async () => {
  const cases = [
    ["/get-online-features", { features: ["nope:x"], entities: { origin: ["SFO"] } }, 404],
    ["/get-online-features", { features: ["planes:x"], entities: { origin: ["SFO"] } }, 404],
    ["/get-online-features", { feature_service: "nope", entities: { origin: ["SFO"] } }, 404],
    ["/get-online-features", { features: ["planes:delay"], entities: { tail: ["text"] } }, 422],
    ["/get-online-features", { features: ["planes:delay"], entities: { tail: [1, 2.5] } }, 422],
    ["/get-online-features", { features: ["planes:delay"], entities: { tail: [1], a: [] } }, 422],
    ["/get-online-features", { features: ["planes:delay"], entities: { origin: ["x"] } }, 404],
    ["/get-online-features", { features: [], entities: { origin: ["x"] } }, 422],
    ["/get-online-features", { features: "planes:delay" }, 422],
    ["/push", { push_source_name: "nope", df: {} }, 422],
    ["/push", { push_source_name: "flights", df: { tail: [1] }, to: "offline" }, 422],
    ["/push", { push_source_name: "flights", df: {}, to: "nowhere" }, 422],
    ["/push", { push_source_name: "flights", df: { tail: [1] } }, 501],
    ["/materialize", { end_ts: "yesterday" }, 422],
    ["/materialize", { end_ts: "2001-01-01T00:00:00Z", feature_views: ["nope"] }, 404],
  ] as const
  for (const [path, body, status] of cases) {
    const answer = await post(path, body)
    expect([path, body, answer.status]).toEqual([path, body, status])
    const error: unknown = JSON.parse(answer.body as string)
    expect(error).toMatchObject({ class: expect.any(String), message: expect.any(String) })
  }
})

it("writes infinities as protobuf does, so that the answer stays JSON", async () => {
  const inverse = RequestView.make({
    name: "inverse",
    inputs: { x: "float64" },
    features: { y: "float64" },
    compute: ({ x }) => ({ y: x.map((value) => 1 / value) }),
  })
  await runtime.runPromise(
    Effect.flatMap(FeatureStore.FeatureStore, (store) => store.apply([inverse])),
  )
  const { body, status } = await post("/get-online-features", {
    features: ["inverse:y"],
    entities: { x: [0, 2, null] },
  })
  expect(status).toBe(200)
  expect(body).toMatchObject({ results: [{}, { values: ["Infinity", 0.5, null] }] })
})

it("refuses a short request for very many values", async () => {
  const answer = await post("/get-online-features", {
    feature_service: "flight_risk",
    entities: { tail: new Array(200_000).fill(0) },
  })
  expect(answer.status).toBe(413)
  expect(answer.body).toMatch(/at most 2000000/)
})
