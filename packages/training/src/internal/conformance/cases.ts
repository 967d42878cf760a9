/**
 * The cases of the trainer suite.
 *
 * @module
 */
import { createRequire } from "node:module"
import { Conformance } from "@ashlar/core/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Frame } from "../../Frame.ts"
import type { Fitted, FitOptions } from "../../Trainer.ts"
import type { TrainingError } from "../../TrainingError.ts"
import { auc, logLoss } from "../metrics.ts"
import { waves } from "../waves.ts"
import { Subject } from "./subject.ts"
import type { SubjectShape } from "./subject.ts"

const { ensure, equal, fails } = Conformance

type Fit = (options?: Partial<FitOptions>) => Effect.Effect<Fitted, TrainingError>

interface Bench {
  readonly subject: SubjectShape
  readonly train: Frame
  readonly validation: Frame
  /** Fits on the training frame with the subject's parameters and the validation frame. */
  readonly fit: Fit
}

const one = (name: string, body: (bench: Bench) => Effect.Effect<unknown, unknown>) => ({
  name,
  run: Effect.gen(function* () {
    const subject = yield* Subject
    const train = yield* waves(3000, 1)
    const validation = yield* waves(1500, 2)
    const fit: Fit = (options) =>
      subject.fit(train, { params: subject.params, seed: 1, validation, ...options })
    return yield* body({ subject, train, validation, fit })
  }),
})

const worstDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let worst = a.length === b.length ? 0 : Number.POSITIVE_INFINITY
  for (let i = 0; i < a.length; i++)
    worst = Math.max(worst, Math.abs((a[i] ?? 0) - (b[i] ?? Number.NaN)))
  return Number.isNaN(worst) ? Number.POSITIVE_INFINITY : worst
}

type Runtime = typeof import("onnxruntime-node")

const runOnnx = (fitted: Fitted, columns: ReadonlyArray<Float32Array>) =>
  Effect.promise(async () => {
    const { InferenceSession, Tensor } = createRequire(import.meta.url)(
      "onnxruntime-node",
    ) as Runtime
    const rows = columns[0]?.length ?? 0
    const matrix = new Float32Array(rows * columns.length)
    columns.forEach((column, f) => column.forEach((x, i) => (matrix[i * columns.length + f] = x)))
    const session = await InferenceSession.create(fitted.toOnnx())
    try {
      const { inputs, outputs } = fitted.signature
      const feeds = {
        [inputs[0]?.name ?? ""]: new Tensor("float32", matrix, [rows, columns.length]),
      }
      const result = (await session.run(feeds))[outputs[0]?.name ?? ""]
      return result?.data as Float32Array
    } finally {
      await session.release()
    }
  })

/** Every case a trainer must pass. */
export const cases = [
  one("learns: AUC on unseen rows is above 0.75", ({ fit, validation }) =>
    Effect.flatMap(fit(), (fitted) => {
      const value = auc(validation.label, fitted.predict(validation.columns))
      return ensure(value > 0.75, `AUC is ${value}`)
    }),
  ),
  one("the same seed gives the same model, at 1 and 2 threads", ({ fit }) =>
    Effect.gen(function* () {
      const first = (yield* fit({ threads: 1 })).toOnnx()
      yield* equal((yield* fit({ threads: 1 })).toOnnx(), first, "the model fitted again")
      yield* equal((yield* fit({ threads: 2 })).toOnnx(), first, "the model fitted by two threads")
    }),
  ),
  one("reports the validation metrics of the model it returns", ({ fit, validation }) =>
    Effect.gen(function* () {
      const fitted = yield* fit()
      const predicted = fitted.predict(validation.columns)
      const actual = [auc(validation.label, predicted), logLoss(validation.label, predicted)]
      const { auc: reported = Number.NaN, logloss = Number.NaN } = fitted.metrics
      yield* ensure(
        worstDifference(actual, [reported, logloss]) < 1e-3,
        `${actual} was reported as ${reported},${logloss}`,
      )
    }),
  ),
  one(
    "has one FP32 matrix of the named columns as input and one number a row as output",
    ({ fit, train }) =>
      Effect.gen(function* () {
        const { signature } = yield* fit()
        const columns = [...train.features]
        yield* equal<unknown>(
          signature.inputs.map(({ datatype, shape, columns: names }) => [datatype, shape, names]),
          [["FP32", [-1, columns.length], columns]],
          "signature.inputs",
        )
        yield* equal<unknown>(
          signature.outputs.map(({ datatype, shape }) => [datatype, shape]),
          [["FP32", [-1]]],
          "signature.outputs",
        )
      }),
  ),
  one(
    "ONNX Runtime predicts what the model predicts, missing values included",
    ({ fit, validation }) =>
      Effect.gen(function* () {
        const fitted = yield* fit()
        const onnx = yield* runOnnx(fitted, validation.columns)
        const worst = worstDifference(fitted.predict(validation.columns), onnx)
        yield* ensure(worst < 1e-5, `predictions differ by ${worst}`)
      }),
  ),
  one("reports every step in order", ({ fit }) =>
    Effect.gen(function* () {
      const steps: Array<number> = []
      const fitted = yield* fit({ onProgress: ({ step }) => steps.push(step) })
      yield* equal(
        steps,
        steps.map((_, i) => i + 1),
        "steps",
      )
      yield* ensure(
        steps.length >= fitted.steps && fitted.steps > 0,
        `${steps.length} reports of ${fitted.steps} steps`,
      )
    }),
  ),
  one("leaves the event loop free and stops when interrupted", ({ fit, subject }) =>
    Effect.gen(function* () {
      let steps = 0
      const fiber = yield* Effect.forkChild(
        fit({ params: subject.long, onProgress: () => steps++ }),
      )
      while (steps < 2) yield* Effect.sleep(10)
      yield* Fiber.interrupt(fiber)
      // Behind a Promise the interruption arrives a little later than it is acknowledged.
      yield* Effect.sleep(300)
      const after = steps
      yield* Effect.sleep(300)
      yield* ensure(steps === after, `${steps - after} steps after the interruption`)
    }),
  ),
  one("refuses labels that are not 0 and 1", ({ subject, train }) =>
    Effect.flatMap(
      fails(
        subject.fit(
          { ...train, label: train.label.map((y, i) => (i === 5 ? 3 : y)) },
          { params: subject.params, seed: 1 },
        ),
        "InvalidInput",
      ),
      (error) => ensure(error.message.includes("5"), "the message does not name the row"),
    ),
  ),
  one("refuses parameters it does not know, naming them", ({ fit, subject }) =>
    Effect.flatMap(
      fails(fit({ params: { ...subject.params, noSuchParameter: 1 } }), "InvalidInput"),
      (error) =>
        ensure(
          error.message.includes("noSuchParameter"),
          "the message does not name the parameter",
        ),
    ),
  ),
  one("refuses a validation frame with other features", ({ fit, validation }) =>
    fails(fit({ validation: { ...validation, features: ["c", "b", "a"] } }), "InvalidInput"),
  ),
]
