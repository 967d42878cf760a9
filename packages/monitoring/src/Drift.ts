/**
 * How far a table moved away from a reference, column by column, from two profiles.
 *
 * Every column gets effect sizes (PSI, Jensen-Shannon distance, and the Kolmogorov-Smirnov or
 * total-variation distance) beside a p-value adjusted for the number of columns. A column drifted
 * when it is both significant and large: with a million rows everything is significant.
 *
 * @module
 */
import * as Distance from "./Distance.ts"
import { kolmogorovSf } from "./Distribution.ts"
import { chiSquare } from "./HypothesisTest.ts"
import { cdf, quantile, type SketchView } from "./internal/kll.ts"
import { MonitoringError } from "./MonitoringError.ts"
import { adjust, type Method } from "./Multiplicity.ts"
import {
  type CategoricalColumn,
  type ColumnProfile,
  type NumericColumn,
  type Profile,
  view,
} from "./Profile.ts"

/** Which effect size decides, and from where on it counts as large. */
export type Measure = "psi" | "jensenShannon" | "distance"

/** When a column counts as drifted. */
export interface DriftOptions {
  /** Effect size that decides; default `psi`. */
  readonly measure?: Measure
  /** Large from here on; default 0.1, for `psi` the usual "moderate change". */
  readonly threshold?: number
  /** Level of the adjusted p-values; default 0.05. */
  readonly alpha?: number
  /** Adjustment over the columns; default `bh`. */
  readonly adjust?: Method
  /** Quantile bins of numeric columns; default 10. */
  readonly bins?: number
  /** Columns to compare; default all that both profiles have. */
  readonly columns?: ReadonlyArray<string>
}

/** Drift of one column. */
export interface ColumnDrift {
  readonly column: string
  readonly kind: "numeric" | "categorical"
  /** Population stability index; missing values are a bin of their own. */
  readonly psi: number
  /** Jensen-Shannon distance in base 2, 0 to 1. */
  readonly jensenShannon: number
  /** Kolmogorov-Smirnov distance (numeric) or total variation (categorical), 0 to 1. */
  readonly distance: number
  /** Largest error of `distance` that comes from sketching; 0 when both sides are exact. */
  readonly resolution: number
  /** KS (numeric, of distance - resolution, so never too small) or chi-square (categorical). */
  readonly pValue: number
  readonly pAdjusted: number
  readonly drifted: boolean
  /** Share of missing values before and now. */
  readonly missing: readonly [reference: number, current: number]
}

/** Drift of a table. */
export interface DriftReport {
  readonly rows: readonly [reference: number, current: number]
  readonly columns: ReadonlyArray<ColumnDrift>
  readonly drifted: number
  /** Share of compared columns that drifted. */
  readonly share: number
  /** Columns that only one side has, or that changed type. */
  readonly incomparable: ReadonlyArray<string>
  readonly measure: Measure
  readonly threshold: number
  readonly alpha: number
  readonly adjust: Method
}

/** The largest double below a finite one. */
const justBelow = (x: number): number => {
  if (x === 0) return -Number.MIN_VALUE
  const bits = new BigInt64Array(1)
  const value = new Float64Array(bits.buffer)
  value[0] = x
  bits[0] = (bits[0] as bigint) + (x > 0 ? -1n : 1n)
  return Math.max(value[0], -Number.MAX_VALUE)
}

/**
 * Edges of quantile bins of the reference, at most `bins`, ascending and distinct. Where the
 * smallest value fills the first bin (a constant, many zeros), what lies below it gets a bin of its
 * own: it would hide among those values.
 */
const edgesOf = (reference: SketchView, bins: number): ReadonlyArray<number> => {
  const edges: Array<number> = []
  const smallest = reference.values[0] as number
  if (quantile(reference, 1 / bins) === smallest) edges.push(justBelow(smallest))
  for (let b = 1; b < bins; b++) {
    const edge = quantile(reference, b / bins)
    if (edges.length === 0 || edge > (edges[edges.length - 1] as number)) edges.push(edge)
  }
  return edges
}

/** Counts per bin `(previous, edge]`, then infinities, then missing values. */
const counts = (
  column: typeof NumericColumn.Type,
  sketch: SketchView,
  edges: ReadonlyArray<number>,
): Float64Array => {
  const out = new Float64Array(edges.length + 3)
  let before = 0
  edges.forEach((edge, i) => {
    const below = cdf(sketch, edge)
    out[i] = (below - before) * column.count
    before = below
  })
  out[edges.length] = Math.max(0, 1 - before) * column.count
  out[edges.length + 1] = column.infinite
  out[edges.length + 2] = column.missing
  return out
}

/** Largest difference of two distribution functions. */
const ksDistance = (a: SketchView, b: SketchView): number => {
  const n = a.values.length
  const m = b.values.length
  const totalA = a.cumulative[n - 1] as number
  const totalB = b.cumulative[m - 1] as number
  let i = 0
  let j = 0
  let largest = 0
  while (i < n && j < m) {
    const x = a.values[i] as number
    const y = b.values[j] as number
    if (x <= y) i++
    if (y <= x) j++
    const left = i === 0 ? 0 : (a.cumulative[i - 1] as number) / totalA
    const right = j === 0 ? 0 : (b.cumulative[j - 1] as number) / totalB
    largest = Math.max(largest, Math.abs(left - right))
  }
  return largest
}

interface Compared {
  readonly psi: number
  readonly jensenShannon: number
  readonly distance: number
  readonly resolution: number
  readonly pValue: number
}

const compareNumeric = (
  name: string,
  reference: typeof NumericColumn.Type,
  current: typeof NumericColumn.Type,
  bins: number,
): Compared => {
  const a = view(name, reference)
  const b = view(name, current)
  const edges = reference.count === 0 ? [] : edgesOf(a, bins)
  const before = reference.count === 0 ? emptyCounts(reference) : counts(reference, a, edges)
  const now = current.count === 0 ? emptyCounts(current, edges.length) : counts(current, b, edges)
  const sizes = {
    psi: Distance.psi(before, now),
    jensenShannon: Distance.jensenShannon(before, now),
  }
  if (reference.count === 0 || current.count === 0) {
    const distance = reference.count === current.count ? 0 : 1
    return { ...sizes, distance, resolution: 0, pValue: Number.NaN }
  }
  const distance = ksDistance(a, b)
  const resolution = a.rankError + b.rankError
  const n = (reference.count * current.count) / (reference.count + current.count)
  const pValue = kolmogorovSf(Math.sqrt(n) * Math.max(0, distance - resolution))
  return { ...sizes, distance, resolution, pValue: Math.min(1, Math.max(0, pValue)) }
}

const emptyCounts = (column: typeof NumericColumn.Type, edges = 0): Float64Array => {
  const out = new Float64Array(edges + 3)
  out[edges + 1] = column.infinite
  out[edges + 2] = column.missing
  return out
}

/** Counts by the names, then all others, then missing values. */
const categoryCounts = (
  column: typeof CategoricalColumn.Type,
  values: ReadonlyMap<string, number>,
  names: ReadonlyArray<string>,
): ReadonlyArray<number> => {
  const known = names.map((name) => values.get(name) ?? 0)
  const rest = column.other + column.values.reduce((sum, [, count]) => sum + count, 0)
  return [...known, rest - known.reduce((sum, count) => sum + count, 0), column.missing]
}

const compareCategorical = (
  reference: typeof CategoricalColumn.Type,
  current: typeof CategoricalColumn.Type,
): Compared => {
  const now = new Map(current.values)
  const before = new Map(reference.values)
  // A side that dropped its rare categories does not know their counts: they are not zero.
  const names = [...new Set([...before.keys(), ...now.keys()])].filter(
    (name) => (before.has(name) || reference.other === 0) && (now.has(name) || current.other === 0),
  )
  const table = [categoryCounts(reference, before, names), categoryCounts(current, now, names)]
  const [a = [], b = []] = table
  return {
    psi: Distance.psi(a, b),
    jensenShannon: Distance.jensenShannon(a, b),
    distance: Distance.totalVariation(a, b),
    resolution: 0,
    pValue: chiSquare(table, { yates: false }).pValue,
  }
}

const missingShare = (column: ColumnProfile): number => {
  const rows = column.count + column.missing + (column.kind === "numeric" ? column.infinite : 0)
  return rows === 0 ? 0 : column.missing / rows
}

/** Whether a column has no value, and so no type of its own. */
const isBlank = (column: ColumnProfile): boolean =>
  column.count === 0 && (column.kind === "categorical" || column.infinite === 0)

/** A column without values as one of the other's kind. */
const retyped = (blank: ColumnProfile, other: ColumnProfile): ColumnProfile =>
  other.kind === "categorical"
    ? { kind: "categorical", count: 0, missing: blank.missing, values: [], other: 0 }
    : {
        kind: "numeric",
        count: 0,
        missing: blank.missing,
        infinite: 0,
        mean: 0,
        m2: 0,
        sketch: { ...other.sketch, levels: [] },
      }

const own = (profile: Profile, name: string): ColumnProfile | undefined =>
  Object.hasOwn(profile.columns, name) ? profile.columns[name] : undefined

/**
 * Compares a current profile with a reference. Throws `MonitoringError` when a profile has no rows
 * or a named column is in neither.
 *
 * @example
 * ```ts
 * import { Drift, Profile } from "@ashlar/monitoring"
 *
 * const rows = 5000
 * const before = Profile.ofColumns({ x: Float64Array.from({ length: rows }, (_, i) => i / rows) })
 * const now = Profile.ofColumns({ x: Float64Array.from({ length: rows }, (_, i) => 0.3 + i / rows) })
 * Drift.compare(before, now).columns[0]?.drifted // => true
 * Drift.compare(before, before).share // => 0
 * ```
 */
export const compare = (
  reference: Profile,
  current: Profile,
  options: DriftOptions = {},
): DriftReport => {
  const {
    measure = "psi",
    threshold = 0.1,
    alpha = 0.05,
    adjust: method = "bh",
    bins = 10,
  } = options
  for (const [name, profile] of [
    ["reference", reference],
    ["current", current],
  ] as const) {
    if (profile.rows > 0) continue
    throw new MonitoringError({
      reason: "InvalidInput",
      message: `the ${name} profile has no rows; drift needs rows on both sides`,
      field: name,
    })
  }
  const names = options.columns ?? [
    ...new Set([...Object.keys(reference.columns), ...Object.keys(current.columns)]),
  ]
  const incomparable: Array<string> = []
  const compared: Array<Omit<ColumnDrift, "pAdjusted" | "drifted">> = []
  for (const column of names) {
    let a = own(reference, column)
    let b = own(current, column)
    if (a !== undefined && b !== undefined && a.kind !== b.kind) {
      if (isBlank(a)) a = retyped(a, b)
      else if (isBlank(b)) b = retyped(b, a)
    }
    if (a === undefined && b === undefined) {
      throw new MonitoringError({
        reason: "NotFound",
        message: `neither profile has a column '${column}'`,
        field: "columns",
      })
    }
    if (a === undefined || b === undefined || a.kind !== b.kind) {
      incomparable.push(column)
      continue
    }
    const result =
      a.kind === "numeric" && b.kind === "numeric"
        ? compareNumeric(column, a, b, bins)
        : a.kind === "categorical" && b.kind === "categorical"
          ? compareCategorical(a, b)
          : undefined
    if (result === undefined) continue
    compared.push({ column, kind: a.kind, ...result, missing: [missingShare(a), missingShare(b)] })
  }
  const adjusted = adjust(
    compared.map((c) => c.pValue),
    method,
  )
  const columns = compared.map((c, i): ColumnDrift => {
    const pAdjusted = adjusted[i] ?? Number.NaN
    // Without values on one side there is no test; the effect size alone decides.
    const significant = Number.isNaN(pAdjusted) || pAdjusted < alpha
    return { ...c, pAdjusted, drifted: significant && c[measure] >= threshold }
  })
  const drifted = columns.filter((c) => c.drifted).length
  return {
    rows: [reference.rows, current.rows],
    columns,
    drifted,
    share: columns.length === 0 ? 0 : drifted / columns.length,
    incomparable,
    measure,
    threshold,
    alpha,
    adjust: method,
  }
}
