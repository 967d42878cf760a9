/**
 * Exact trailing-window aggregates as they were known at an instant.
 *
 * The window of length `w` at `T` is `[T - w, T)` by event time, and holds only events with
 * `created <= T`. An event enters at `max(event + 1, created)` and leaves after `event + w`; one
 * that becomes known later than that is never in the window. Every key has one cursor for entering
 * and one per window for leaving, so all windows and aggregates cost one pass over the events.
 *
 * @module
 */
import type { EventIndex } from "./eventIndex.ts"
import * as Extremes from "./extremes.ts"
import * as Sums from "./sums.ts"

/** What an aggregate computes; `rate` is the mean of a 0/1 column. */
export type Operation =
  | "count"
  | "sum"
  | "mean"
  | "min"
  | "max"
  | "variance"
  | "std"
  | "rate"
  | "last"

/** One output of a sweep; `column` -1 makes `count` count events, whatever their values. */
export interface Output {
  readonly operation: Operation
  readonly column: number
  /** Microseconds. */
  readonly window: number
}

/** Moves each key forward in time and reads its aggregates. */
export interface Sweep {
  /** Takes in what became visible to the key up to and including `time`; never goes back. */
  readonly advance: (key: number, time: number) => void
  /** Value of each output for the key at the time it was last moved to; NaN when missing. */
  readonly read: (
    key: number,
    into: ReadonlyArray<Float64Array | Float32Array>,
    row: number,
  ) => void
  /** Position of the record a point-in-time join picks, -1 when there is none. */
  readonly latest: (key: number) => number
  /** Back to before all events. */
  readonly reset: () => void
}

type Reader = (key: number, cell: number, from: number) => number

/** Makes a sweep. Columns are in the order of the index; NaN is a missing value. */
export const make = (
  index: EventIndex,
  columns: ReadonlyArray<Float64Array | Float32Array>,
  outputs: ReadonlyArray<Output>,
): Sweep => {
  const { event, keys, latest, offsets, windowed } = index
  const windows = [...new Set(outputs.map((output) => output.window))].sort((a, b) => a - b)
  const width = windows.length

  const channels: Array<Sums.Channel> = []
  const channel = (column: number, moment: Sums.Moment): number => {
    const at = channels.findIndex((c) => c.column === column && c.moment === moment)
    return at >= 0 ? at : channels.push({ column, moment }) - 1
  }
  const extremes = new Map<string, { readonly column: number; readonly of: Extremes.Extremes }>()
  const extreme = (column: number, sign: 1 | -1): Extremes.Extremes => {
    const key = `${column}:${sign}`
    const values = columns[column] as Float64Array
    const of = extremes.get(key)?.of ?? Extremes.make(keys, values, sign)
    extremes.set(key, { column, of })
    return of
  }
  const lasts = new Map<number, Int32Array>()

  const readers: ReadonlyArray<Reader> = outputs.map(({ column, operation }): Reader => {
    switch (operation) {
      case "count": {
        const n = channel(column, "count")
        return (_, cell) => sums.value(cell, n)
      }
      case "sum":
      case "mean":
      case "rate": {
        const n = channel(column, "count")
        const s = channel(column, "sum")
        const mean = operation !== "sum"
        return (_, cell) => {
          const count = sums.value(cell, n)
          if (count === 0) return Number.NaN
          return mean ? sums.value(cell, s) / count : sums.value(cell, s)
        }
      }
      case "variance":
      case "std": {
        const n = channel(column, "count")
        const d = channel(column, "deviation")
        const q = channel(column, "square")
        const root = operation === "std"
        return (_, cell) => {
          const count = sums.value(cell, n)
          if (count === 0) return Number.NaN
          const variance = sums.variance(cell, count, d, q)
          return root ? Math.sqrt(variance) : variance
        }
      }
      case "min":
      case "max": {
        const of = extreme(column, operation === "max" ? 1 : -1)
        return (key, _, from) => of.largest(key, from)
      }
      case "last": {
        const last = lasts.get(column) ?? new Int32Array(keys).fill(-1)
        lasts.set(column, last)
        const values = columns[column] as Float64Array
        return (key, _, from) => {
          const position = last[key] as number
          return position >= from ? (values[position] as number) : Number.NaN
        }
      }
    }
  })
  const firsts = columns.map(() => new Float64Array(keys).fill(Number.NaN))
  const sums = Sums.make(
    keys * width,
    channels,
    columns,
    (key, column) => (firsts[column] as Float64Array)[key] as number,
  )
  const extremesOf = [...extremes.values()]
  const lastsOf = [...lasts]
  const windowOf = outputs.map((output) => windows.indexOf(output.window))
  const longest = windows[width - 1] ?? 0

  // The shortest window each event can be in; `width` when it became known too late for all.
  const shortest = new Uint8Array(event.length)
  for (let i = 0; i < event.length; i++) {
    const position = windowed.position[i] as number
    const lag = (windowed.at[i] as number) - (event[position] as number)
    let w = 0
    while (w < width && (windows[w] as number) < lag) w++
    shortest[position] = w
  }
  // A key's deviations are taken from its first value in index order among those visible first.
  for (let c = 0; c < columns.length; c++) {
    const values = columns[c] as Float64Array
    const first = firsts[c] as Float64Array
    for (let k = 0; k < keys; k++) {
      for (let i = offsets[k] as number; i < (offsets[k + 1] as number); i++) {
        const x = values[windowed.position[i] as number] as number
        if (x === x) {
          first[k] = x
          break
        }
      }
    }
  }

  const entering = offsets.slice(0, keys)
  const seen = offsets.slice(0, keys)
  const newest = new Int32Array(keys).fill(-1)
  const leaving = new Uint32Array(keys * width)
  const reset = (): void => {
    entering.set(offsets.subarray(0, keys))
    seen.set(offsets.subarray(0, keys))
    newest.fill(-1)
    for (let k = 0; k < keys; k++) leaving.fill(offsets[k] as number, k * width, (k + 1) * width)
    sums.reset()
    for (const { of } of extremesOf) of.reset()
    for (const [, last] of lastsOf) last.fill(-1)
  }
  reset()

  const enter = (key: number, position: number): void => {
    sums.load(key, position)
    for (let w = shortest[position] as number; w < width; w++) sums.enter(key * width + w)
    for (const { column, of } of extremesOf) {
      const x = (columns[column] as Float64Array)[position] as number
      if (x === x) of.add(key, position, x)
    }
    for (const [column, last] of lastsOf) {
      const x = (columns[column] as Float64Array)[position] as number
      if (x === x && position > (last[key] as number)) last[key] = position
    }
  }

  const advance = (key: number, time: number): void => {
    const end = offsets[key + 1] as number
    let i = seen[key] as number
    let best = newest[key] as number
    while (i < end && (latest.at[i] as number) <= time) {
      const position = latest.position[i++] as number
      if (position > best) best = position
    }
    seen[key] = i
    newest[key] = best
    if (width === 0) return
    i = entering[key] as number
    while (i < end && (windowed.at[i] as number) <= time)
      enter(key, windowed.position[i++] as number)
    entering[key] = i
    for (let w = 0; w < width; w++) {
      const cell = key * width + w
      const limit = time - (windows[w] as number)
      let position = leaving[cell] as number
      while (position < end && (event[position] as number) < limit) {
        if ((shortest[position] as number) <= w) {
          sums.load(key, position)
          sums.leave(cell)
        }
        position++
      }
      leaving[cell] = position
    }
    if (longest > 0) {
      const before = leaving[key * width + width - 1] as number
      for (const { of } of extremesOf) of.drop(key, before)
    }
  }

  const read: Sweep["read"] = (key, into, row) => {
    for (let o = 0; o < readers.length; o++) {
      const cell = key * width + (windowOf[o] as number)
      const value = (readers[o] as Reader)(key, cell, leaving[cell] as number)
      ;(into[o] as Float64Array)[row] = value
    }
  }

  return { advance, read, latest: (key) => newest[key] as number, reset }
}
