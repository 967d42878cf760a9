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

/** What a channel adds up for each event with a value. */
export type Moment = "count" | "sum" | "deviation" | "square"

/** One running sum; `column` -1 counts events whatever their values. */
export interface Channel {
  readonly column: number
  readonly moment: Moment
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

/** Sums of several channels, per key and window. */
export interface Sums {
  /** Loads the channel values of the event at a position; `enter` and `leave` use them. */
  readonly load: (key: number, position: number) => void
  readonly enter: (cell: number) => void
  readonly leave: (cell: number) => void
  /** Value of a channel in a cell (`key * windows + window`). */
  readonly value: (cell: number, channel: number) => number
  /** Population variance from the channels of a deviation and its square. */
  readonly variance: (cell: number, n: number, deviation: number, square: number) => number
  readonly reset: () => void
}

/** Whether sums of the column's values (or of squared deviations) stay exact whole numbers. */
const isExact = (values: Float64Array | Float32Array, squared: boolean): boolean => {
  let total = 0
  let largest = 0
  for (const x of values) {
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
 * Makes the sums. Deviations are taken from the first value of the key in index order
 * (`firstOf(key, column)`), which keeps variances accurate far from zero.
 */
export const make = (
  cells: number,
  channels: ReadonlyArray<Channel>,
  columns: ReadonlyArray<Float64Array | Float32Array>,
  shift: (key: number, column: number) => number,
): Sums => {
  const width = channels.length
  const exact = channels.map(({ column, moment }) => {
    const values = columns[column]
    return values === undefined || moment === "count" || isExact(values, moment !== "sum")
  })
  const source = channels.map(({ column }) => columns[column])
  const totals = new Float64Array(cells * width)
  const rough = exact.some((is) => !is)
  /** Entered: error; left: sum, error. The sum of what entered is in `totals`. */
  const entered = new Float64Array(rough ? cells * width : 0)
  const left = new Float64Array(rough ? cells * width : 0)
  const leftError = new Float64Array(rough ? cells * width : 0)
  const loaded = new Float64Array(width)
  const loadedError = new Float64Array(width)

  const load = (key: number, position: number): void => {
    for (let c = 0; c < width; c++) {
      const values = source[c]
      if (values === undefined) {
        loaded[c] = 1
        continue
      }
      const x = values[position] as number
      const { column, moment } = channels[c] as Channel
      if (x !== x) loaded[c] = 0
      else if (moment === "count") loaded[c] = 1
      else if (moment === "sum") loaded[c] = x
      else {
        const d = x - shift(key, column)
        loaded[c] = moment === "square" ? d * d : d
        loadedError[c] = moment === "square" && !exact[c] ? productError(d, d, d * d) : 0
      }
      if (x !== x) loadedError[c] = 0
    }
  }

  const accumulate = (sum: Float64Array, error: Float64Array, at: number, c: number): void => {
    const x = loaded[c] as number
    const before = sum[at] as number
    const after = before + x
    const part = after - before
    sum[at] = after
    error[at] =
      (error[at] as number) + (before - (after - part) + (x - part)) + (loadedError[c] as number)
  }

  const enter = (cell: number): void => {
    const base = cell * width
    for (let c = 0; c < width; c++) {
      if (exact[c]) totals[base + c] = (totals[base + c] as number) + (loaded[c] as number)
      else accumulate(totals, entered, base + c, c)
    }
  }
  const leave = (cell: number): void => {
    const base = cell * width
    for (let c = 0; c < width; c++) {
      if (exact[c]) totals[base + c] = (totals[base + c] as number) - (loaded[c] as number)
      else accumulate(left, leftError, base + c, c)
    }
  }
  const value = (cell: number, channel: number): number => {
    const at = cell * width + channel
    const sum = totals[at] as number
    if (exact[channel]) return sum
    const out = left[at] as number
    const difference = sum - out
    const errors = (entered[at] as number) - (leftError[at] as number)
    return difference + (differenceError(sum, out, difference) + errors)
  }
  /** What `value` rounds away. */
  const rest = (cell: number, channel: number, rounded: number): number => {
    if (exact[channel]) return 0
    const at = cell * width + channel
    const sum = totals[at] as number
    const out = left[at] as number
    const difference = sum - out
    const errors = (entered[at] as number) - (leftError[at] as number)
    return difference - rounded + (differenceError(sum, out, difference) + errors)
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
  return { load, enter, leave, value, variance, reset }
}
