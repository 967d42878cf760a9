import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import { Frame, GradientBoosting } from "@ashlar/training"
import { makeRandom } from "../src/internal/random.ts"
import { frameOf } from "./data.ts"
import { runOnnx } from "./runOnnx.ts"

/** Rows the model never saw: other scales, missing and infinite values, category codes unknown to it. */
const strangeRows = (train: Frame.Frame, rows: number): ReadonlyArray<Float32Array> => {
  const random = makeRandom(99)
  return train.features.map((name, f) =>
    Float32Array.from({ length: rows }, (_, i) => {
      const pick = random.uniform()
      if (pick < 0.1) return Number.NaN
      if (train.categorical.includes(name)) return random.below(310) - 3
      if (pick < 0.12) return Number.POSITIVE_INFINITY
      if (pick < 0.14) return Number.NEGATIVE_INFINITY
      // Training values themselves, so that comparisons meet their thresholds.
      if (pick < 0.6) return train.columns[f]?.[i % train.rows] ?? 0
      return random.normal() * 3
    }),
  )
}

describe("trees as ONNX", () => {
  const cases = [
    { name: "binary, missing values", shape: { rows: 5000, missing: 0.1 }, params: {} },
    {
      name: "binary, categories",
      shape: { rows: 5000, categories: 40, missing: 0.05 },
      params: {},
    },
    { name: "binary, many categories", shape: { rows: 20_000, categories: 300 }, params: {} },
    {
      name: "regression",
      shape: { rows: 5000, regression: true },
      params: { objective: "regression" },
    },
    { name: "stumps", shape: { rows: 3000 }, params: { maxLeaves: 3, learningRate: 0.3 } },
    { name: "trees of one leaf", shape: { rows: 60 }, params: { minRowsInLeaf: 50 } },
  ] as const
  it.each(cases)("$name: ONNX Runtime predicts what we predict", async ({ shape, params }) => {
    const train = frameOf(shape)
    const fitted = await Effect.runPromise(
      GradientBoosting.fit(train, { params: { iterations: 60, ...params }, seed: 3 }),
    )
    const output = fitted.signature.outputs[0]?.name ?? ""
    const columns = strangeRows(train, 4000)
    const ours = fitted.predict(columns)
    const theirs = await runOnnx(fitted.toOnnx(), columns, output)
    let worst = 0
    ours.forEach(
      (value, i) => (worst = Math.max(worst, Math.abs(value - (theirs[i] ?? Number.NaN)))),
    )
    expect(worst).toBeLessThan(1e-6)
  })
})
