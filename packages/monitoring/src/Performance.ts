/**
 * How good predictions turned out to be, by calendar window and segment, from the labels known now.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import * as Metric from "./Metric.ts"
import * as Window from "./Window.ts"

/** Metrics of binary tasks and of regression. */
export const names = [
  "auc",
  "log_loss",
  "brier",
  "accuracy",
  "precision",
  "recall",
  "ece",
  "mae",
  "rmse",
  "bias",
] as const

/** Name of a metric. */
export const MetricName = Schema.Literals(names)

/** Name of a metric. */
export type MetricName = typeof MetricName.Type

/** Metrics for which more is worse. */
export const lowerIsBetter: ReadonlySet<MetricName> = new Set([
  "log_loss",
  "brier",
  "ece",
  "mae",
  "rmse",
])

/** Schema of a question about performance; instants are microseconds UTC. */
export const Request = Schema.Struct({
  model: Schema.NonEmptyString,
  version: Schema.optionalKey(Schema.String),
  by: Window.By,
  from: Schema.optionalKey(Schema.Int),
  /** Exclusive. */
  to: Schema.optionalKey(Schema.Int),
  /** Numeric output to judge; default the only one, or `probability`, `score`, `prediction`. */
  output: Schema.optionalKey(Schema.String),
  task: Schema.optionalKey(Schema.Literals(["binary", "regression"])),
  /** Default `auc, log_loss, brier, accuracy`, or `mae, rmse, bias`. */
  metrics: Schema.optionalKey(Schema.Array(MetricName)),
  /** Positive decision from here on; default 0.5. */
  threshold: Schema.optionalKey(Schema.Finite),
  /** Positive class of text labels. */
  positive: Schema.optionalKey(Schema.String),
  /** Report each value of this segment apart. */
  segment: Schema.optionalKey(Schema.String),
})

/** A question about performance. */
export type Request = typeof Request.Type

/** Performance of one window and segment value. */
export interface Row {
  readonly window: Window.Window
  readonly segment?: string | null
  readonly predictions: number
  /** Predictions whose label is known. */
  readonly labelled: number
  /** labelled / predictions. */
  readonly coverage: number
  /** null where the labels do not define it (e.g. an AUC of one class). */
  readonly metrics: Readonly<Partial<Record<MetricName, number | null>>>
}

const binaryDefault: ReadonlyArray<MetricName> = ["auc", "log_loss", "brier", "accuracy"]
const regressionDefault: ReadonlyArray<MetricName> = ["mae", "rmse", "bias"]

/** The metrics a request asks for. */
export const metricsOf = (request: Request): ReadonlyArray<MetricName> =>
  request.metrics ?? (request.task === "regression" ? regressionDefault : binaryDefault)

const errors = (
  labels: Float64Array,
  scores: Float64Array,
  f: (error: number) => number,
): number => {
  let sum = 0
  for (let i = 0; i < labels.length; i++) sum += f((scores[i] as number) - (labels[i] as number))
  return labels.length === 0 ? Number.NaN : sum / labels.length
}

/** One metric of labelled scores; NaN where it is not defined. */
export const compute = (
  name: MetricName,
  labels: Float64Array,
  scores: Float64Array,
  threshold = 0.5,
): number => {
  switch (name) {
    case "auc":
      return Metric.auc(labels, scores)
    case "log_loss":
      return Metric.logLoss(labels, scores)
    case "brier":
      return Metric.brier(labels, scores)
    case "accuracy":
      return Metric.accuracy(Metric.confusion(labels, scores, threshold))
    case "precision":
      return Metric.precision(Metric.confusion(labels, scores, threshold))
    case "recall":
      return Metric.recall(Metric.confusion(labels, scores, threshold))
    case "ece":
      return Metric.calibrationError(labels, scores)
    case "mae":
      return errors(labels, scores, Math.abs)
    case "rmse":
      return Math.sqrt(errors(labels, scores, (e) => e * e))
    case "bias":
      return errors(labels, scores, (e) => e)
  }
}
