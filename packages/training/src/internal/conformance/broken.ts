/**
 * Trainers with a known mistake, which the suite must reject.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { trainer as sound } from "../../GradientBoosting.ts"
import type { Fitted, Trainer } from "../../Trainer.ts"
import { Subject } from "./subject.ts"

const layerOf = (fit: Trainer["fit"]) =>
  Layer.succeed(Subject, {
    trainer: { name: "broken", fit },
    fit,
    params: { iterations: 20 },
    long: { iterations: 100_000 },
  })

const changed =
  (change: (fitted: Fitted) => Partial<Fitted>): Trainer["fit"] =>
  (train, options) =>
    Effect.map(sound.fit(train, options), (fitted) => ({ ...fitted, ...change(fitted) }))

let calls = 0

/** Broken layers, each with the cases that must fail on it. */
export const broken = [
  {
    name: "predicts the same for every row",
    layer: layerOf(
      changed(() => ({
        predict: (columns) => new Float64Array(columns[0]?.length ?? 0).fill(0.5),
      })),
    ),
    mustFail: [
      "learns: AUC on unseen rows is above 0.75",
      "reports the validation metrics of the model it returns",
      "ONNX Runtime predicts what the model predicts, missing values included",
    ],
  },
  {
    name: "forgets the seed",
    layer: layerOf((train, options) =>
      sound.fit(train, {
        ...options,
        seed: ++calls,
        params: { ...options.params, rowFraction: 0.5 },
      }),
    ),
    mustFail: ["the same seed gives the same model, at 1 and 2 threads"],
  },
  {
    name: "names no columns",
    layer: layerOf(
      changed(({ signature }) => ({
        signature: {
          ...signature,
          inputs: signature.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
        },
      })),
    ),
    mustFail: ["has one FP32 matrix of the named columns as input and one number a row as output"],
  },
  {
    name: "says nothing on the way",
    layer: layerOf((train, { onProgress: _, ...options }) => sound.fit(train, options)),
    mustFail: ["reports every step in order"],
  },
  {
    name: "goes on after an interruption",
    layer: layerOf((train, options) =>
      Effect.callback<Fitted, never>((resume) => {
        void Effect.runPromise(Effect.timeout(sound.fit(train, options), 6000)).then(
          (fitted) => resume(Effect.succeed(fitted)),
          () => undefined,
        )
      }),
    ),
    mustFail: ["leaves the event loop free and stops when interrupted"],
  },
  {
    name: "takes anything",
    layer: layerOf((train, options) => {
      const { noSuchParameter: _, ...params } = options.params
      const { validation, ...rest } = options
      const sameFeatures =
        validation === undefined ? {} : { validation: { ...validation, features: train.features } }
      return sound.fit(
        { ...train, label: train.label.map((y) => (y > 0 ? 1 : 0)) },
        { ...rest, ...sameFeatures, params },
      )
    }),
    mustFail: [
      "refuses labels that are not 0 and 1",
      "refuses parameters it does not know, naming them",
      "refuses a validation frame with other features",
    ],
  },
]
