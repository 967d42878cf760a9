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
import type { Operation } from "../Aggregate.ts"
import type { EventIndex } from "./eventIndex.ts"
import * as Extremes from "./extremes.ts"
import * as Sums from "./sums.ts"

/** One output of a sweep; `column` -1 makes `count` count events, whatever their values. */
export interface Output {
  readonly operation: Operation
  readonly column: number
  /** Microseconds. */
  readonly window: number
}

/** An output with the places its parts are at. */
interface Reader {
  readonly operation: Operation
  readonly column: number
  readonly window: number
  readonly count: number
  readonly sum: number
  readonly square: number
}

/** What all sweeps over the same events and outputs share. */
export interface Compiled {
  readonly index: EventIndex
  readonly columns: ReadonlyArray<Float64Array | Float32Array>
  /** Lengths of the windows, ascending. */
  readonly windows: ReadonlyArray<number>
  readonly readers: ReadonlyArray<Reader>
  readonly terms: Sums.Terms
  /** The shortest window each event can be in; their number when it is too late for all. */
  readonly shortest: Uint16Array
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

/** Per position, the value of the column that its key saw first. */
const firstSeen = (index: EventIndex, values: Float64Array | Float32Array): Float64Array => {
  const { keys, offsets, windowed } = index
  const out = new Float64Array(values.length)
  for (let k = 0; k < keys; k++) {
    const from = offsets[k] as number
    const to = offsets[k + 1] as number
    let i = from
    while (i < to && Number.isNaN(values[windowed.position[i] as number])) i++
    if (i < to) out.fill(values[windowed.position[i] as number] as number, from, to)
  }
  return out
}

/** Prepares sweeps. Columns are in the order of the index; NaN is a missing value. */
export const compile = (
  index: EventIndex,
  columns: ReadonlyArray<Float64Array | Float32Array>,
  outputs: ReadonlyArray<Output>,
): Compiled => {
  const { event, windowed } = index
  const windows = [...new Set(outputs.map((output) => output.window))].sort((a, b) => a - b)
  const complete = columns.map((values) => !values.includes(Number.NaN))
  const channels: Array<Sums.Channel> = []
  const channel = (column: number, moment: Sums.Moment): number => {
    // A column without gaps has as many values as there are events.
    const of = moment === "count" && complete[column] === true ? -1 : column
    const at = channels.findIndex((c) => c.column === of && c.moment === moment)
    return at >= 0 ? at : channels.push({ column: of, moment }) - 1
  }
  const readers = outputs.map(({ column, operation, window }): Reader => {
    const at = {
      operation,
      column,
      window: windows.indexOf(window),
      count: -1,
      sum: -1,
      square: -1,
    }
    switch (operation) {
      case "count":
        return { ...at, count: channel(column, "count") }
      case "sum":
      case "mean":
      case "rate":
        return { ...at, count: channel(column, "count"), sum: channel(column, "sum") }
      case "variance":
      case "std": {
        const count = channel(column, "count")
        const sum = channel(column, "deviation")
        return { ...at, count, sum, square: channel(column, "square") }
      }
      case "min":
      case "max":
      case "last":
        return at
    }
  })
  const terms = Sums.terms(event.length, channels, columns, (column) =>
    firstSeen(index, columns[column] as Float64Array),
  )
  const shortest = new Uint16Array(event.length)
  for (let i = 0; i < event.length; i++) {
    const position = windowed.position[i] as number
    const lag = (windowed.at[i] as number) - (event[position] as number)
    let w = 0
    while (w < windows.length && (windows[w] as number) < lag) w++
    shortest[position] = w
  }
  return { index, columns, windows, readers, terms, shortest }
}

/** A sweep before all events. */
export const start = (compiled: Compiled): Sweep => {
  const { columns, index, readers, shortest, terms, windows } = compiled
  const { event, keys, latest, offsets, windowed } = index
  const width = windows.length
  const sums = Sums.make(keys * width, terms)
  const summed = terms.width > 0
  const maxima = new Map<number, Extremes.Extremes>()
  const minima = new Map<number, Extremes.Extremes>()
  const lasts = new Map<number, Int32Array>()
  for (const { column, operation } of readers) {
    const values = columns[column] as Float64Array
    if (operation === "max" && !maxima.has(column)) {
      maxima.set(column, Extremes.make(keys, values, 1))
    } else if (operation === "min" && !minima.has(column)) {
      minima.set(column, Extremes.make(keys, values, -1))
    } else if (operation === "last") lasts.set(column, new Int32Array(keys))
  }
  const extremes = [...maxima, ...minima]
  const lastOf = [...lasts]

  const entering = new Uint32Array(keys)
  const seen = new Uint32Array(keys)
  const newest = new Int32Array(keys)
  const leaving = new Uint32Array(keys * width)
  const reset = (): void => {
    entering.set(offsets.subarray(0, keys))
    seen.set(offsets.subarray(0, keys))
    newest.fill(-1)
    for (let k = 0; k < keys; k++) leaving.fill(offsets[k] as number, k * width, (k + 1) * width)
    sums.reset()
    for (const [, of] of extremes) of.reset()
    for (const [, last] of lastOf) last.fill(-1)
  }
  reset()

  const enterOthers = (key: number, position: number): void => {
    for (const [column, of] of extremes) {
      const x = (columns[column] as Float64Array)[position] as number
      if (x === x) of.add(key, position, x)
    }
    for (const [column, last] of lastOf) {
      const x = (columns[column] as Float64Array)[position] as number
      if (x === x && position > (last[key] as number)) last[key] = position
    }
  }
  const others = extremes.length + lastOf.length > 0

  const enter = (key: number, end: number, time: number): void => {
    let i = entering[key] as number
    while (i < end && (windowed.at[i] as number) <= time) {
      const position = windowed.position[i++] as number
      if (summed) {
        for (let w = shortest[position] as number; w < width; w++) {
          sums.enter(key * width + w, position)
        }
      }
      if (others) enterOthers(key, position)
    }
    entering[key] = i
  }
  const leave = (cell: number, w: number, end: number, limit: number): void => {
    let position = leaving[cell] as number
    while (position < end && (event[position] as number) < limit) {
      if (summed && (shortest[position] as number) <= w) sums.leave(cell, position)
      position++
    }
    leaving[cell] = position
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
    enter(key, end, time)
    for (let w = 0; w < width; w++) {
      leave(key * width + w, w, end, time - (windows[w] as number))
    }
    const before = leaving[key * width + width - 1] as number
    for (const [, of] of extremes) of.drop(key, before)
  }

  const readOne = (key: number, reader: Reader): number => {
    const cell = key * width + reader.window
    const { column, count } = reader
    switch (reader.operation) {
      case "count":
        return sums.value(cell, count)
      case "sum":
        return sums.value(cell, count) === 0 ? Number.NaN : sums.value(cell, reader.sum)
      case "mean":
      case "rate": {
        const n = sums.value(cell, count)
        return n === 0 ? Number.NaN : sums.value(cell, reader.sum) / n
      }
      case "variance":
      case "std": {
        const n = sums.value(cell, count)
        if (n === 0) return Number.NaN
        const variance = sums.variance(cell, n, reader.sum, reader.square)
        return reader.operation === "std" ? Math.sqrt(variance) : variance
      }
      case "min":
      case "max": {
        const of = (reader.operation === "max" ? maxima : minima).get(column)
        return of === undefined ? Number.NaN : of.largest(key, leaving[cell] as number)
      }
      case "last": {
        const position = lasts.get(column)?.[key] ?? -1
        const inside = position >= (leaving[cell] as number)
        return inside ? (columns[column]?.[position] ?? Number.NaN) : Number.NaN
      }
    }
  }
  const read: Sweep["read"] = (key, into, row) => {
    for (let o = 0; o < readers.length; o++) {
      ;(into[o] as Float64Array)[row] = readOne(key, readers[o] as Reader)
    }
  }

  return { advance, read, latest: (key) => newest[key] as number, reset }
}
