import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import { InferenceSession, Tensor } from "onnxruntime-node"
import * as Tfjs from "@ashlar/training/tfjs"
import { auc } from "../src/internal/metrics.ts"
import { frameOf, rowMajor } from "./data.ts"

const train = frameOf({ rows: 8000, missing: 0.05 })
const validation = frameOf({ rows: 3000, missing: 0.05, seed: 2 })
const params = {
  units: 32,
  epochs: 12,
  batchSize: 256,
  learningRate: 0.005,
  earlyStoppingRounds: 4,
}

describe("tfjs-mlp", () => {
  it("learns, repeats itself, and ONNX Runtime predicts what we predict", async () => {
    const steps: Array<number> = []
    const onProgress = ({ step }: { readonly step: number }) => steps.push(step)
    const fitted = await Effect.runPromise(
      Tfjs.fit(train, { params, seed: 5, validation, onProgress }),
    )
    const ours = fitted.predict(validation.columns)
    expect(fitted.metrics["auc"]).toBeGreaterThan(0.72)
    expect(auc(validation.label, ours)).toBeCloseTo(fitted.metrics["auc"] ?? 0, 4)
    expect(steps.length).toBeGreaterThanOrEqual(fitted.steps)

    const session = await InferenceSession.create(fitted.toOnnx())
    const strange = validation.columns.map((column) =>
      column.map((x, i) =>
        i % 50 === 0
          ? Number.POSITIVE_INFINITY
          : i % 51 === 0
            ? -1e30
            : i % 52 === 0
              ? Number.NaN
              : x,
      ),
    )
    const tensor = new Tensor("float32", rowMajor(strange), [validation.rows, strange.length])
    const { probability } = await session.run({ features: tensor })
    await session.release()
    const theirs = probability?.data as Float32Array
    const differences = Array.from(fitted.predict(strange), (value, i) =>
      Math.abs(value - (theirs[i] ?? Number.NaN)),
    )
    expect(Math.max(...differences)).toBeLessThan(1e-6)

    const again = await Effect.runPromise(Tfjs.fit(train, { params, seed: 5, validation }))
    expect(again.toOnnx()).toEqual(fitted.toOnnx())
    const other = await Effect.runPromise(
      Tfjs.fit(train, { params: { ...params, epochs: 1 }, seed: 6, validation }),
    )
    expect(other.toOnnx()).not.toEqual(fitted.toOnnx())
  })

  it("sees a draw of the rows in each epoch when asked", async () => {
    const few = { ...params, epochs: 2, rowsPerEpoch: 512 }
    const fitted = await Effect.runPromise(Tfjs.fit(train, { params: few, seed: 5, validation }))
    expect(fitted.metrics["logloss"]).toBeGreaterThan(0.5)
    const all = await Effect.runPromise(
      Tfjs.fit(train, { params: { ...few, rowsPerEpoch: 0 }, seed: 5, validation }),
    )
    expect(all.metrics["logloss"]).toBeLessThan(fitted.metrics["logloss"] ?? 0)
  })

  it("fails with a typed error when the loss diverges or the parameters are wrong", async () => {
    const failure = (given: Record<string, number>) =>
      Effect.runPromise(Effect.flip(Tfjs.fit(train, { params: given, seed: 1 })))
    expect((await failure({ learningRate: 1e30, epochs: 3 })).field).toBe("params.learningRate")
    expect((await failure({ units: 0 })).code).toBe("TrainingError.InvalidInput")
  })
})
