/** Definitions and small data shared by tests. */
import { Dataset } from "@ashlar/core"
import * as CoreMemory from "@ashlar/core/memory"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Layer from "effect/Layer"
import {
  Aggregate,
  Entity,
  FeatureService,
  FeatureStore,
  FeatureView,
  RequestView,
  Source,
} from "../src/index.ts"
import * as DatabaseOnline from "../src/database.ts"
import * as MemoryOnline from "../src/memory.ts"

export const hour = 3600e6
export const day = 24 * hour

export const origin = Entity.make({ name: "origin", joinKeys: { origin: "string" } })
export const route = Entity.make({
  name: "route",
  joinKeys: { origin: "string", destination: "string" },
})
export const plane = Entity.make({ name: "plane", joinKeys: { tail: "int64" } })
export const flights = Source.make({ name: "flights", timestamp: "time", created: "created" })

export const windows = ["1h", "6h", "1d"] as const

export const originDelays = FeatureView.make({
  name: "origin_delays",
  entity: origin,
  source: flights,
  aggregates: [
    Aggregate.count(windows),
    Aggregate.mean("delay", windows),
    Aggregate.rate("late", { column: "delay", op: ">", value: 15 }, windows),
    Aggregate.max("delay", ["1d"]),
    Aggregate.std("delay", ["1d"]),
  ],
  ttl: "2d",
})
export const routeDelays = FeatureView.make({
  name: "route_delays",
  entity: route,
  source: flights,
  aggregates: [Aggregate.mean("delay", ["1d"]), Aggregate.last("delay", ["1d"])],
})
export const planes = FeatureView.make({
  name: "planes",
  entity: plane,
  source: flights,
  features: { delay: "float64", destination: "string" },
  ttl: "1d",
})
export const calendar = RequestView.make({
  name: "calendar",
  inputs: { time: "timestamp", distance: "float64" },
  features: { hour: "float64", distance: "float64" },
  compute: ({ distance, time }) => ({
    hour: time.map((t) => Math.floor(t / hour) % 24),
    distance,
  }),
})
export const service = FeatureService.make({
  name: "flight_risk",
  views: [originDelays, routeDelays, planes, calendar],
  fullNames: true,
})

export interface Flight {
  readonly origin: string | null
  readonly destination: string | null
  readonly tail: number | null
  readonly time: number
  readonly created: number | null
  readonly delay: number | null
}

export const datasetOf = (rows: ReadonlyArray<Flight>) =>
  Dataset.fromColumns({
    origin: { strings: rows.map((row) => row.origin) },
    destination: { strings: rows.map((row) => row.destination) },
    tail: Float64Array.from(rows, (row) => row.tail ?? Number.NaN),
    time: { micros: rows.map((row) => row.time) },
    created: { micros: rows.map((row) => row.created) },
    delay: Float64Array.from(rows, (row) => row.delay ?? Number.NaN),
  })

const base = Layer.mergeAll(Sqlite.layer({ file: ":memory:" }), CoreMemory.layer)

export const inMemory = FeatureStore.layer().pipe(
  Layer.provide(MemoryOnline.layer),
  Layer.provide(base),
)
export const inDatabase = FeatureStore.layer().pipe(
  Layer.provide(DatabaseOnline.layer),
  Layer.provide(base),
)
