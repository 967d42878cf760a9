/**
 * Stable sorting of row numbers by whole-number keys, least significant digit first.
 *
 * @module
 */

/** Below this many rows a comparison sort beats clearing the 65536 counters of each pass. */
const smallest = 2048

const isSorted = (order: Uint32Array, keys: ArrayLike<number>): boolean => {
  let last = -Infinity
  for (let i = 0; i < order.length; i++) {
    const key = keys[order[i] as number] as number
    if (key < last) return false
    last = key
  }
  return true
}

/** The identity permutation of `length` rows. */
export const identity = (length: number): Uint32Array => {
  const order = new Uint32Array(length)
  for (let i = 0; i < length; i++) order[i] = i
  return order
}

/**
 * Reorders `order` so that `keys[order[i]]` ascends; rows with equal keys keep their order. Keys
 * are finite whole numbers (safe integers). Works in place where it can and returns the result.
 */
export const sortBy = (order: Uint32Array, keys: ArrayLike<number>): Uint32Array => {
  const n = order.length
  if (n < 2 || isSorted(order, keys)) return order
  if (n < smallest) {
    const position = new Map<number, number>()
    for (let i = 0; i < n; i++) position.set(order[i] as number, i)
    return order.sort(
      (a, b) =>
        (keys[a] as number) - (keys[b] as number) ||
        (position.get(a) as number) - (position.get(b) as number),
    )
  }
  let min = Infinity
  let max = -Infinity
  for (let i = 0; i < n; i++) {
    const key = keys[order[i] as number] as number
    if (key < min) min = key
    if (key > max) max = key
  }
  const range = max - min
  let from = order
  let to: Uint32Array = new Uint32Array(n)
  const counts = new Uint32Array(65536)
  // Divisions by powers of two are exact, so digits above bit 31 come out right too.
  for (let unit = 1; unit <= range; unit *= 65536) {
    counts.fill(0)
    for (let i = 0; i < n; i++) {
      const digit = Math.floor(((keys[from[i] as number] as number) - min) / unit) % 65536
      counts[digit] = (counts[digit] as number) + 1
    }
    let sum = 0
    for (let d = 0; d < 65536; d++) {
      const count = counts[d] as number
      counts[d] = sum
      sum += count
    }
    for (let i = 0; i < n; i++) {
      const row = from[i] as number
      const digit = Math.floor(((keys[row] as number) - min) / unit) % 65536
      const slot = counts[digit] as number
      counts[digit] = slot + 1
      to[slot] = row
    }
    const swap = from
    from = to
    to = swap
  }
  return from
}

/** Where each group's rows start when rows are ordered by group: `groups + 1` offsets. */
export const offsetsOf = (groupOf: ArrayLike<number>, rows: Uint32Array, groups: number) => {
  const offsets = new Uint32Array(groups + 1)
  for (let i = 0; i < rows.length; i++) {
    const slot = (groupOf[rows[i] as number] as number) + 1
    offsets[slot] = (offsets[slot] as number) + 1
  }
  for (let g = 0; g < groups; g++) {
    offsets[g + 1] = (offsets[g + 1] as number) + (offsets[g] as number)
  }
  return offsets
}
