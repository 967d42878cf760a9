/**
 * How far annotators agree beyond chance: Cohen's and Fleiss' kappa, Krippendorff's alpha. 1 is
 * perfect, 0 is chance; NaN where chance alone explains everything (one class only) or there is
 * nothing to compare.
 *
 * @module
 */

type Matrix = ReadonlyArray<ReadonlyArray<number>>

const sum = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0)

const checkRows = (table: Matrix, columns: number, what: string): void => {
  table.forEach((row, i) => {
    if (row.length !== columns || row.some((value) => !(value >= 0 && Number.isFinite(value)))) {
      throw new RangeError(`${what}[${i}]: give ${columns} counts, each a number from 0`)
    }
  })
}

/**
 * Cohen's kappa of two annotators (1960), from how often they answered what:
 * `table[i][j]` counts tasks that the first put in class `i` and the second in `j`. `linear` and
 * `quadratic` (1968) count near misses as partial agreement, for ordered classes.
 *
 * Throws a `RangeError` for a table that is not square or has entries that are no counts.
 *
 * @example
 * ```ts
 * import { Agreement } from "@ashlar/labeling"
 *
 * Agreement.cohen([
 *   [20, 5],
 *   [10, 15],
 * ]) // => 0.4
 * ```
 */
export const cohen = (table: Matrix, weights: "none" | "linear" | "quadratic" = "none"): number => {
  const K = table.length
  checkRows(table, K, "table")
  const total = sum(table.map(sum))
  const rows = table.map(sum)
  const columns = table.map((_, j) => sum(table.map((row) => row[j] ?? 0)))
  const distance = (i: number, j: number): number =>
    weights === "none" ? (i === j ? 0 : 1) : Math.abs(i - j) ** (weights === "linear" ? 1 : 2)
  let observed = 0
  let expected = 0
  table.forEach((row, i) =>
    row.forEach((count, j) => {
      observed += distance(i, j) * count
      expected += (distance(i, j) * (rows[i] ?? 0) * (columns[j] ?? 0)) / total
    }),
  )
  return expected === 0 ? Number.NaN : (expected - observed) / expected
}

/**
 * Fleiss' kappa (1971) of any annotators, from `counts[task][class]`; every task has the same number
 * of answers, at least two.
 *
 * Throws a `RangeError` for tasks with different numbers of answers.
 */
export const fleiss = (counts: Matrix): number => {
  const K = counts[0]?.length ?? 0
  checkRows(counts, K, "counts")
  const raters = sum(counts[0] ?? [])
  counts.forEach((row, task) => {
    if (sum(row) !== raters || raters < 2) {
      throw new RangeError(
        `counts[${task}] has ${sum(row)} answers, counts[0] has ${raters}: Fleiss' kappa needs the same number for each task, at least 2; use krippendorff otherwise`,
      )
    }
  })
  const tasks = counts.length
  const agreeing = counts.map((row) => sum(row.map((n) => n * (n - 1))) / (raters * (raters - 1)))
  const shares = Array.from(
    { length: K },
    (_, k) => sum(counts.map((row) => row[k] ?? 0)) / (tasks * raters),
  )
  const observed = sum(agreeing) / tasks
  const expected = sum(shares.map((p) => p * p))
  return expected === 1 ? Number.NaN : (observed - expected) / (1 - expected)
}

/** How values of a scale differ. */
export type Level = "nominal" | "ordinal" | "interval" | "ratio"

/**
 * Krippendorff's alpha (2011) of `ratings[annotator][task]`, NaN where an annotator gave no answer;
 * any number of annotators and missing answers. Tasks with fewer than two answers do not count.
 *
 * Throws a `RangeError` for annotators with different numbers of tasks.
 *
 * @example
 * ```ts
 * import { Agreement } from "@ashlar/labeling"
 *
 * const none = Number.NaN
 * Agreement.krippendorff([
 *   [1, 2, 3, none],
 *   [1, 2, 3, 3],
 * ]) // => 1
 * ```
 */
export const krippendorff = (ratings: Matrix, level: Level = "nominal"): number => {
  const units = ratings[0]?.length ?? 0
  ratings.forEach((row, i) => {
    if (row.length !== units) {
      throw new RangeError(
        `ratings[${i}] has ${row.length} tasks, ratings[0] has ${units}: give NaN where there is no answer`,
      )
    }
  })
  const given = ratings.flat().filter((value) => !Number.isNaN(value))
  const values = [...new Set(given)].sort((a, b) => a - b)
  const V = values.length
  const index = new Map(values.map((value, v) => [value, v]))
  // coincidences[c * V + k]: pairs of answers c and k to the same task, each task weighing its answers.
  const coincidences = new Float64Array(V * V)
  for (let unit = 0; unit < units; unit++) {
    const counts = new Map<number, number>()
    let answers = 0
    for (const row of ratings) {
      const v = index.get(row[unit] ?? Number.NaN)
      if (v === undefined) continue
      counts.set(v, (counts.get(v) ?? 0) + 1)
      answers += 1
    }
    if (answers < 2) continue
    for (const [c, n] of counts) {
      for (const [k, m] of counts) {
        const cell = c * V + k
        const pairs = (n * (c === k ? m - 1 : m)) / (answers - 1)
        coincidences[cell] = (coincidences[cell] as number) + pairs
      }
    }
  }
  const totals = values.map((_, c) => sum([...coincidences.subarray(c * V, (c + 1) * V)]))
  const total = sum(totals)
  const distance = distanceOf(level, values, totals)
  let observed = 0
  let expected = 0
  for (let c = 0; c < V; c++) {
    for (let k = 0; k < V; k++) {
      const d = distance(c, k)
      observed += (coincidences[c * V + k] as number) * d
      expected += (totals[c] ?? 0) * (totals[k] ?? 0) * d
    }
  }
  return expected === 0 ? Number.NaN : 1 - ((total - 1) * observed) / expected
}

/** Squared difference of two values, given by their indices. */
const distanceOf = (
  level: Level,
  values: ReadonlyArray<number>,
  totals: ReadonlyArray<number>,
): ((c: number, k: number) => number) => {
  const value = (c: number): number => values[c] ?? Number.NaN
  switch (level) {
    case "nominal":
      return (c, k) => (c === k ? 0 : 1)
    case "interval":
      return (c, k) => (value(c) - value(k)) ** 2
    case "ratio":
      return (c, k) => (c === k ? 0 : ((value(c) - value(k)) / (value(c) + value(k))) ** 2)
    case "ordinal": {
      const below = [0]
      totals.forEach((n, c) => below.push((below[c] ?? 0) + n))
      // Answers from one value to the other, the ends counted half.
      return (c, k) => {
        const [low, high] = c < k ? [c, k] : [k, c]
        const between = (below[high + 1] ?? 0) - (below[low] ?? 0)
        return c === k ? 0 : (between - ((totals[c] ?? 0) + (totals[k] ?? 0)) / 2) ** 2
      }
    }
  }
}
