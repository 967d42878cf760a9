import * as Columns from "./columns.ts"

/**
 * Points of one series in columns of equal length. A history is a set, sorted by step, time and
 * value, where NaN stands as 0 and after 0, as MLflow sorts.
 */
export interface Points {
  readonly steps: Float64Array
  readonly times: Float64Array
  readonly values: Float64Array
}

/** One point, for comparing. */
export interface Point {
  readonly step: number
  readonly time: number
  readonly value: number
}

/** No points. */
export const empty: Points = {
  steps: new Float64Array(),
  times: new Float64Array(),
  values: new Float64Array(),
}

/** Orders by value alone, NaN as 0 and after it. */
const compareValues = (a: number, b: number): number => {
  const x = a === a ? a : 0
  const y = b === b ? b : 0
  if (x !== y) return x < y ? -1 : 1
  return (a === a ? 0 : 1) - (b === b ? 0 : 1)
}

/** By step, time and value: 0 means that they are the same point. */
export const compare = (a: Point, b: Point): number =>
  a.step !== b.step
    ? a.step - b.step
    : a.time !== b.time
      ? a.time - b.time
      : compareValues(a.value, b.value)

/** The point at a place. */
export const at = ({ steps, times, values }: Points, index: number): Point => ({
  step: steps[index] ?? 0,
  time: times[index] ?? 0,
  value: values[index] ?? 0,
})

const compareAt = ({ steps, times, values }: Points, i: number, j: number): number => {
  const step = (steps[i] ?? 0) - (steps[j] ?? 0)
  if (step !== 0) return step
  const time = (times[i] ?? 0) - (times[j] ?? 0)
  return time === 0 ? compareValues(values[i] ?? 0, values[j] ?? 0) : time
}

/** The points at some places, in the order given. */
export const pick = (points: Points, order: ArrayLike<number>): Points => ({
  steps: Float64Array.from(order, (index) => points.steps[index] ?? 0),
  times: Float64Array.from(order, (index) => points.times[index] ?? 0),
  values: Float64Array.from(order, (index) => points.values[index] ?? 0),
})

/** Points `from` up to `to`. */
export const slice = (points: Points, from: number, to: number): Points => ({
  steps: points.steps.subarray(from, to),
  times: points.times.subarray(from, to),
  values: points.values.subarray(from, to),
})

const joined = (parts: ReadonlyArray<Float64Array>): Float64Array => {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

/** All points of some parts, one part after the other. */
export const concat = (parts: ReadonlyArray<Points>): Points => {
  const [first] = parts
  if (first !== undefined && parts.length === 1) return first
  return {
    steps: joined(parts.map(({ steps }) => steps)),
    times: joined(parts.map(({ times }) => times)),
    values: joined(parts.map(({ values }) => values)),
  }
}

/** Sorted, each point once. */
export const normalised = (points: Points): Points => {
  const { length } = points.steps
  let sorted = true
  for (let i = 1; i < length && sorted; i++) sorted = compareAt(points, i - 1, i) < 0
  if (sorted) return points
  const order = Uint32Array.from(points.steps, (_, index) => index).sort((i, j) =>
    compareAt(points, i, j),
  )
  let kept = 0
  for (let i = 0; i < length; i++) {
    const index = order[i] ?? 0
    if (kept > 0 && compareAt(points, order[kept - 1] ?? 0, index) === 0) continue
    order[kept] = index
    kept += 1
  }
  return pick(points, order.subarray(0, kept))
}

/** The union of parts, sorted, each point once. */
export const union = (parts: ReadonlyArray<Points>): Points => normalised(concat(parts))

/** The first place whose step is at least (`below`) or greater than (`through`) a step. */
export const placeOf = (
  steps: { readonly length: number; readonly at: (index: number) => number },
  step: number,
  side: "below" | "through",
): number => {
  let low = 0
  let high = steps.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const value = steps.at(middle)
    if (value < step || (side === "through" && value === step)) low = middle + 1
    else high = middle
  }
  return low
}

/** The bytes of a chunk. */
export const encode = ({ steps, times, values }: Points): Uint8Array =>
  Columns.encode([
    { kind: "integer", values: steps },
    { kind: "integer", values: times },
    { kind: "double", values },
  ])

/** Points `from` up to `to` of a chunk's reader. */
export const ofReader = (reader: Columns.Reader, from = 0, to = reader.rows): Points => ({
  steps: reader.slice(0, from, to),
  times: reader.slice(1, from, to),
  values: reader.slice(2, from, to),
})

/** All points of a chunk. */
export const decode = (bytes: Uint8Array): Points => ofReader(Columns.read(bytes))
