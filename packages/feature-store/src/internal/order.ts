/**
 * Grouping and stable sorting of row numbers by whole-number keys.
 *
 * Rows are grouped first and sorted within their group, so that the sort works on little memory at
 * a time.
 *
 * @module
 */

/** Row numbers by group: those of group `g` are at `offsets[g]` to `offsets[g + 1]`. */
export interface Groups {
  readonly rows: Uint32Array
  readonly offsets: Uint32Array
}

/**
 * Groups rows `0` to `length - 1` by `groupOf`, keeping their order; rows with a negative group are
 * left out, and so are those that `keep` refuses.
 */
export const groupBy = (
  groupOf: Int32Array,
  groups: number,
  keep?: (row: number) => boolean,
): Groups => {
  const offsets = new Uint32Array(groups + 1)
  for (let row = 0; row < groupOf.length; row++) {
    const group = groupOf[row] as number
    if (group >= 0 && (keep === undefined || keep(row))) {
      offsets[group + 1] = (offsets[group + 1] as number) + 1
    }
  }
  for (let g = 0; g < groups; g++) {
    offsets[g + 1] = (offsets[g + 1] as number) + (offsets[g] as number)
  }
  const next = offsets.slice(0, groups)
  const rows = new Uint32Array(offsets[groups] as number)
  for (let row = 0; row < groupOf.length; row++) {
    const group = groupOf[row] as number
    if (group >= 0 && (keep === undefined || keep(row))) {
      const slot = next[group] as number
      next[group] = slot + 1
      rows[slot] = row
    }
  }
  return { rows, offsets }
}

/** Below this many rows an insertion sort is quicker than counting. */
const few = 48

const insertionSort = (rows: Uint32Array, from: number, keys: Float64Array, n: number): void => {
  for (let i = 1; i < n; i++) {
    const key = keys[i] as number
    const row = rows[from + i] as number
    let j = i
    for (; j > 0 && (keys[j - 1] as number) > key; j--) {
      keys[j] = keys[j - 1] as number
      rows[from + j] = rows[from + j - 1] as number
    }
    keys[j] = key
    rows[from + j] = row
  }
}

const bits = 11
const counts = new Uint32Array(1 << bits)

/** One pass: stably reorders `order` by a digit of `words`. */
const pass = (
  order: Uint32Array,
  into: Uint32Array,
  n: number,
  words: Uint32Array,
  shift: number,
): void => {
  const mask = (1 << bits) - 1
  counts.fill(0)
  for (let i = 0; i < n; i++) {
    const digit = ((words[i] as number) >>> shift) & mask
    counts[digit] = (counts[digit] as number) + 1
  }
  let sum = 0
  for (let d = 0; d <= mask; d++) {
    const count = counts[d] as number
    counts[d] = sum
    sum += count
  }
  for (let i = 0; i < n; i++) {
    const item = order[i] as number
    const digit = ((words[item] as number) >>> shift) & mask
    const slot = counts[digit] as number
    counts[digit] = slot + 1
    into[slot] = item
  }
}

/** Sorts ranges of row numbers; keeps its memory from one range to the next. */
export interface Sorter {
  /**
   * Stably sorts `rows[from..to]` so that `keys[row]` ascends. Keys are safe integers, and so is
   * the difference of any two.
   */
  readonly sort: (rows: Uint32Array, from: number, to: number, keys: ArrayLike<number>) => void
}

/** Makes a sorter. */
export const sorter = (): Sorter => {
  let keys = new Float64Array(0)
  let low = new Uint32Array(0)
  let high = new Uint32Array(0)
  let order = new Uint32Array(0)
  let into = new Uint32Array(0)
  let held = new Uint32Array(0)
  const sort: Sorter["sort"] = (rows, from, to, given) => {
    const n = to - from
    if (n < 2) return
    if (keys.length < n) {
      const size = Math.max(n, keys.length * 2)
      keys = new Float64Array(size)
      low = new Uint32Array(size)
      high = new Uint32Array(size)
      order = new Uint32Array(size)
      into = new Uint32Array(size)
      held = new Uint32Array(size)
    }
    let sorted = true
    let min = Infinity
    let max = -Infinity
    for (let i = 0; i < n; i++) {
      const key = given[rows[from + i] as number] as number
      keys[i] = key
      if (key < max) sorted = false
      if (key < min) min = key
      if (key > max) max = key
    }
    if (sorted) return
    if (n <= few) {
      insertionSort(rows, from, keys, n)
      return
    }
    for (let i = 0; i < n; i++) {
      const key = (keys[i] as number) - min
      const upper = Math.floor(key / 4294967296)
      high[i] = upper
      low[i] = key - upper * 4294967296
      order[i] = i
      held[i] = rows[from + i] as number
    }
    const range = max - min
    for (let bit = 0; bit < 53 && 2 ** bit <= range;) {
      // Digits do not cross from the low word into the high one.
      const words = bit < 32 ? low : high
      pass(order, into, n, words, bit % 32)
      const swap = order
      order = into
      into = swap
      bit = bit < 32 ? Math.min(32, bit + bits) : bit + bits
    }
    for (let i = 0; i < n; i++) rows[from + i] = held[order[i] as number] as number
  }
  return { sort }
}
