import { Dataset, FeatureSource } from "@ashlar/core"
import * as Memory from "@ashlar/core/memory"
import * as Sqlite from "@ashlar/core/sqlite"
import { FeatureStore } from "@ashlar/feature-store"
import * as OnlineMemory from "@ashlar/feature-store/memory"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { date, day } from "../src/calendar.ts"
import * as Features from "../src/features.ts"
import * as Flights from "../src/flights.ts"
import { defineFeatures } from "../src/loop.ts"

const layer = FeatureStore.featureSourceLayer.pipe(
  Layer.provideMerge(FeatureStore.layer()),
  Layer.provide([Sqlite.layer({ file: ":memory:" }), Memory.layer, OnlineMemory.layer]),
)

/** Features of every flight of a day, as a store that holds these flights computes them. */
const framesOf = (flights: Dataset.Dataset, span: { from: number; to: number }) =>
  Effect.gen(function* () {
    const store = yield* FeatureStore.FeatureStore
    const source = yield* FeatureSource.FeatureSource
    yield* defineFeatures
    yield* store.ingest(Features.flights, flights, { key: "all" })
    const time = yield* Dataset.micros(yield* Dataset.table(flights), "time")
    const labels = yield* Dataset.filter(
      flights,
      Uint8Array.from(time, (t) => (t >= span.from && t < span.to ? 1 : 0)),
    )
    const frame = yield* source.trainingFrame({
      service: Features.flightRisk.name,
      labels: yield* Dataset.select(labels, ["time", "distance", "origin", "destination"]),
      timestamp: "time",
    })
    const table = yield* Dataset.table(frame)
    return {
      labels: yield* Dataset.table(labels),
      columns: new Map(
        yield* Effect.forEach(Features.flightRisk.features, (name) =>
          Effect.map(Dataset.float64(table, name), (values) => [name, values] as const),
        ),
      ),
    }
  }).pipe(Effect.provide(layer))

const window = { from: date(2, 20), to: date(2, 22) }

describe("the leakage trap", () => {
  it("no feature sees a delay before the flight has arrived", { timeout: 120_000 }, async () => {
    const { columns, flights, labels } = await Effect.runPromise(
      Effect.gen(function* () {
        const read = yield* Flights.read(60_000)
        const frames = yield* framesOf(read, window)
        return { ...frames, flights: yield* Dataset.table(read) }
      }),
    )
    const column = <A>(read: Effect.Effect<A, Dataset.DatasetError>) => Effect.runSync(read)
    const all = {
      time: column(Dataset.micros(flights, "time")),
      created: column(Dataset.micros(flights, "created")),
      delay: column(Dataset.float64(flights, "delay")),
      origin: column(Dataset.strings(flights, "origin")),
    }
    const at = column(Dataset.micros(labels, "time"))
    const origin = column(Dataset.strings(labels, "origin"))
    const served = columns.get("origin_delays__delay_mean_1d") ?? new Float64Array()
    let honest = 0
    let leaking = 0
    at.forEach((t, i) => {
      // The naive reading, flight by flight: once honest, once as if delays were known at departure.
      const mean = (isKnown: (j: number) => boolean) => {
        let sum = 0
        let n = 0
        for (let j = 0; j < all.time.length; j++) {
          const e = all.time[j] ?? 0
          if (all.origin[j] !== origin[i] || e >= t || e < t - day || !isKnown(j)) continue
          sum += all.delay[j] ?? 0
          n += 1
        }
        return n === 0 ? Number.NaN : sum / n
      }
      const expected = mean((j) => (all.created[j] ?? 0) <= t)
      const leaked = mean(() => true)
      if (Number.isNaN(expected)) expect(served[i]).toBeNaN()
      else expect(served[i]).toBeCloseTo(expected, 3)
      honest += 1
      if (!Object.is(Math.fround(leaked), Math.fround(expected))) leaking += 1
    })
    expect(honest).toBeGreaterThan(500)
    // The trap is real: a store that ignored arrivals would give other values to most flights.
    expect(leaking).toBeGreaterThan(honest / 4)
  })

  it("changing what was not known yet changes no feature", { timeout: 120_000 }, async () => {
    const [before, after] = await Effect.runPromise(
      Effect.gen(function* () {
        const read = yield* Flights.read(60_000)
        const table = yield* Dataset.table(read)
        const created = yield* Dataset.micros(table, "created")
        const delay = yield* Dataset.float64(table, "delay")
        const first = yield* framesOf(read, { from: window.from, to: window.from + day / 4 })
        // Every flight that had not arrived by the end of that quarter day gets an absurd delay.
        const changed = yield* Dataset.withColumns(read, {
          delay: delay.map((minutes, i) =>
            (created[i] ?? 0) > window.from + day / 4 ? 100_000 : minutes,
          ),
        })
        const second = yield* framesOf(changed, { from: window.from, to: window.from + day / 4 })
        return [first.columns, second.columns] as const
      }),
    )
    for (const [name, values] of before) expect(after.get(name), name).toEqual(values)
  })
})
