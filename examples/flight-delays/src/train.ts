import { Dataset, ModelSink } from "@ashlar/core"
import * as Parquet from "@ashlar/core/parquet"
import { Monitoring, Profile } from "@ashlar/monitoring"
import { Distribution, Training } from "@ashlar/training"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { day, type Span } from "./calendar.ts"
import * as Features from "./features.ts"
import { Workspace } from "./Workspace.ts"

/** Name of the registered model. */
export const modelName = "flight_late"

const experiment = "flight-delays"
const label = "late"

/** A trained model and where its package lies. */
export const Trained = Schema.Struct({
  trainer: Schema.String,
  runId: Schema.String,
  auc: Schema.Number,
  params: Schema.Record(
    Schema.String,
    Schema.Union([Schema.String, Schema.Number, Schema.Boolean]),
  ),
  directory: Schema.String,
  trials: Schema.Number,
})

/** Rows of a stored frame in a span, at most so many, spread evenly. */
export const part = Effect.fnUntraced(function* (name: string, span: Span, atMost: number) {
  const workspace = yield* Workspace
  const table = yield* Dataset.table(
    yield* Parquet.read(workspace.path("frames", `${name}.parquet`)),
  )
  const time = yield* Dataset.micros(table, "time")
  const rows: Array<number> = []
  time.forEach((t, i) => {
    if (t >= span.from && t < span.to) rows.push(i)
  })
  const stride = Math.max(1, rows.length / atMost)
  const picked = Int32Array.from(
    { length: Math.min(atMost, rows.length) },
    (_, i) => rows[Math.floor(i * stride)] ?? 0,
  )
  return yield* Dataset.take(Dataset.fromTable(table), picked)
})

/** The data of a training: the last two weeks of the frame judge the trials. */
const data = Effect.fnUntraced(function* (name: string, span: Span, atMost: number) {
  const { codeVersion } = yield* Workspace
  const cut = span.to - 14 * day
  return {
    train: yield* part(name, { from: span.from, to: cut }, atMost),
    validation: yield* part(name, { from: cut, to: span.to }, Math.ceil(atMost / 3)),
    features: Features.flightRisk.features,
    label,
    codeVersion,
  }
})

const firstOf = <A>(values: ReadonlyArray<A>): readonly [A, ...Array<A>] => {
  const [first, ...rest] = values
  if (first === undefined) throw new TypeError("the feature service has no features")
  return [first, ...rest]
}

/** How a training is run. */
export interface Job {
  /** Key of its runs: asked again, finished trials are not repeated. */
  readonly key: string
  readonly frame: string
  readonly span: Span
  readonly seed: number
  readonly onProgress: (done: number, total: number, note: string) => void
}

const progress =
  (job: Job): Parameters<Training.Training["Service"]["search"]>[0]["onProgress"] =>
  ({ trial, trials, step, steps, metrics }) =>
    job.onProgress(
      trial * steps + step,
      trials * steps,
      `trial ${trial + 1} of ${trials}, auc ${(metrics["auc"] ?? 0).toFixed(4)}`,
    )

const result = (
  trainer: string,
  trials: number,
  model: Training.TrainedModel,
): typeof Trained.Type => ({
  trainer,
  runId: model.runId,
  auc: model.metrics["auc"] ?? 0,
  params: model.params,
  directory: model.package.directory,
  trials,
})

/** Searches boosted trees on a sample, then fits the best parameters to all rows. */
export const trees = Effect.fnUntraced(function* (job: Job) {
  const training = yield* Training.Training
  const shared = { experiment, trainer: "gradient-boosting", seed: job.seed }
  const fixed = { iterations: 150, earlyStoppingRounds: 20, metric: "auc" }
  const sample = yield* data(job.frame, job.span, 150_000)
  const searched = yield* training.search({
    ...shared,
    ...sample,
    features: firstOf(sample.features),
    key: `${job.key}-search`,
    params: fixed,
    space: {
      learningRate: Distribution.float(0.05, 0.2, { log: true }),
      maxLeaves: Distribution.int(15, 63),
      minRowsInLeaf: Distribution.int(20, 200),
    },
    trials: 3,
    metric: "auc",
    onProgress: progress(job),
  })
  const all = yield* data(job.frame, job.span, Number.MAX_SAFE_INTEGER)
  const fitted = yield* training.fit({
    ...shared,
    ...all,
    features: firstOf(all.features),
    key: `${job.key}-final`,
    params: searched.best.params,
    onProgress: progress(job),
  })
  return result("gradient-boosting", searched.trials.length + 1, fitted)
})

/** Searches a small network on a sample. */
export const network = Effect.fnUntraced(function* (job: Job) {
  const training = yield* Training.Training
  const sample = yield* data(job.frame, job.span, 120_000)
  const searched = yield* training.search({
    experiment,
    trainer: "tfjs-mlp",
    seed: job.seed,
    ...sample,
    features: firstOf(sample.features),
    key: `${job.key}-network`,
    params: { epochs: 6, batchSize: 1024, earlyStoppingRounds: 3, metric: "auc" },
    space: {
      units: Distribution.categorical([32, 64]),
      learningRate: Distribution.float(0.001, 0.01, { log: true }),
    },
    trials: 2,
    metric: "auc",
    onProgress: progress(job),
  })
  return result("tfjs-mlp", searched.trials.length, searched.best)
})

/** What anybody could guess from the timetable: the model to beat while there is no champion. */
export const baseline = Effect.fnUntraced(function* (job: Job) {
  const training = yield* Training.Training
  const sample = yield* data(job.frame, job.span, 150_000)
  const fitted = yield* training.fit({
    experiment,
    trainer: "gradient-boosting",
    seed: job.seed,
    ...sample,
    features: ["timetable__hour", "timetable__weekday", "timetable__miles"],
    key: `${job.key}-baseline`,
    params: { iterations: 30, metric: "auc" },
  })
  return result("baseline", 1, fitted)
})

/** A registered version. */
export const Registered = Schema.Struct({ version: Schema.Number, digest: Schema.String })

/** Registers a trained model; the same key registers once. */
export const register = Effect.fnUntraced(function* (key: string, model: typeof Trained.Type) {
  const sink = yield* ModelSink.ModelSink
  const { version, digest } = yield* sink.register({
    name: modelName,
    directory: model.directory,
    runId: model.runId,
    key,
    tags: { trainer: model.trainer },
  })
  return { version, digest }
})

/** Keeps a profile of what the champion learned from, for drift to be measured against. */
export const remember = Effect.fnUntraced(function* (frame: string, span: Span) {
  const monitoring = yield* Monitoring.Monitoring
  const sample = yield* part(frame, span, 300_000)
  const features = yield* Dataset.select(sample, [...Features.flightRisk.features])
  yield* monitoring.putReference(modelName, yield* Profile.ofDataset(features))
})
