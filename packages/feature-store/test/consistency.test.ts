/** One definition, one answer: what is served at an instant is what a training frame has there. */
import { Dataset } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { FeatureStore } from "../src/index.ts"
import {
  datasetOf,
  day,
  type Flight,
  flights,
  hour,
  inDatabase,
  inMemory,
  service,
} from "./flights.ts"

const minute = 60e6
// Composite keys whose joined text would be the same.
const code = fc.constantFrom("1", "12", "123", "23", "3")
const flight: fc.Arbitrary<Flight> = fc
  .record({
    origin: fc.option(code, { freq: 20 }),
    destination: code,
    tail: fc.option(fc.integer({ min: 1, max: 4 }), { freq: 10 }),
    time: fc.integer({ min: 0, max: 5 * 24 * 4 }).map((quarter) => quarter * 15 * minute),
    lag: fc.option(fc.integer({ min: 0, max: 40 }), { freq: 15 }),
    delay: fc.option(fc.double({ min: -60, max: 400, noNaN: true }), { freq: 8 }),
  })
  .map(({ lag, ...row }) => ({
    ...row,
    created: lag === null ? null : row.time + lag * 30 * minute,
  }))

const ask = { origin: ["1", "12", "123", "9", null], destination: ["23", "3", "3", "1", "1"] }
const tails = [1, 2, 3, 9, null]

const labelsAt = (time: number) =>
  Dataset.fromColumns({
    origin: { strings: ask.origin },
    destination: { strings: ask.destination },
    tail: tails.map((tail) => (tail === null ? null : BigInt(tail))),
    time: { micros: ask.origin.map(() => time) },
    distance: Float64Array.of(1, 2, 3, 4, NaN),
  })

const frameAt = Effect.fnUntraced(function* (time: number) {
  const store = yield* FeatureStore.FeatureStore
  const labels = yield* labelsAt(time)
  const frame = yield* store.trainingFrame({ service: service.name, labels, timestamp: "time" })
  const table = yield* Dataset.table(frame)
  const columns: Record<string, ReadonlyArray<unknown>> = {}
  for (const name of service.features) {
    columns[name] = name.endsWith("destination")
      ? yield* Dataset.strings(table, name)
      : [...(yield* Dataset.float64(table, name))]
  }
  return columns
})

const vectorsAt = Effect.fnUntraced(function* (time: number) {
  const store = yield* FeatureStore.FeatureStore
  const entities = {
    ...ask,
    tail: tails,
    time: ask.origin.map(() => time),
    distance: Float64Array.of(1, 2, 3, 4, NaN),
  }
  const answer = yield* store.vectors({ service: service.name, entities, at: time })
  return Object.fromEntries(answer.names.map((name, i) => [name, [...(answer.values[i] ?? [])]]))
})

describe.each([
  ["memory", inMemory, 60],
  ["database", inDatabase, 20],
] as const)("online (%s) and offline", (_, layer, numRuns) => {
  it("give the same values at the same instant, going forward and back in time", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(flight, { minLength: 1, maxLength: 60 }),
        fc.array(fc.integer({ min: -1, max: 8 * 24 }), { minLength: 1, maxLength: 5 }),
        async (rows, hours) => {
          const program = Effect.gen(function* () {
            const store = yield* FeatureStore.FeatureStore
            yield* store.apply([service])
            const half = rows.length >> 1
            for (const [i, part] of [rows.slice(0, half), rows.slice(half)].entries()) {
              if (part.length === 0) continue
              yield* store.ingest(flights, yield* datasetOf(part), { key: `part-${i}` })
            }
            for (const at of [...hours].sort((a, b) => a - b).map((h) => h * hour)) {
              yield* store.materialize({ service: service.name, at })
              expect(yield* vectorsAt(at)).toEqual(yield* frameAt(at))
            }
          })
          await Effect.runPromise(Effect.provide(program, layer))
        },
      ),
      { numRuns, seed: 11 },
    )
  }, 120_000)
})

it("uses no event that became known after the label: removing those changes no frame", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(flight, { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 0, max: 6 * 24 }),
      async (rows, hours) => {
        const at = hours * hour
        const known = rows.filter((row) => row.created !== null && row.created <= at)
        const frameOf = (events: ReadonlyArray<Flight>) =>
          Effect.runPromise(
            Effect.gen(function* () {
              const store = yield* FeatureStore.FeatureStore
              yield* store.apply([service])
              // A far event keeps the source from being empty; nobody asks for its keys.
              const other = { origin: "x", destination: "x", tail: 99, time: -day, created: -day }
              yield* store.ingest(flights, yield* datasetOf([...events, { ...other, delay: 1 }]), {
                key: "all",
              })
              return yield* frameAt(at)
            }).pipe(Effect.provide(inMemory)),
          )
        expect(await frameOf(rows)).toEqual(await frameOf(known))
      },
    ),
    { numRuns: 30, seed: 12 },
  )
}, 120_000)
