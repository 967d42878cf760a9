/**
 * Running sums over windows per key: each is what entered minus what left.
 *
 * Where a column holds whole numbers whose sums stay below 2^53, a plain number is exact. Other
 * columns use two compensated sums (Neumaier 1974), one of what entered and one of what left. Their
 * state depends on the events alone, never on the instants that were asked for in between, so
 * asking once or a thousand times gives the same bits.
 *
 * @module
 */
import { narrow } from "./eventIndex.ts"

/** What a channel adds up for each event with a value. */
export type Moment = "count" | "sum" | "deviation" | "square"

/** One running sum; `column` -1 counts events whatever their values. */
export interface Channel {
  readonly column: number
  readonly moment: Moment
}

/** What each event adds to each channel. */
export interface Terms {
  readonly width: number
  /** By position and channel. */
  readonly values: Float64Array | Float32Array
  /** What `values` rounded away, when a channel needs it. */
  readonly errors: Float64Array | undefined
  /** Whether a channel's sums are exact whole numbers. */
  readonly exact: ReadonlyArray<boolean>
}

const largestExact = 2 ** 53

/** Veltkamp's split: the upper half of a double's digits. */
const upper = (x: number): number => {
  const c = 134217729 * x
  return c - (c - x)
}

/** The rounding error of a product (Dekker 1971). */
const productError = (x: number, y: number, product: number): number => {
  const a = upper(x)
  const b = upper(y)
  return (x - a) * (y - b) - (product - a * b - (x - a) * b - a * (y - b))
}

/** The rounding error of a difference (Knuth). */
const differenceError = (x: number, y: number, difference: number): number => {
  const part = difference - x
  return x - (difference - part) - (y + part)
}

/** Whether sums of the column's values (or of squared deviations) stay exact whole numbers. */
const isExact = (values: Float64Array | Float32Array, squared: boolean): boolean => {
  let total = 0
  let largest = 0
  for (let i = 0; i < values.length; i++) {
    const x = values[i] as number
    if (x !== x) continue
    if (!Number.isInteger(x)) return false
    const size = Math.abs(x)
    total += size
    if (size > largest) largest = size
  }
  // A deviation from a key's first value is at most twice the largest value.
  return (squared ? values.length * 4 * largest * largest : total) <= largestExact
}

/**
 * Works out what every event adds. `shift` gives, per position, the value of a column that the
 * key's deviations are taken from, which keeps variances accurate far from zero.
 */
export const terms = (
  events: number,
  channels: ReadonlyArray<Channel>,
  columns: ReadonlyArray<Float64Array | Float32Array>,
  shift: (column: number) => Float64Array,
): Terms => {
  const width = channels.length
  const out = new Float64Array(events * width)
  const exact = channels.map(({ column, moment }) => {
    const values = columns[column]
    return values === undefined || moment === "count" || isExact(values, moment !== "sum")
  })
  const rough = channels.some(({ moment }, c) => moment === "square" && !exact[c])
  const errors = rough ? new Float64Array(events * width) : undefined
  channels.forEach(({ column, moment }, c) => {
    const values = columns[column]
    if (values === undefined) {
      for (let p = 0; p < events; p++) out[p * width + c] = 1
    } else if (moment === "count" || moment === "sum") {
      const counts = moment === "count"
      for (let p = 0; p < events; p++) {
        const x = values[p] as number
        if (x === x) out[p * width + c] = counts ? 1 : x
      }
    } else {
      const from = shift(column)
      const squares = moment === "square"
      for (let p = 0; p < events; p++) {
        const d = (values[p] as number) - (from[p] as number)
        if (d !== d) continue
        out[p * width + c] = squares ? d * d : d
        if (squares && errors !== undefined) errors[p * width + c] = productError(d, d, d * d)
      }
    }
  })
  return { width, values: narrow(out), errors, exact }
}

/** Sums of several channels in cells. */
export interface Sums {
  readonly enter: (cell: number, position: number) => void
  readonly leave: (cell: number, position: number) => void
  readonly value: (cell: number, channel: number) => number
  /** Population variance from the channels of a deviation and its square. */
  readonly variance: (cell: number, n: number, deviation: number, square: number) => number
  readonly reset: () => void
}

/** Starts sums at zero. */
export const make = (cells: number, { errors, exact, values, width }: Terms): Sums => {
  const allExact = exact.every(Boolean)
  /** Sum of what entered, less what left where that is exact. */
  const totals = new Float64Array(cells * width)
  const entered = new Float64Array(allExact ? 0 : cells * width)
  const left = new Float64Array(allExact ? 0 : cells * width)
  const leftError = new Float64Array(allExact ? 0 : cells * width)

  const accumulate = (sum: Float64Array, error: Float64Array, at: number, term: number): void => {
    const x = values[term] as number
    const before = sum[at] as number
    const after = before + x
    const part = after - before
    const lost = before - (after - part) + (x - part)
    sum[at] = after
    error[at] = (error[at] as number) + lost + (errors === undefined ? 0 : (errors[term] as number))
  }

  const enter = (cell: number, position: number): void => {
    const base = cell * width
    const from = position * width
    for (let c = 0; c < width; c++) {
      if (allExact || exact[c]) {
        totals[base + c] = (totals[base + c] as number) + (values[from + c] as number)
      } else accumulate(totals, entered, base + c, from + c)
    }
  }
  const leave = (cell: number, position: number): void => {
    const base = cell * width
    const from = position * width
    for (let c = 0; c < width; c++) {
      if (allExact || exact[c]) {
        totals[base + c] = (totals[base + c] as number) - (values[from + c] as number)
      } else accumulate(left, leftError, base + c, from + c)
    }
  }
  const value = (cell: number, channel: number): number => {
    const at = cell * width + channel
    const sum = totals[at] as number
    if (allExact || exact[channel]) return sum
    const out = left[at] as number
    const difference = sum - out
    const lost = (entered[at] as number) - (leftError[at] as number)
    return difference + (differenceError(sum, out, difference) + lost)
  }
  /** What `value` rounds away. */
  const rest = (cell: number, channel: number, rounded: number): number => {
    if (exact[channel]) return 0
    const at = cell * width + channel
    const sum = totals[at] as number
    const out = left[at] as number
    const difference = sum - out
    const lost = (entered[at] as number) - (leftError[at] as number)
    return difference - rounded + (differenceError(sum, out, difference) + lost)
  }
  const variance = (cell: number, n: number, deviation: number, square: number): number => {
    const d = value(cell, deviation)
    const s = value(cell, square)
    const large = n * s
    const small = d * d
    const error =
      productError(n, s, large) +
      n * rest(cell, square, s) -
      productError(d, d, small) -
      2 * d * rest(cell, deviation, d)
    return Math.max(0, (large - small + error) / (n * n))
  }
  const reset = (): void => {
    totals.fill(0)
    entered.fill(0)
    left.fill(0)
    leftError.fill(0)
  }
  return { enter, leave, value, variance, reset }
}
