/**
 * How good binary predictions were: ranking, loss, calibration and decisions. Labels are 0 or 1,
 * scores are probabilities of 1.
 *
 * @module
 */
import { MonitoringError } from "./MonitoringError.ts"

const invalid = (message: string, field: string): MonitoringError =>
  new MonitoringError({ reason: "InvalidInput", message, field })

const check = (labels: ArrayLike<number>, scores: ArrayLike<number>): void => {
  if (labels.length !== scores.length) {
    throw invalid(`there are ${labels.length} labels and ${scores.length} scores`, "scores")
  }
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]
    if (label !== 0 && label !== 1)
      throw invalid(`labels[${i}] is ${label}; use 0 or 1`, `labels[${i}]`)
    if (Number.isNaN(scores[i])) {
      throw invalid(`scores[${i}] is NaN; remove rows without a score`, `scores[${i}]`)
    }
  }
}

const probability = (value: number, i: number): number => {
  if (!(value >= 0 && value <= 1)) {
    throw invalid(`scores[${i}] is ${value}; this metric needs probabilities`, `scores[${i}]`)
  }
  return value
}

/** Scores split by class; refuses labels other than 0 and 1, and NaN scores. */
export const binaryPairs = (
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
): { readonly positives: Float64Array; readonly negatives: Float64Array } => {
  check(labels, scores)
  let count = 0
  for (let i = 0; i < labels.length; i++) count += labels[i] as number
  const positives = new Float64Array(count)
  const negatives = new Float64Array(labels.length - count)
  let p = 0
  let n = 0
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === 1) positives[p++] = scores[i] as number
    else negatives[n++] = scores[i] as number
  }
  return { positives, negatives }
}

/**
 * Area under the ROC curve; ties count half. NaN when a class is absent.
 *
 * @example
 * ```ts
 * import { Metric } from "@ashlar/monitoring"
 *
 * Metric.auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) // => 0.75
 * ```
 */
export const auc = (labels: ArrayLike<number>, scores: ArrayLike<number>): number => {
  const { positives, negatives } = binaryPairs(labels, scores)
  const p = positives.length
  const n = negatives.length
  if (p === 0 || n === 0) return Number.NaN
  positives.sort()
  negatives.sort()
  let wins = 0
  let below = 0
  let atOrBelow = 0
  for (let i = 0; i < p; i++) {
    const score = positives[i] as number
    while (below < n && (negatives[below] as number) < score) below++
    if (atOrBelow < below) atOrBelow = below
    while (atOrBelow < n && (negatives[atOrBelow] as number) <= score) atOrBelow++
    wins += below + (atOrBelow - below) / 2
  }
  return wins / (p * n)
}

/** Per-row log loss in nats; scores are clipped 2.2e-16 away from 0 and 1, as scikit-learn does. */
export const logLosses = (labels: ArrayLike<number>, scores: ArrayLike<number>): Float64Array => {
  check(labels, scores)
  const out = new Float64Array(labels.length)
  for (let i = 0; i < out.length; i++) {
    const score = probability(scores[i] as number, i)
    const p = Math.min(1 - Number.EPSILON, Math.max(Number.EPSILON, score))
    out[i] = labels[i] === 1 ? -Math.log(p) : -Math.log1p(-p)
  }
  return out
}

/** Per-row squared error of the probability. */
export const squaredErrors = (
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
): Float64Array => {
  check(labels, scores)
  const out = new Float64Array(labels.length)
  for (let i = 0; i < out.length; i++) {
    const d = probability(scores[i] as number, i) - (labels[i] as number)
    out[i] = d * d
  }
  return out
}

const mean = (values: Float64Array): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i] as number
  return values.length === 0 ? Number.NaN : sum / values.length
}

/** Mean log loss in nats; NaN without rows. */
export const logLoss = (labels: ArrayLike<number>, scores: ArrayLike<number>): number =>
  mean(logLosses(labels, scores))

/** Brier score: mean squared error of the probability; NaN without rows. */
export const brier = (labels: ArrayLike<number>, scores: ArrayLike<number>): number =>
  mean(squaredErrors(labels, scores))

/** Decisions at a threshold against the labels. */
export interface Confusion {
  readonly truePositives: number
  readonly falsePositives: number
  readonly trueNegatives: number
  readonly falseNegatives: number
}

/** Counts decisions `score >= threshold` by outcome. */
export const confusion = (
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  threshold = 0.5,
): Confusion => {
  check(labels, scores)
  const counts = [0, 0, 0, 0]
  for (let i = 0; i < labels.length; i++) {
    const index = (labels[i] as number) * 2 + ((scores[i] as number) >= threshold ? 1 : 0)
    counts[index] = (counts[index] as number) + 1
  }
  const [trueNegatives = 0, falsePositives = 0, falseNegatives = 0, truePositives = 0] = counts
  return { truePositives, falsePositives, trueNegatives, falseNegatives }
}

const ratio = (part: number, whole: number): number => (whole === 0 ? Number.NaN : part / whole)

/** Share of right decisions; NaN without rows. */
export const accuracy = (c: Confusion): number =>
  ratio(
    c.truePositives + c.trueNegatives,
    c.truePositives + c.trueNegatives + c.falsePositives + c.falseNegatives,
  )

/** Share of positive decisions that were right; NaN without positive decisions. */
export const precision = (c: Confusion): number =>
  ratio(c.truePositives, c.truePositives + c.falsePositives)

/** Share of positives that were found; NaN without positives. */
export const recall = (c: Confusion): number =>
  ratio(c.truePositives, c.truePositives + c.falseNegatives)

/**
 * Expected calibration error: mean distance of predicted and observed share over bins, weighted by
 * rows. `width` makes bins of equal width, `mass` of equally many rows (Guo 2017; Nixon 2019).
 */
export const calibrationError = (
  labels: ArrayLike<number>,
  scores: ArrayLike<number>,
  options: { readonly bins?: number; readonly by?: "width" | "mass" } = {},
): number => {
  check(labels, scores)
  const n = labels.length
  const bins = options.bins ?? (options.by === "mass" ? 10 : 15)
  if (!Number.isInteger(bins) || bins < 1)
    throw invalid(`bins is ${bins}; use a whole number >= 1`, "bins")
  if (n === 0) return Number.NaN
  const order = new Uint32Array(n)
  for (let i = 0; i < n; i++) order[i] = i
  if (options.by === "mass") order.sort((a, b) => (scores[a] as number) - (scores[b] as number))
  const count = new Float64Array(bins)
  const predicted = new Float64Array(bins)
  const observed = new Float64Array(bins)
  for (let k = 0; k < n; k++) {
    const i = order[k] as number
    const score = probability(scores[i] as number, i)
    const bin =
      options.by === "mass"
        ? Math.floor((k * bins) / n)
        : Math.min(bins - 1, Math.floor(score * bins))
    count[bin] = (count[bin] as number) + 1
    predicted[bin] = (predicted[bin] as number) + score
    observed[bin] = (observed[bin] as number) + (labels[i] as number)
  }
  let sum = 0
  for (let b = 0; b < bins; b++) sum += Math.abs((predicted[b] as number) - (observed[b] as number))
  return sum / n
}
