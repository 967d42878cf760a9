/**
 * Running maxima over windows whose events may arrive out of order.
 *
 * Positions ascend with event time, so a value that is not larger than a later one can never be a
 * maximum again. What is left is a short list with falling values. The maximum of any window is
 * the first of them inside it, so one list serves windows of every length.
 *
 * @module
 */

/** Candidates for the maximum of one key. */
interface Candidates {
  positions: Int32Array
  start: number
  end: number
}

/** Maxima of one column (or of its negation: minima) per key. */
export interface Extremes {
  readonly add: (key: number, position: number, value: number) => void
  /** Forgets everything before the position. */
  readonly drop: (key: number, before: number) => void
  /** The largest value at or after the position; NaN when there is none. */
  readonly largest: (key: number, from: number) => number
  readonly reset: () => void
}

/** Keeps maxima of `sign * values[position]`; `largest` gives the value with its own sign. */
export const make = (keys: number, values: Float64Array | Float32Array, sign: 1 | -1): Extremes => {
  const lists: Array<Candidates | undefined> = Array.from({ length: keys })
  const valueAt = (position: number): number => sign * (values[position] as number)

  const add = (key: number, position: number, value: number): void => {
    const list = (lists[key] ??= { positions: new Int32Array(4), start: 0, end: 0 })
    const x = sign * value
    let slot = list.end
    // Late events are rare and not very late, so the place is found from the end.
    while (slot > list.start && (list.positions[slot - 1] as number) > position) slot--
    if (slot < list.end && valueAt(list.positions[slot] as number) >= x) return
    let from = slot
    while (from > list.start && valueAt(list.positions[from - 1] as number) <= x) from--
    const tail = list.end - slot
    const needed = from + 1 + tail
    if (needed > list.positions.length) {
      const size = Math.max(8, (needed - list.start) * 2)
      const grown = new Int32Array(size)
      grown.set(list.positions.subarray(list.start, list.end))
      from -= list.start
      slot -= list.start
      list.positions = grown
      list.start = 0
    }
    list.positions.copyWithin(from + 1, slot, slot + tail)
    list.positions[from] = position
    list.end = from + 1 + tail
  }

  const drop = (key: number, before: number): void => {
    const list = lists[key]
    if (list === undefined) return
    while (list.start < list.end && (list.positions[list.start] as number) < before) list.start++
    if (list.start === list.end) {
      list.start = 0
      list.end = 0
    }
  }

  const largest = (key: number, from: number): number => {
    const list = lists[key]
    if (list === undefined) return Number.NaN
    let low = list.start
    let high = list.end
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((list.positions[middle] as number) < from) low = middle + 1
      else high = middle
    }
    return low < list.end ? (values[list.positions[low] as number] as number) : Number.NaN
  }

  return { add, drop, largest, reset: () => lists.fill(undefined) }
}
