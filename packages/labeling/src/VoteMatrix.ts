/**
 * The votes of m labeling functions on n rows, grouped by identical vote pattern: rules repeat
 * themselves, so millions of rows are a few hundred patterns and every fit is fast.
 *
 * @module
 */
import { abstain } from "./LabelingFunction.ts"

/** Votes grouped by pattern. */
export interface VoteMatrix {
  readonly functions: ReadonlyArray<string>
  readonly classes: ReadonlyArray<string>
  /** Pattern of each row, an index into the patterns. */
  readonly patternOf: Int32Array
  /** Rows of each pattern. */
  readonly counts: Float64Array
  /** Votes by pattern, row-major `[patterns, functions]`. */
  readonly votes: Int8Array
}

/** What a function does, without knowing the truth. */
export interface FunctionStatistics {
  readonly name: string
  /** Classes it votes for. */
  readonly polarity: ReadonlyArray<string>
  /** Share of rows it votes on. */
  readonly coverage: number
  /** Share of rows it votes on together with another function. */
  readonly overlaps: number
  /** Share of rows where another function contradicts it. */
  readonly conflicts: number
}

/**
 * Groups one vote column per function.
 *
 * Throws a `RangeError` for columns of different lengths and for votes outside the classes.
 *
 * @example
 * ```ts
 * import { VoteMatrix } from "@ashlar/labeling"
 *
 * const matrix = VoteMatrix.make(["low", "high"], ["ok", "bad"], [
 *   Int8Array.of(0, -1, 0),
 *   Int8Array.of(1, -1, 1),
 * ])
 * matrix.counts.length // => 2
 * ```
 */
export const make = (
  functions: ReadonlyArray<string>,
  classes: ReadonlyArray<string>,
  columns: ReadonlyArray<Int8Array>,
): VoteMatrix => {
  const rows = columns[0]?.length ?? 0
  columns.forEach((column, j) => checkColumn(column, rows, classes.length, functions[j] ?? `${j}`))

  // Refines the grouping one function at a time: (pattern so far, vote) -> new pattern.
  const width = classes.length + 1
  const patternOf = new Int32Array(rows)
  let patterns: Array<Array<number>> = [[]]
  for (const column of columns) {
    const idOf = new Int32Array(patterns.length * width).fill(-1)
    const refined: Array<Array<number>> = []
    for (let i = 0; i < rows; i++) {
      const old = patternOf[i] as number
      const vote = column[i] as number
      const cell = old * width + vote + 1
      let id = idOf[cell] as number
      if (id < 0) {
        id = refined.length
        idOf[cell] = id
        refined.push([...(patterns[old] ?? []), vote])
      }
      patternOf[i] = id
    }
    patterns = refined
  }

  const counts = new Float64Array(patterns.length)
  for (let i = 0; i < rows; i++) {
    const id = patternOf[i] as number
    counts[id] = (counts[id] as number) + 1
  }
  const votes = new Int8Array(patterns.length * functions.length)
  patterns.forEach((pattern, p) => votes.set(pattern, p * functions.length))
  return { functions, classes, patternOf, counts, votes }
}

const checkColumn = (column: Int8Array, rows: number, classes: number, name: string): void => {
  if (column.length !== rows) {
    throw new RangeError(
      `labeling function ${name} voted on ${column.length} rows, expected ${rows}: return one vote per row of the table`,
    )
  }
  for (let i = 0; i < rows; i++) {
    const vote = column[i] as number
    if (vote < abstain || vote >= classes) {
      throw new RangeError(
        `labeling function ${name} voted ${vote} on row ${i}: vote 0 to ${classes - 1}, or -1 to abstain`,
      )
    }
  }
}

/** Polarity, coverage, overlaps and conflicts of every function (Snorkel's LF analysis). */
export const statistics = (matrix: VoteMatrix): ReadonlyArray<FunctionStatistics> => {
  const { functions, classes, counts, votes } = matrix
  const m = functions.length
  const total = counts.reduce((sum, count) => sum + count, 0)
  return functions.map((name, j) => {
    const seen = new Set<number>()
    let covered = 0
    let overlapping = 0
    let conflicting = 0
    for (let p = 0; p < counts.length; p++) {
      const own = votes[p * m + j] as number
      if (own === abstain) continue
      const count = counts[p] as number
      const others = [...votes.subarray(p * m, (p + 1) * m)].filter((v, k) => k !== j && v >= 0)
      seen.add(own)
      covered += count
      if (others.length > 0) overlapping += count
      if (others.some((vote) => vote !== own)) conflicting += count
    }
    const share = (n: number) => (total === 0 ? 0 : n / total)
    return {
      name,
      polarity: [...seen].sort((a, b) => a - b).map((c) => classes[c] ?? `${c}`),
      coverage: share(covered),
      overlaps: share(overlapping),
      conflicts: share(conflicting),
    }
  })
}

/** Majority vote by pattern: the class with most votes, {@link abstain} on a tie or no vote. */
export const majority = (matrix: VoteMatrix): Int8Array => {
  const { functions, classes, counts, votes } = matrix
  const m = functions.length
  const tally = new Int32Array(classes.length)
  return Int8Array.from({ length: counts.length }, (_, p) => {
    tally.fill(0)
    for (let j = 0; j < m; j++) {
      const vote = votes[p * m + j] as number
      if (vote >= 0) tally[vote] = (tally[vote] as number) + 1
    }
    const best = Math.max(...tally)
    const first = tally.indexOf(best)
    return best === 0 || tally.lastIndexOf(best) !== first ? abstain : first
  })
}
