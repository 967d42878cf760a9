/**
 * Events grouped by entity key and ordered in time, as point-in-time joins and windows read them.
 *
 * @module
 */
import { groupBy, type Sorter, sorter } from "./order.ts"

/** Positions of the events of each key in the order in which they become visible. */
export interface Entry {
  /** When each becomes visible, microseconds; ascending within a key. */
  readonly at: Float64Array
  /** Its position in the index. */
  readonly position: Uint32Array
}

/**
 * Events by key, then by event time, created time and ingest order. A later position of the same
 * key is therefore always the record that wins a tie.
 */
export interface EventIndex {
  readonly keys: number
  /** The events of key `k` are the positions `offsets[k]` to `offsets[k + 1]`. */
  readonly offsets: Uint32Array
  readonly event: Float64Array
  readonly created: Float64Array
  /** Row of the source each position came from. */
  readonly row: Uint32Array
  /** Visible to windows `[T - w, T)`: known and strictly before `T`. */
  readonly windowed: Entry
  /** Visible to a point-in-time join at `T`: known and not after `T`. */
  readonly latest: Entry
}

/** The columns an index is built from; all have one value per source row, in ingest order. */
export interface Events {
  /** Key of each row, `0` to `keys - 1`; rows of key -1 are left out. */
  readonly key: Int32Array
  readonly keys: number
  /** Event time, whole microseconds. */
  readonly event: Float64Array
  /** When the row became known; NaN rows never did and are left out. */
  readonly created: Float64Array
}

const entryOf = (offsets: Uint32Array, visible: Float64Array, order: Sorter): Entry => {
  const position = new Uint32Array(visible.length)
  for (let p = 0; p < position.length; p++) position[p] = p
  for (let k = 0; k + 1 < offsets.length; k++) {
    order.sort(position, offsets[k] as number, offsets[k + 1] as number, visible)
  }
  const at = new Float64Array(visible.length)
  for (let i = 0; i < at.length; i++) at[i] = visible[position[i] as number] as number
  return { at, position }
}

/** Orders runs of equal event times by created time; ingest order is kept. */
const breakTies = (
  row: Uint32Array,
  from: number,
  to: number,
  { created, event }: Events,
  order: Sorter,
): void => {
  for (let start = from; start < to;) {
    const time = event[row[start] as number]
    let end = start + 1
    while (end < to && event[row[end] as number] === time) end++
    if (end - start > 1) order.sort(row, start, end, created)
    start = end
  }
}

/**
 * Created times within 2^53, as sorting needs them. No instant is later than that, so what becomes
 * known then (a year such as 9999 stands for "not yet") never does.
 */
const within = (created: Float64Array): Float64Array => {
  const limit = Number.MAX_SAFE_INTEGER
  if (!created.some((time) => Math.abs(time) > limit)) return created
  return created.map((time) => (time > limit ? Number.NaN : Math.max(time, -limit)))
}

/** Builds the index; linear in the number of rows. */
export const make = (given: Events): EventIndex => {
  const created = within(given.created)
  const events = { ...given, created }
  const { event, key, keys } = events
  const { offsets, rows: row } = groupBy(key, keys, (r) => !Number.isNaN(created[r]))
  const order = sorter()
  for (let k = 0; k < keys; k++) {
    const from = offsets[k] as number
    const to = offsets[k + 1] as number
    order.sort(row, from, to, event)
    breakTies(row, from, to, events, order)
  }
  const eventAt = new Float64Array(row.length)
  const createdAt = new Float64Array(row.length)
  const windowAt = new Float64Array(row.length)
  let same = true
  for (let p = 0; p < row.length; p++) {
    const source = row[p] as number
    const e = event[source] as number
    const c = created[source] as number
    eventAt[p] = e
    createdAt[p] = c
    windowAt[p] = Math.max(e + 1, c)
    if (c <= e) same = false
  }
  const windowed = entryOf(offsets, windowAt, order)
  let latest = windowed
  if (!same) {
    const latestAt = eventAt.map((e, p) => Math.max(e, createdAt[p] as number))
    latest = entryOf(offsets, latestAt, order)
  }
  return { keys, offsets, event: eventAt, created: createdAt, row, windowed, latest }
}

/** Numbers as `Float32Array` where that loses nothing, which halves what a sweep has to read. */
export const narrow = (values: Float64Array): Float64Array | Float32Array => {
  for (let i = 0; i < values.length; i++) {
    const x = values[i] as number
    if (x === x && Math.fround(x) !== x) return values
  }
  return new Float32Array(values)
}

/** A source column in the order of the index. */
export const gather = (
  index: EventIndex,
  values: Float64Array | Int32Array,
): Float64Array | Float32Array => {
  const { row } = index
  const out = new Float64Array(row.length)
  for (let p = 0; p < row.length; p++) out[p] = values[row[p] as number] as number
  return narrow(out)
}
