import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PredictionSink, Timestamp, type PredictionEvent } from "@ashlar/core"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, describe, expect, it } from "vitest"
import { Metric, Monitoring, Profile } from "../src/index.ts"
import { random } from "../src/internal/random.ts"

const at = (iso: string): number => {
  const time = Timestamp.fromIso(iso)
  if (time === undefined) throw new Error(iso)
  return time
}

const folder = mkdtempSync(join(tmpdir(), "monitoring-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0

const layerOn = (file: string, options?: Monitoring.MonitoringOptions) =>
  Monitoring.layerPredictionSink.pipe(
    Layer.provideMerge(Monitoring.layer(options)),
    Layer.provide(Sqlite.layer({ file, synchronous: "normal" })),
  )

const run = <A, E>(
  program: Effect.Effect<A, E, Monitoring.Monitoring | PredictionSink.PredictionSink>,
  file = join(folder, `${++files}.sqlite`),
  options?: Monitoring.MonitoringOptions,
): Promise<A> => Effect.runPromise(Effect.provide(program, layerOn(file, options)))

const june = at("2001-06-01T00:00:00Z")
const day = 86_400_000_000

interface Generated {
  readonly predictions: PredictionEvent.PredictionBatch
  readonly labels: PredictionEvent.LabelBatch
}

/** n predictions, one a minute from `start`, whose labels follow their probability. */
const generate = (n: number, seed: number, start = june, prefix = "p"): Generated => {
  const next = random(seed)
  const probability = Float32Array.from({ length: n }, next)
  const predictionIds = Array.from({ length: n }, (_, i) => `${prefix}${i}`)
  const times = Float64Array.from({ length: n }, (_, i) => start + i * 60_000_000)
  return {
    predictions: {
      model: "flights",
      version: "1",
      predictionIds,
      times,
      features: {
        x: Float32Array.from(probability, (p) => p * 10),
        origin: predictionIds.map((_, i) => (i % 3 === 0 ? "SFO" : "JFK")),
      },
      outputs: { probability },
      segments: { carrier: predictionIds.map((_, i) => (i % 2 === 0 ? "AA" : "UA")) },
    },
    labels: {
      model: "flights",
      predictionIds,
      times: times.map((t) => t + day),
      labels: Float64Array.from(probability, (p) => (next() < p ? 1 : 0)),
    },
  }
}

const slice = (
  batch: PredictionEvent.PredictionBatch,
  from: number,
  to: number,
): PredictionEvent.PredictionBatch => ({
  ...batch,
  predictionIds: batch.predictionIds.slice(from, to),
  times: batch.times.slice(from, to),
  features: Object.fromEntries(
    Object.entries(batch.features).map(([k, v]) => [k, v.slice(from, to)]),
  ),
  outputs: Object.fromEntries(
    Object.entries(batch.outputs).map(([k, v]) => [k, v.slice(from, to)]),
  ),
  segments: Object.fromEntries(
    Object.entries(batch.segments ?? {}).map(([k, v]) => [k, v.slice(from, to)]),
  ),
})

const request = { model: "flights", by: "all" } as const

describe("performance", () => {
  it("equals the metrics of the joined rows, by day and by segment", async () => {
    const { predictions, labels } = generate(4000, 1)
    const rows = await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        yield* monitoring.predictions(predictions)
        yield* monitoring.labels(labels)
        return {
          all: yield* monitoring.performance(request),
          days: yield* monitoring.performance({ model: "flights", by: "day", segment: "carrier" }),
          some: yield* monitoring.performance({ ...request, from: june + day, to: june + 2 * day }),
        }
      }),
    )
    const y = labels.labels as Float64Array
    const p = predictions.outputs["probability"] as Float32Array
    expect(rows.all).toHaveLength(1)
    expect(rows.all[0]).toMatchObject({ predictions: 4000, labelled: 4000, coverage: 1 })
    expect(rows.all[0]?.metrics.auc).toBeCloseTo(Metric.auc(y, p), 12)
    expect(rows.all[0]?.metrics.log_loss).toBeCloseTo(Metric.logLoss(y, p), 12)
    expect(rows.all[0]?.metrics.brier).toBeCloseTo(Metric.brier(y, p), 12)
    expect(rows.days.map((r) => r.segment)).toEqual(["AA", "UA", "AA", "UA", "AA", "UA"])
    expect(rows.days.reduce((sum, r) => sum + r.predictions, 0)).toBe(4000)
    const first = [...p.keys()].filter((i) => i < 1440 && i % 2 === 0)
    expect(rows.days[0]?.metrics.auc).toBeCloseTo(
      Metric.auc(
        first.map((i) => y[i] ?? 0),
        first.map((i) => p[i] ?? 0),
      ),
      12,
    )
    expect(rows.some[0]?.predictions).toBe(1440)
  })

  it("counts a prediction once, however often and in whatever batches it comes", async () => {
    const { predictions, labels } = generate(3000, 2)
    const file = join(folder, "duplicates.sqlite")
    const first = Effect.gen(function* () {
      const sink = yield* PredictionSink.PredictionSink
      yield* sink.labels(labels)
      yield* sink.predictions(slice(predictions, 0, 2000))
      yield* Effect.all(
        [
          slice(predictions, 500, 1500),
          slice(predictions, 1000, 2500),
          slice(predictions, 0, 3000),
        ].map(sink.predictions),
        { concurrency: "unbounded" },
      )
      yield* sink.labels(labels)
    })
    const second = Effect.gen(function* () {
      const monitoring = yield* Monitoring.Monitoring
      yield* monitoring.predictions(predictions)
      return [yield* monitoring.performance(request), yield* monitoring.models] as const
    })
    await run(first, file)
    // A new process knows the ids of the old one.
    const [rows, models] = await run(second, file)
    expect(rows[0]).toMatchObject({ predictions: 3000, labelled: 3000 })
    expect(models).toEqual([
      {
        model: "flights",
        versions: ["1"],
        predictions: 3000,
        first: june,
        last: june + 2999 * 60e6,
      },
    ])
  })

  it("knows the ids that another writer of the same file recorded meanwhile", async () => {
    const { predictions } = generate(300, 3)
    const file = join(folder, "two.sqlite")
    const open = Effect.map(Layer.build(layerOn(file)), (context) => context)
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const a = yield* Effect.provide(Monitoring.Monitoring, yield* open)
          const b = yield* Effect.provide(Monitoring.Monitoring, yield* open)
          yield* a.predictions(slice(predictions, 0, 200))
          yield* b.predictions(slice(predictions, 100, 300))
          yield* a.predictions(predictions)
          expect((yield* b.models)[0]?.predictions).toBe(300)
        }),
      ),
    )
  })

  it("revises as labels arrive, are corrected and are taken back", async () => {
    const { predictions, labels } = generate(1000, 4)
    const flipped = (labels.labels as Float64Array).map((y) => 1 - y)
    const late = (values: Float64Array, hours: number) => ({
      ...labels,
      times: labels.times.map((t) => t + hours * 3_600_000_000),
      labels: values,
    })
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        yield* monitoring.predictions(predictions)
        const auc = Effect.map(monitoring.performance(request), (rows) => rows[0]?.metrics.auc)
        expect(yield* auc).toBe(null)
        yield* monitoring.labels(labels)
        const right = yield* auc
        expect(right).toBeGreaterThan(0.75)
        yield* monitoring.labels(late(flipped, 1))
        expect(yield* auc).toBeCloseTo(1 - (right ?? 0), 12)
        // An older label that arrives later changes nothing.
        yield* monitoring.labels(late(labels.labels as Float64Array, 0.5))
        expect(yield* auc).toBeCloseTo(1 - (right ?? 0), 12)
        yield* monitoring.labels(
          late(
            flipped.map((y, i) => (i < 400 ? Number.NaN : 1 - y)),
            2,
          ),
        )
        expect((yield* monitoring.performance(request))[0]).toMatchObject({
          labelled: 600,
          coverage: 0.6,
        })
      }),
    )
  })

  it("takes text labels, regression and scores that are missing", async () => {
    const { predictions, labels } = generate(200, 5)
    const texts = Array.from(labels.labels as Float64Array, (y) => (y === 1 ? "late" : "on time"))
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        yield* monitoring.predictions(predictions)
        yield* monitoring.labels({ ...labels, labels: texts })
        const error = yield* Effect.flip(monitoring.performance(request))
        expect(error.message).toMatch(/name the positive one in 'positive'/)
        const [row] = yield* monitoring.performance({ ...request, positive: "late" })
        expect(row?.metrics.auc).toBeCloseTo(
          Metric.auc(
            labels.labels as Float64Array,
            predictions.outputs["probability"] as Float32Array,
          ),
          12,
        )
        const kind = yield* Effect.flip(monitoring.labels(labels))
        expect(kind.message).toMatch(/texts so far, these are numbers/)

        const other = {
          ...predictions,
          model: "minutes",
          outputs: {
            minutes: Float64Array.from({ length: 200 }, (_, i) => (i < 10 ? Number.NaN : i)),
          },
        }
        yield* monitoring.predictions(other)
        yield* monitoring.labels({
          ...labels,
          model: "minutes",
          labels: Float64Array.from({ length: 200 }, (_, i) => i - 2),
        })
        const [regression] = yield* monitoring.performance({
          model: "minutes",
          by: "all",
          task: "regression",
        })
        expect(regression).toMatchObject({
          predictions: 200,
          labelled: 190,
          metrics: { mae: 2, rmse: 2, bias: 2 },
        })
      }),
    )
  })

  it("never takes the numbers of text labels for amounts", async () => {
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        const { predictions, labels } = generate(10, 1)
        yield* monitoring.predictions(predictions)
        yield* monitoring.labels({ ...labels, labels: labels.predictionIds.map(() => "late") })
        const regression = { model: "flights", task: "regression" } as const
        const asked = [
          Effect.asVoid(monitoring.performance({ ...regression, by: "all" })),
          Effect.asVoid(monitoring.worstMisses({ ...regression, limit: 1 })),
        ]
        for (const ask of asked) {
          expect((yield* Effect.flip(ask)).message).toMatch(/labels are texts/)
        }
        const [row] = yield* monitoring.performance({ ...regression, by: "all", metrics: [] })
        expect(row).toMatchObject({ labelled: 10, coverage: 1, metrics: {} })
      }),
    )
  })

  it("separates versions and stores changing columns", async () => {
    const { predictions, labels } = generate(400, 6)
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        yield* monitoring.predictions(slice(predictions, 0, 250))
        const wide = slice(predictions, 250, 400)
        yield* monitoring.predictions({
          ...wide,
          version: "2",
          features: { ...wide.features, extra: new Int32Array(150).fill(7) },
        })
        yield* monitoring.labels(labels)
        expect((yield* monitoring.performance({ ...request, version: "2" }))[0]?.predictions).toBe(
          150,
        )
        const profile = yield* monitoring.profile({ model: "flights" })
        expect(profile.rows).toBe(400)
        expect(profile.columns["extra"]).toMatchObject({ count: 150, missing: 250, mean: 7 })
      }),
    )
  })

  it("remembers ids only within its horizon, and says which that is by its option", async () => {
    const { predictions } = generate(3000, 7)
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        for (let i = 0; i < 3000; i += 500)
          yield* monitoring.predictions(slice(predictions, i, i + 500))
        yield* monitoring.predictions(slice(predictions, 2500, 3000))
        expect((yield* monitoring.models)[0]?.predictions).toBe(3000)
      }),
      undefined,
      { horizon: 2000 },
    )
  })
})

describe("worst misses", () => {
  it("are the largest losses with everything recorded about them", async () => {
    const { predictions, labels } = generate(5000, 8)
    const misses = await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        for (let i = 0; i < 5000; i += 1000)
          yield* monitoring.predictions(slice(predictions, i, i + 1000))
        yield* monitoring.labels(labels)
        return yield* monitoring.worstMisses({ model: "flights", limit: 20 })
      }),
    )
    const losses = Metric.logLosses(
      labels.labels as Float64Array,
      predictions.outputs["probability"] as Float32Array,
    )
    expect(misses.map((m) => m.loss)).toEqual([...losses].sort((a, b) => b - a).slice(0, 20))
    for (const miss of misses) {
      const i = Number(miss.predictionId.slice(1))
      expect(miss).toMatchObject({
        version: "1",
        time: predictions.times[i],
        label: labels.labels[i],
        outputs: { probability: predictions.outputs["probability"]?.[i] },
        features: { x: predictions.features["x"]?.[i], origin: i % 3 === 0 ? "SFO" : "JFK" },
      })
    }
  })
})

describe("drift", () => {
  it("compares months with a reference profile, a span, and a stored reference", async () => {
    const month = 43_200
    const may = generate(month, 9, at("2001-05-01T00:00:00Z"), "may")
    const moved = generate(month, 10, june, "june")
    const shifted = {
      ...moved.predictions,
      features: {
        ...moved.predictions.features,
        x: (moved.predictions.features["x"] as Float32Array).map((x) => x + 2),
      },
    }
    const reference = Profile.ofColumns(generate(20_000, 11).predictions.features)
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        yield* monitoring.predictions(may.predictions)
        yield* monitoring.predictions(shifted)
        const months = yield* monitoring.drift({ model: "flights", reference, by: "month" })
        expect(months.map(({ window }) => Timestamp.toIso(window.from))).toEqual([
          "2001-05-01T00:00:00Z",
          "2001-06-01T00:00:00Z",
        ])
        const flags = months.map(({ report }) =>
          report.columns.filter((c) => c.drifted).map((c) => c.column),
        )
        expect(flags).toEqual([[], ["x"]])
        expect(months[1]?.report.rows).toEqual([20_000, month])

        yield* monitoring.putReference("flights", reference)
        expect(yield* monitoring.drift({ model: "flights", by: "month" })).toEqual(months)
        const span = { from: at("2001-05-01T00:00:00Z"), to: june }
        const [against] = yield* monitoring.drift({
          model: "flights",
          reference: span,
          from: june,
          columns: ["x"],
        })
        expect(against?.report.columns[0]).toMatchObject({ column: "x", drifted: true })
        const unknown = yield* Effect.flip(
          monitoring.drift({ model: "flights", reference: "training" }),
        )
        expect(unknown.message).toMatch(/no reference 'training'/)
      }),
    )
  })
})

describe("bad input", () => {
  it("is refused with the field and the rule, and nothing is stored", async () => {
    const { predictions, labels } = generate(10, 12)
    const bad: ReadonlyArray<readonly [Partial<PredictionEvent.PredictionBatch>, RegExp]> = [
      [{ model: "" }, /model must be a string/],
      [{ times: predictions.times.slice(1) }, /times must be a Float64Array/],
      [{ times: predictions.times.map(() => Number.NaN) }, /times\[0\] is NaN/],
      [{ times: predictions.times.map((t) => t + 0.5) }, /whole microseconds/],
      [{ predictionIds: [...predictions.predictionIds.slice(1), ""] }, /predictionIds\[9\]/],
      [{ features: { x: new Float32Array(9) } }, /features.x has 9 values for 10 ids/],
      [{ outputs: { y: [1, 2] as unknown as ReadonlyArray<string> } }, /outputs.y/],
    ]
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        for (const [part, message] of bad) {
          const error = yield* Effect.flip(monitoring.predictions({ ...predictions, ...part }))
          expect(error.code).toBe("PredictionSinkError.InvalidInput")
          expect(error.message).toMatch(message)
        }
        const large = { ...labels, predictionIds: new Array<string>(100_001).fill("x") }
        expect((yield* Effect.flip(monitoring.labels(large))).reason).toBe("TooLarge")
        expect(yield* monitoring.models).toEqual([])
        const unknown = yield* Effect.flip(monitoring.performance({ model: "nobody", by: "all" }))
        expect(unknown.code).toBe("MonitoringError.NotFound")
        const request = { model: "flights", by: "hour" } as unknown as Parameters<
          typeof monitoring.performance
        >[0]
        expect((yield* Effect.flip(monitoring.performance(request))).code).toBe(
          "MonitoringError.InvalidInput",
        )
      }),
    )
  })

  it("takes NaN, infinities, nulls and hostile names as data", async () => {
    const { predictions } = generate(4, 13)
    const odd = {
      ...predictions,
      predictionIds: ["__proto__", "a\nb", "'; drop table monitoring_chunk; --", "\u0000"],
      features: {
        ["__proto__"]: Float64Array.of(Number.NaN, Infinity, -Infinity, 1),
        t: [null, "x", null, "\u2028"],
      },
    }
    await run(
      Effect.gen(function* () {
        const monitoring = yield* Monitoring.Monitoring
        yield* monitoring.predictions(odd)
        yield* monitoring.predictions(odd)
        const profile = yield* monitoring.profile({ model: "flights" })
        expect(profile.rows).toBe(4)
        expect(profile.columns["t"]).toMatchObject({ count: 2, missing: 2 })
        yield* monitoring.labels({
          model: "flights",
          predictionIds: odd.predictionIds,
          times: odd.times,
          labels: Int32Array.of(1, 0, 1, 0),
        })
        const misses = yield* monitoring.worstMisses({ model: "flights", limit: 4 })
        expect(misses.map((m) => m.predictionId).sort()).toEqual([...odd.predictionIds].sort())
        expect(Object.getPrototypeOf({})).toBe(Object.prototype)
      }),
    )
  })
})
