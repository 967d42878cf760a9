/**
 * Turns a column of float32 values into at most 255 value bins; bin 0 is missing.
 *
 * Boundaries come from a seeded sample, values that fill a bin alone get one, the rest share by
 * count (as LightGBM does). A boundary is a float32 between two neighbouring sampled values, so a
 * stored threshold and a float32 input compare the same in every runtime.
 *
 * @module
 */
import { mix } from "./random.ts"

/** Rows looked at to place boundaries. */
export const sampleSize = 200_000

/** Largest category code; codes are whole numbers from 0. */
export const maxCategoryCode = 65_535

/** How a column is binned. */
export type Binning =
  | { readonly kind: "numeric"; readonly bounds: Float32Array }
  /** `codes[i]` is the category of bin i + 1; `table[code]` is a bin, 0 if rare or never seen. */
  | { readonly kind: "categorical"; readonly codes: Float32Array; readonly table: Uint8Array }

/** How many bins a column has, the missing bin included. */
export const binCount = (binning: Binning): number =>
  binning.kind === "numeric" ? binning.bounds.length + 2 : binning.codes.length + 1

/** Row numbers to look at: all, or one at a seeded place in each of `sampleSize` equal strips. */
const sampleRows = (rows: number, seed: number): Uint32Array => {
  const size = Math.min(rows, sampleSize)
  const out = new Uint32Array(size)
  for (let i = 0; i < size; i++) {
    const from = Math.floor((i * rows) / size)
    const to = Math.floor(((i + 1) * rows) / size)
    out[i] = from + (mix(i ^ seed) % (to - from))
  }
  return out
}

const boundary = (low: number, high: number): number => {
  const middle = Math.fround((low + high) / 2)
  return middle >= low && middle < high ? middle : low
}

/** Boundaries that split ascending values into at most `maxBins` bins of at least `minInBin` values. */
export const boundariesOf = (
  sorted: Float32Array,
  maxBins: number,
  minInBin: number,
): Float32Array => {
  const values = new Float32Array(sorted.length)
  const counts = new Uint32Array(sorted.length)
  let distinct = 0
  for (let i = 0; i < sorted.length; i++) {
    const value = sorted[i] as number
    if (i === 0 || value !== sorted[i - 1]) values[distinct++] = value
    counts[distinct - 1] = (counts[distinct - 1] as number) + 1
  }
  const bounds: Array<number> = []
  const cut = (i: number) => bounds.push(boundary(values[i] ?? 0, values[i + 1] ?? 0))
  if (distinct <= maxBins) {
    let inBin = 0
    for (let i = 0; i + 1 < distinct; i++) {
      inBin += counts[i] ?? 0
      if (inBin < minInBin) continue
      cut(i)
      inBin = 0
    }
    return Float32Array.from(bounds)
  }
  let restRows = sorted.length
  let restBins = maxBins
  const mean = restRows / restBins
  for (let i = 0; i < distinct; i++) {
    const count = counts[i] ?? 0
    if (count < mean) continue
    restRows -= count
    restBins -= 1
  }
  let target = restRows / Math.max(restBins, 1)
  let inBin = 0
  for (let i = 0; i + 1 < distinct && bounds.length < maxBins - 1; i++) {
    const count = counts[i] ?? 0
    const isBig = count >= mean
    if (!isBig) restRows -= count
    inBin += count
    const nextIsBig = (counts[i + 1] ?? 0) >= mean
    if (isBig || inBin >= target || (nextIsBig && inBin >= Math.max(1, target / 2))) {
      cut(i)
      inBin = 0
      if (!isBig) {
        restBins -= 1
        target = restRows / Math.max(restBins, 1)
      }
    }
  }
  return Float32Array.from(bounds)
}

/** Bins of a numeric column. */
export const numericBinning = (
  column: Float32Array,
  maxBins: number,
  minInBin: number,
  seed: number,
): Binning => {
  const rows = sampleRows(column.length, seed)
  const sample = new Float32Array(rows.length)
  let kept = 0
  for (const row of rows) {
    const value = column[row] ?? Number.NaN
    if (value === value) sample[kept++] = value
  }
  return {
    kind: "numeric",
    bounds: boundariesOf(sample.subarray(0, kept).sort(), maxBins, minInBin),
  }
}

/** Bins of a column of category codes: the most frequent first. Returns a message when a value is no code. */
export const categoricalBinning = (
  column: Float32Array,
  maxBins: number,
  minInBin: number,
): Binning | string => {
  const counts = new Map<number, number>()
  for (const value of column) {
    if (value !== value) continue
    if (!Number.isInteger(value) || value < 0 || value > maxCategoryCode) {
      return `has the value ${value}, but category codes are whole numbers from 0 to ${maxCategoryCode}`
    }
    counts.set(value, (counts.get(value) ?? 0) + 1)
  }
  const kept = [...counts]
    .filter(([, count]) => count >= minInBin)
    .sort(([codeA, a], [codeB, b]) => b - a || codeA - codeB)
    .slice(0, maxBins)
    .map(([code]) => code)
  const table = new Uint8Array(Math.max(-1, ...kept) + 1)
  kept.forEach((code, i) => (table[code] = i + 1))
  return { kind: "categorical", codes: Float32Array.from(kept), table }
}
