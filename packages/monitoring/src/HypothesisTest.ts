/**
 * Tests of "these two come from the same distribution" and "this model is no better". Each gives
 * its p-value beside an effect size, because with a million rows every difference is significant.
 *
 * @module
 */
import { chiSquareSf, kolmogorovSf, kolmogorovTwoSampleSf, normalSf } from "./Distribution.ts"
import { random } from "./internal/random.ts"
import { binaryPairs } from "./Metric.ts"
import { MonitoringError } from "./MonitoringError.ts"

const invalid = (message: string, field?: string): MonitoringError =>
  new MonitoringError({
    reason: "InvalidInput",
    message,
    ...(field === undefined ? {} : { field }),
  })

/** Result of a Kolmogorov-Smirnov test. */
export interface KolmogorovSmirnov {
  /** Largest difference of the two empirical distribution functions, 0 to 1. */
  readonly statistic: number
  readonly pValue: number
  readonly method: "exact" | "asymptotic"
}

/** Lattice points above which the asymptotic p-value is used. */
const exactLimit = 4_000_000

const ascending = (values: Float64Array, name: string): void => {
  if (values.length === 0) throw invalid(`${name} is empty; drop it or wait for data`, name)
  // A NaN sorts last in a typed array, so the two ends tell.
  const last = values[values.length - 1] as number
  if (Number.isNaN(last) || Number.isNaN(values[0] as number)) {
    throw invalid(`${name} holds NaN; remove missing values first`, name)
  }
}

/**
 * Two-sample Kolmogorov-Smirnov test, two-sided, of two ascending samples (`sample.sort()` of a
 * Float64Array). The statistic is exact also with ties; the p-value is exact for n m <= 4e6
 * (conservative with ties), otherwise Kolmogorov's limit.
 *
 * @example
 * ```ts
 * import { HypothesisTest } from "@ashlar/monitoring"
 *
 * HypothesisTest.ksTwoSample(Float64Array.of(1, 2, 3, 4), Float64Array.of(3, 4, 5, 6)).statistic // => 0.5
 * ```
 */
export const ksTwoSample = (
  a: Float64Array,
  b: Float64Array,
  method: "auto" | "exact" | "asymptotic" = "auto",
): KolmogorovSmirnov => {
  ascending(a, "a")
  ascending(b, "b")
  const n = a.length
  const m = b.length
  let i = 0
  let j = 0
  let h = 0
  while (i < n && j < m) {
    const x = a[i] as number
    const y = b[j] as number
    const value = x < y ? x : y
    while (i < n && a[i] === value) i++
    while (j < m && b[j] === value) j++
    const distance = Math.abs(i * m - j * n)
    if (distance > h) h = distance
  }
  const statistic = h / (n * m)
  if (method === "exact" || (method === "auto" && n * m <= exactLimit)) {
    return { statistic, pValue: kolmogorovTwoSampleSf(h, n, m), method: "exact" }
  }
  const pValue = kolmogorovSf(Math.sqrt((n * m) / (n + m)) * statistic)
  return { statistic, pValue: Math.min(1, Math.max(0, pValue)), method: "asymptotic" }
}

/** Result of a chi-square test of homogeneity. */
export interface ChiSquare {
  readonly statistic: number
  readonly pValue: number
  readonly dof: number
  /** Cramér's V, 0 to 1. */
  readonly cramersV: number
}

/**
 * Chi-square test that the rows of a table of counts share one distribution. Empty rows and columns
 * are left out; with one degree of freedom, Yates' correction applies unless turned off.
 *
 * @example
 * ```ts
 * import { HypothesisTest } from "@ashlar/monitoring"
 *
 * HypothesisTest.chiSquare([[10, 10, 20], [20, 20, 20]]).statistic.toFixed(4) // => "2.7778"
 * ```
 */
export const chiSquare = (
  table: ReadonlyArray<ArrayLike<number>>,
  options: { readonly yates?: boolean } = {},
): ChiSquare => {
  const columns = table[0]?.length ?? 0
  const rowSums = table.map((row, i) => {
    if (row.length !== columns)
      throw invalid(`table[${i}] has ${row.length} columns, not ${columns}`)
    let sum = 0
    for (let j = 0; j < columns; j++) {
      const value = row[j] as number
      if (!(value >= 0) || value === Infinity) {
        throw invalid(`table[${i}][${j}] is ${value}; a count is a finite number >= 0`)
      }
      sum += value
    }
    return sum
  })
  const columnSums = Array.from({ length: columns }, (_, j) =>
    table.reduce((sum, row) => sum + (row[j] as number), 0),
  )
  const total = rowSums.reduce((sum, value) => sum + value, 0)
  const rows = rowSums.filter((sum) => sum > 0).length
  const used = columnSums.filter((sum) => sum > 0).length
  if (rows < 2) throw invalid("a chi-square test needs at least two rows with counts", "table")
  const dof = (rows - 1) * (used - 1)
  if (dof === 0) return { statistic: 0, pValue: 1, dof, cramersV: 0 }
  const correct = dof === 1 && options.yates !== false
  let statistic = 0
  let plain = 0
  table.forEach((row, i) => {
    for (let j = 0; j < columns; j++) {
      const expected = ((rowSums[i] as number) * (columnSums[j] as number)) / total
      if (expected === 0) continue
      const difference = Math.abs((row[j] as number) - expected)
      const shrunk = correct ? difference - Math.min(0.5, difference) : difference
      statistic += (shrunk * shrunk) / expected
      plain += (difference * difference) / expected
    }
  })
  const cramersV = Math.sqrt(plain / (total * Math.min(rows - 1, used - 1)))
  return { statistic, pValue: chiSquareSf(statistic, dof), dof, cramersV }
}

/** Result of DeLong's test: `difference` is challenger minus champion. */
export interface DeLong {
  readonly auc: { readonly challenger: number; readonly champion: number }
  readonly difference: number
  readonly standardError: number
  readonly z: number
  /** One-sided: the challenger is no better. */
  readonly pValue: number
  /** Two-sided: the two are equal. */
  readonly pValueTwoSided: number
}

/** Midranks of `values` (ties share their mean rank), from 1, in the given order. */
const midranks = (values: Float64Array): Float64Array => {
  const n = values.length
  const order = new Uint32Array(n)
  for (let i = 0; i < n; i++) order[i] = i
  order.sort((x, y) => (values[x] as number) - (values[y] as number))
  const out = new Float64Array(n)
  for (let i = 0; i < n;) {
    let j = i
    const value = values[order[i] as number]
    while (j < n && values[order[j] as number] === value) j++
    for (let k = i; k < j; k++) out[order[k] as number] = (i + j + 1) / 2
    i = j
  }
  return out
}

const placements = (positives: Float64Array, negatives: Float64Array) => {
  const p = positives.length
  const n = negatives.length
  const all = new Float64Array(p + n)
  all.set(positives)
  all.set(negatives, p)
  const pooled = midranks(all)
  const own = midranks(positives)
  const other = midranks(negatives)
  const v10 = new Float64Array(p)
  const v01 = new Float64Array(n)
  let sum = 0
  for (let i = 0; i < p; i++) {
    v10[i] = ((pooled[i] as number) - (own[i] as number)) / n
    sum += v10[i] as number
  }
  for (let j = 0; j < n; j++) {
    v01[j] = 1 - ((pooled[p + j] as number) - (other[j] as number)) / p
  }
  return { auc: sum / p, v10, v01 }
}

const varianceOfDifference = (a: Float64Array, b: Float64Array, mean: number): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) {
    const d = (a[i] as number) - (b[i] as number) - mean
    sum += d * d
  }
  return sum / (a.length - 1) / a.length
}

/**
 * DeLong's test of two correlated AUCs on the same rows (DeLong 1988; midranks after Sun and Xu
 * 2014, O(n log n)). Labels are 0 and 1; rows with a NaN label or score are refused.
 */
export const deLong = (
  labels: ArrayLike<number>,
  challenger: ArrayLike<number>,
  champion: ArrayLike<number>,
): DeLong => {
  const a = binaryPairs(labels, challenger)
  const b = binaryPairs(labels, champion)
  if (a.positives.length === 0 || a.negatives.length === 0) {
    throw invalid("an AUC needs both classes among the labels; widen the evaluation data", "labels")
  }
  if (a.positives.length === 1 || a.negatives.length === 1) {
    throw invalid(
      "the test needs at least two rows of each class, to see how they vary; widen the evaluation data",
      "labels",
    )
  }
  const x = placements(a.positives, a.negatives)
  const y = placements(b.positives, b.negatives)
  const difference = x.auc - y.auc
  const variance =
    varianceOfDifference(x.v10, y.v10, difference) + varianceOfDifference(x.v01, y.v01, difference)
  const standardError = Math.sqrt(variance)
  const z =
    standardError === 0
      ? difference === 0
        ? 0
        : Math.sign(difference) * Infinity
      : difference / standardError
  const tail = (value: number): number =>
    value === Infinity ? 0 : value === -Infinity ? 1 : normalSf(value)
  return {
    auc: { challenger: x.auc, champion: y.auc },
    difference,
    standardError,
    z,
    pValue: tail(z),
    pValueTwoSided: Math.min(1, 2 * tail(Math.abs(z))),
  }
}

/** Result of a paired bootstrap of a mean difference. */
export interface Bootstrap {
  readonly mean: number
  /** Percentile interval at 1 - alpha, two-sided. */
  readonly interval: readonly [number, number]
  /** One-sided: the mean is not above `above`; (1 + #) / (1 + resamples), so never 0. */
  readonly pValue: number
  readonly resamples: number
}

/** Draws that a bootstrap makes: about half a second of work. */
const draws = 5e7

/**
 * Paired bootstrap of the mean of per-row differences (challenger's gain minus champion's), seeded.
 *
 * Resamples are as many as `alpha` needs, at least 1000 and at most 50,000. Where rows x resamples
 * exceeds 50 million, blocks of neighbouring rows are drawn instead of rows, of which there are at
 * least a thousand; that leaves the distribution of the mean as it is (and is right for neighbours
 * that resemble each other, too).
 */
export const pairedBootstrap = (
  differences: Float64Array,
  options: {
    readonly seed: number
    readonly resamples?: number
    readonly alpha?: number
    readonly above?: number
  },
): Bootstrap => {
  const n = differences.length
  if (n === 0) throw invalid("a bootstrap needs at least one row", "differences")
  const above = options.above ?? 0
  const alpha = options.alpha ?? 0.05
  const resamples =
    options.resamples ?? Math.max(1000, Math.min(50_000, Math.ceil(2 / alpha) || 1000))
  if (!Number.isInteger(resamples) || resamples < 1) {
    throw invalid(`resamples is ${resamples}; use a whole number >= 1`, "resamples")
  }
  const blocks = Math.min(n, Math.max(1000, Math.floor(draws / resamples)))
  const sums = new Float64Array(blocks)
  const sizes = new Float64Array(blocks)
  let total = 0
  for (let i = 0; i < n; i++) {
    const block = Math.floor((i * blocks) / n)
    const value = differences[i] as number
    sums[block] = (sums[block] as number) + value
    sizes[block] = (sizes[block] as number) + 1
    total += value
  }
  if (!Number.isFinite(total)) {
    throw invalid("the differences hold NaN or an infinity; remove those rows", "differences")
  }
  const next = random(options.seed)
  const means = new Float64Array(resamples)
  let notAbove = 0
  for (let b = 0; b < resamples; b++) {
    let sum = 0
    let size = 0
    for (let i = 0; i < blocks; i++) {
      const block = (next() * blocks) | 0
      sum += sums[block] as number
      size += sizes[block] as number
    }
    means[b] = sum / size
    if (sum / size <= above) notAbove++
  }
  means.sort()
  const at = (q: number): number =>
    means[Math.min(resamples - 1, Math.max(0, Math.round(q * (resamples - 1))))] as number
  return {
    mean: total / n,
    interval: [at(alpha / 2), at(1 - alpha / 2)],
    pValue: (1 + notAbove) / (1 + resamples),
    resamples,
  }
}
