import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as fc from "fast-check"
import { Frame, GradientBoosting, TreeEnsemble } from "@ashlar/training"
import type { Trainer, TrainingError } from "@ashlar/training"
import { auc, bucketedAuc, logLoss, rmse } from "../src/internal/metrics.ts"
import { frameOf } from "./data.ts"

const fit = (train: Frame.Frame, options: Partial<Trainer.FitOptions> = {}) =>
  Effect.runPromise(
    GradientBoosting.fit(train, { params: { iterations: 30 }, seed: 7, ...options }),
  )

const failure = (effect: Effect.Effect<unknown, TrainingError.TrainingError>) =>
  Effect.runPromise(Effect.flip(effect))

describe("GradientBoosting", () => {
  it("learns waves, lines and interactions", async () => {
    const validation = frameOf({ rows: 5000, seed: 2 })
    const fitted = await fit(frameOf({ rows: 20_000 }), { validation, params: { iterations: 80 } })
    expect(fitted.metrics["auc"]).toBeGreaterThan(0.77)
    expect(auc(validation.label, fitted.predict(validation.columns))).toBeCloseTo(
      fitted.metrics["auc"] ?? 0,
      4,
    )
    expect(logLoss(validation.label, fitted.predict(validation.columns))).toBeCloseTo(
      fitted.metrics["logloss"] ?? 0,
      6,
    )
  })

  it("is bit-identical at 1 and 2 threads, with sampling, categories and missing values", async () => {
    const train = frameOf({ rows: 30_000, missing: 0.1, categories: 30 })
    const params = {
      iterations: 25,
      rowFraction: 0.7,
      featureFraction: 0.7,
      earlyStoppingRounds: 20,
      metric: "auc",
    }
    const validation = frameOf({ rows: 9000, seed: 4, missing: 0.1, categories: 30 })
    const one = await fit(train, { params, validation, threads: 1 })
    const two = await fit(train, { params, validation, threads: 2 })
    expect(two.ensemble).toEqual(one.ensemble)
    expect(two.metrics).toEqual(one.metrics)
  })

  it("same seed, same trees; another seed, other trees", async () => {
    const train = frameOf({ rows: 3000 })
    const params = { iterations: 5, rowFraction: 0.5 }
    const trees = async (seed: number) => (await fit(train, { params, seed })).ensemble
    expect(await trees(1)).toEqual(await trees(1))
    expect(await trees(2)).not.toEqual(await trees(1))
  })

  it("binned training scores are the model's scores on the raw values", async () => {
    // Validation metrics come from binned rows, predictions from float32 thresholds.
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          rows: fc.integer({ min: 50, max: 3000 }),
          features: fc.integer({ min: 1, max: 9 }),
          missing: fc.constantFrom(0, 0.3),
          categories: fc.constantFrom(0, 3, 300),
          seed: fc.integer({ min: 1, max: 1e6 }),
        }),
        fc.record({
          maxLeaves: fc.integer({ min: 2, max: 40 }),
          maxBins: fc.integer({ min: 2, max: 255 }),
          lambda: fc.constantFrom(0, 3),
          rowFraction: fc.constantFrom(1, 0.5),
          minRowsInLeaf: fc.integer({ min: 1, max: 30 }),
        }),
        async (shape, params) => {
          const train = frameOf({ ...shape, regression: true })
          const validation = frameOf({ ...shape, seed: shape.seed + 1, regression: true })
          const fitted = await fit(train, {
            params: { objective: "regression", iterations: 8, ...params },
            validation,
          })
          expect(rmse(validation.label, fitted.predict(validation.columns))).toBeCloseTo(
            fitted.metrics["rmse"] ?? 0,
            9,
          )
          for (const tree of fitted.ensemble.trees) {
            expect(tree.leafValue.length).toBe(tree.feature.length + 1)
            expect(tree.leafValue.length).toBeLessThanOrEqual(params.maxLeaves)
            expect(tree.leafRows.every((n) => n > 0)).toBe(true)
          }
        },
      ),
      { numRuns: 25, seed: 11 },
    )
  })

  it("learns the direction of missing values", async () => {
    const x = Float32Array.from({ length: 2000 }, (_, i) => (i % 4 === 0 ? Number.NaN : i % 2))
    const label = x.map((value) => (value === value ? value : 1))
    const train = await Effect.runPromise(Frame.make({ features: ["x"], columns: [x], label }))
    const fitted = await fit(train)
    const [missing = 0, zero = 1, one = 0] = fitted.predict([Float32Array.of(Number.NaN, 0, 1)])
    expect(missing).toBeGreaterThan(0.9)
    expect(zero).toBeLessThan(0.1)
    expect(one).toBeGreaterThan(0.9)
  })

  it("ignores constant and empty features", async () => {
    const base = frameOf({ rows: 2000, features: 2 })
    const train = await Effect.runPromise(
      Frame.make({
        features: ["constant", ...base.features, "empty"],
        columns: [
          new Float32Array(2000).fill(3),
          ...base.columns,
          new Float32Array(2000).fill(Number.NaN),
        ],
        label: base.label,
      }),
    )
    const { ensemble } = await fit(train)
    const importance = TreeEnsemble.importance(ensemble)
    expect([importance["constant"], importance["empty"]]).toEqual([0, 0])
    expect((importance["f0"] ?? 0) + (importance["f1"] ?? 0)).toBeCloseTo(1, 12)
  })

  it("handles infinities, subnormals and values a float apart", async () => {
    const values = [
      -Infinity,
      -1e38,
      -1e-45,
      0,
      1e-45,
      1,
      Math.fround(1 + 2 ** -23),
      1e38,
      Infinity,
    ]
    const x = Float32Array.from({ length: 1800 }, (_, i) => values[i % values.length] ?? 0)
    const label = x.map((_, i) => (i % values.length) % 2)
    const train = await Effect.runPromise(Frame.make({ features: ["x"], columns: [x], label }))
    const fitted = await fit(train, { params: { iterations: 60, minRowsInLeaf: 1 } })
    expect(Array.from(fitted.predict([Float32Array.from(values)]), Math.round)).toEqual(
      values.map((_, i) => i % 2),
    )
  })

  it("stops early and keeps the best trees", async () => {
    const params = { iterations: 500, learningRate: 0.5, earlyStoppingRounds: 5 }
    const seen: Array<number> = []
    const fitted = await fit(frameOf({ rows: 2000 }), {
      params,
      validation: frameOf({ rows: 1000, seed: 9 }),
      onProgress: ({ metrics }) => seen.push(metrics["logloss"] ?? Number.NaN),
    })
    expect(fitted.steps).toBe(seen.indexOf(Math.min(...seen)) + 1)
    expect(seen.length).toBe(fitted.steps + 5)
    expect(fitted.ensemble.trees.length).toBe(fitted.steps)
  })

  it("leaves the event loop free and stops when interrupted", async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 5)
    const steps: Array<number> = []
    const fiber = Effect.runFork(
      GradientBoosting.fit(frameOf({ rows: 60_000 }), {
        params: { iterations: 100_000 },
        seed: 1,
        threads: 2,
        onProgress: ({ step }) => steps.push(step),
      }),
    )
    while (steps.length < 5) await new Promise((resolve) => setTimeout(resolve, 10))
    const exit = await Effect.runPromise(
      Fiber.interrupt(fiber).pipe(Effect.andThen(Fiber.await(fiber))),
    )
    clearInterval(timer)
    expect(Exit.isFailure(exit)).toBe(true)
    expect(ticks).toBeGreaterThan(3)
    const after = steps.length
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(steps.length).toBe(after)
  })

  it("reads features out of range, of other lengths and bad labels as typed errors", async () => {
    const good = frameOf({ rows: 100 })
    const withLabel = (label: Float32Array) => Frame.make({ ...good, label })
    const of = (train: Frame.Frame, params: Trainer.Params = {}) =>
      GradientBoosting.fit(train, { params, seed: 1 })
    const nan = await failure(withLabel(good.label.map((y, i) => (i === 17 ? Number.NaN : y))))
    expect([nan.code, nan.field]).toEqual(["TrainingError.InvalidInput", "label[17]"])
    const one = await failure(Effect.flatMap(withLabel(new Float32Array(100)), (f) => of(f)))
    expect([one.code, one.field]).toEqual(["TrainingError.InvalidInput", "label"])
    const three = await failure(
      Effect.flatMap(withLabel(good.label.map((y, i) => (i === 3 ? 2 : y))), (f) => of(f)),
    )
    expect(three.field).toBe("label[3]")
    expect((await failure(withLabel(new Float32Array(99)))).field).toBe("columns[0]")
    expect((await failure(of(good, { learningRate: -1 }))).message).toContain("learningRate")
    expect((await failure(of(good, { leaves: 3 }))).message).toContain("leaves")
    expect((await failure(of(good, { earlyStoppingRounds: 3 }))).field).toBe("validation")
    expect((await failure(of(good, { metric: "rmse" }))).field).toBe("params.metric")
    const fractional = await failure(of({ ...good, categorical: ["f0"] }))
    expect([fractional.code, fractional.field]).toEqual(["TrainingError.InvalidInput", "f0"])
  })
})

describe("metrics", () => {
  it("bucketed AUC equals the exact one within 1e-5, ties included", () => {
    const { label, columns } = frameOf({ rows: 20_000 })
    const score = Float64Array.from(columns[0] ?? [], (x) => Math.round(x * 100) / 100)
    expect(Math.abs(auc(label, score) - bucketedAuc(label, score))).toBeLessThan(1e-5)
    expect(auc([0, 1, 1, 0], Float64Array.of(1, 2, 1, 0))).toBe(0.875)
  })
})
