/**
 * Events grouped by entity key and ordered in time, as point-in-time joins and windows read them.
 *
 * @module
 */
import { identity, offsetsOf, sortBy } from "./order.ts"

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
  /** Key of each row, `0` to `keys - 1`. */
  readonly key: Int32Array
  readonly keys: number
  /** Event time, whole microseconds. */
  readonly event: Float64Array
  /** When the row became known; NaN rows never did and are left out. */
  readonly created: Float64Array
}

const entryOf = (
  keys: number,
  row: Uint32Array,
  visible: Float64Array,
  offsets: Uint32Array,
): Entry => {
  // Positions are already in key order, so ordering by time and then by key keeps the groups.
  const keyAt = new Int32Array(row.length)
  for (let k = 0; k < keys; k++) keyAt.fill(k, offsets[k], offsets[k + 1])
  let sorted = true
  for (let p = 1; sorted && p < row.length; p++) {
    sorted = keyAt[p] !== keyAt[p - 1] || (visible[p] as number) >= (visible[p - 1] as number)
  }
  let position = identity(row.length)
  if (sorted) return { at: visible, position }
  position = sortBy(sortBy(position, visible), keyAt)
  const at = new Float64Array(row.length)
  for (let i = 0; i < row.length; i++) at[i] = visible[position[i] as number] as number
  return { at, position }
}

/** Builds the index; linear in the number of rows. */
export const make = (events: Events): EventIndex => {
  const { created, event, key, keys } = events
  let known = 0
  for (let i = 0; i < created.length; i++) if (!Number.isNaN(created[i])) known++
  const rows = new Uint32Array(known)
  for (let i = 0, slot = 0; i < created.length; i++) if (!Number.isNaN(created[i])) rows[slot++] = i
  const row = sortBy(sortBy(sortBy(rows, created), event), key)
  const offsets = offsetsOf(key, row, keys)
  const eventAt = new Float64Array(known)
  const createdAt = new Float64Array(known)
  const windowAt = new Float64Array(known)
  let same = true
  for (let p = 0; p < known; p++) {
    const source = row[p] as number
    const e = event[source] as number
    const c = created[source] as number
    eventAt[p] = e
    createdAt[p] = c
    windowAt[p] = Math.max(e + 1, c)
    if (c <= e) same = false
  }
  const windowed = entryOf(keys, row, windowAt, offsets)
  let latest = windowed
  if (!same) {
    const latestAt = new Float64Array(known)
    for (let p = 0; p < known; p++) {
      latestAt[p] = Math.max(eventAt[p] as number, createdAt[p] as number)
    }
    latest = entryOf(keys, row, latestAt, offsets)
  }
  return { keys, offsets, event: eventAt, created: createdAt, row, windowed, latest }
}

/** A source column in the order of the index; `Float32Array` where that loses nothing. */
export const gather = (
  index: EventIndex,
  value: (row: number) => number,
): Float64Array | Float32Array => {
  const { row } = index
  const out = new Float64Array(row.length)
  let narrow = true
  for (let p = 0; p < row.length; p++) {
    const x = value(row[p] as number)
    out[p] = x
    if (narrow && x === x && Math.fround(x) !== x) narrow = false
  }
  return narrow ? Float32Array.from(out) : out
}
