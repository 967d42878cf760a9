/**
 * Vectors of 256 rows from three views and a request view, against reading the same rows raw from
 * a Map and from SQLite; and 120 materialisations going forward in time.
 */
import { Dataset } from "@ashlar/core"
import * as CoreMemory from "@ashlar/core/memory"
import * as Sqlite from "@ashlar/core/sqlite"
import Driver from "better-sqlite3"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
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

const hour = 3600e6
const events = 300_000
const batch = 256
const rounds = 400

const print = (
  bench: string,
  value: number,
  unit: string,
  against: string,
  bar: string,
  pass: boolean,
) =>
  console.log(
    JSON.stringify({ bench, value: Number(value.toPrecision(4)), unit, against, bar, pass }),
  )

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

let state = 7
const random = () => (state = (state * 48271) % 2147483647) / 2147483647
const airport = () => `A${Math.floor(random() * random() * 300)}`

const source = Source.make({ name: "flights", timestamp: "time", created: "created" })
const windows = ["6h", "1d", "7d"] as const
const aggregates = [
  Aggregate.mean("delay", windows),
  Aggregate.rate("late", { column: "delay", op: ">", value: 15 }, windows),
  Aggregate.count(windows),
]
const view = (name: string, joinKeys: Record<string, "string">) =>
  FeatureView.make({
    name,
    entity: Entity.make({ name: `${name}_key`, joinKeys }),
    source,
    aggregates,
  })
const calendar = RequestView.make({
  name: "calendar",
  inputs: { time: "timestamp" },
  features: { hour: "float64" },
  compute: ({ time }) => ({ hour: time.map((t) => Math.floor(t / hour) % 24) }),
})
const service = FeatureService.make({
  name: "risk",
  fullNames: true,
  views: [
    view("origin", { origin: "string" }),
    view("destination", { destination: "string" }),
    view("route", { origin: "string", destination: "string" }),
    calendar,
  ],
})

const origin = Array.from({ length: events }, airport)
// Fifteen destinations from each airport, as real networks have: about 4,500 routes.
const destination = origin.map(
  (from) => `A${(Number(from.slice(1)) * 7 + Math.floor(random() * 15)) % 300}`,
)
const time = Float64Array.from(
  { length: events },
  (_, i) => Math.floor((i / events) * 1440 * 60) * 60e6,
)
const delay = Float64Array.from({ length: events }, () => Math.floor(random() * 200 - 20))

const requests = Array.from({ length: rounds }, () => {
  const at = Array.from({ length: batch }, () => Math.floor(random() * events))
  return {
    origin: at.map((i) => origin[i] ?? null),
    destination: at.map((i) => destination[i] ?? null),
    time: Float64Array.from(at, (i) => time[i] ?? 0),
  }
})

const rawMap = () => {
  const map = new Map(origin.map((key) => [key, new Uint8Array(72)]))
  return (request: (typeof requests)[number]) => {
    let sum = 0
    for (const key of request.origin) sum += map.get(key ?? "")?.length ?? 0
    return 3 * sum
  }
}

/** One SELECT for each row and view, prepared: the usual way to read SQLite. */
const rawSqlite = () => {
  const db = new Driver(":memory:")
  db.exec("create table t (view text, k text, v blob, primary key (view, k)) without rowid")
  const insert = db.prepare("insert or ignore into t values (?, ?, ?)")
  for (const name of ["origin", "destination", "route"]) {
    for (const key of origin) insert.run(name, key, Buffer.alloc(72))
  }
  const select = db.prepare("select v from t where view = ? and k = ?")
  return (request: (typeof requests)[number]) => {
    for (const name of ["origin", "destination", "route"]) {
      for (const key of request.origin) select.get(name, key)
    }
  }
}

const base = Layer.mergeAll(Sqlite.layer({ file: ":memory:" }), CoreMemory.layer)
for (const [name, online, raw, bar] of [
  ["memory", MemoryOnline.layer, rawMap(), 60],
  ["sqlite", DatabaseOnline.layer, rawSqlite(), 3],
] as const) {
  const layer = FeatureStore.layer().pipe(Layer.provide(online), Layer.provide(base))
  const runtime = ManagedRuntime.make(layer)
  const store = await runtime.runPromise(FeatureStore.FeatureStore)
  const rows = await runtime.runPromise(
    Dataset.fromColumns({
      origin,
      destination,
      time: { micros: time },
      created: { micros: time.map((t, i) => t + (90 + (delay[i] ?? 0)) * 60e6) },
      delay,
    }),
  )
  await runtime.runPromise(store.apply([service]))
  await runtime.runPromise(store.ingest(source, rows, { key: "all" }))
  await runtime.runPromise(store.materialize({ service: "risk", at: 10 * 24 * hour }))
  const start = process.cpuUsage()
  for (let i = 1; i <= 120; i++) {
    await runtime.runPromise(store.materialize({ service: "risk", at: (240 + 10 * i) * hour }))
  }
  const used = process.cpuUsage(start)
  const seconds = (used.user + used.system) / 1e6
  const size = `120 instants, ${events} events, 3 views`
  print(`online.materialize.${name}`, seconds, "CPU s", size, "< 30", seconds < 30)

  const times: Array<number> = []
  const limits: Array<number> = []
  for (const entities of requests) {
    let from = performance.now()
    await runtime.runPromise(store.vectors({ service: "risk", entities, at: 60 * 24 * hour }))
    times.push(performance.now() - from)
    from = performance.now()
    raw(entities)
    limits.push(performance.now() - from)
  }
  const value = median(times)
  print(`online.vectors.${name}`, value, "ms", `${batch} rows x 3 views`, "< 3", value < 3)
  const ratio = value / median(limits)
  const against = name === "memory" ? "256 x 3 Map lookups" : "256 x 3 prepared SELECTs"
  print(`online.ratio.${name}`, ratio, "x", against, `< ${bar}`, ratio < bar)
  await runtime.dispose()
}
