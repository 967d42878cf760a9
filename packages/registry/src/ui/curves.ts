/** What curves are drawn by. */
export type Axis = "step" | "time" | "relative"

/** A history as the server sent it, with numbers. Times are in milliseconds. */
export interface History {
  readonly runId: string
  readonly steps: ReadonlyArray<number>
  readonly times: ReadonlyArray<number>
  readonly values: ReadonlyArray<number>
}

/** Histories on one axis: a value for each position; null where a line has none. */
export interface Gridded {
  readonly x: ReadonlyArray<number>
  readonly lines: ReadonlyArray<{
    readonly runId: string
    readonly values: ReadonlyArray<number | null>
  }>
}

/** More positions than a screen has pixels say nothing. */
const maxPositions = 1600

const positionsOf = (history: History, axis: Axis): ReadonlyArray<number> => {
  if (axis === "step") return history.steps
  if (axis === "time") return history.times
  const first = history.times[0] ?? 0
  return history.times.map((time) => time - first)
}

const distinct = (all: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<number> => {
  let count = 0
  for (const positions of all) count += positions.length
  const sorted = new Float64Array(count)
  let at = 0
  for (const positions of all) for (const position of positions) sorted[at++] = position
  sorted.sort()
  const kept: Array<number> = []
  for (const position of sorted) if (position !== kept.at(-1)) kept.push(position)
  return kept
}

/**
 * Puts histories on one axis. Up to {@link maxPositions} positions stay as they are; of more, each
 * of as many equal parts shows a line's last value in it.
 */
export const toGrid = (histories: ReadonlyArray<History>, axis: Axis): Gridded => {
  const positions = histories.map((history) => positionsOf(history, axis))
  const exact = distinct(positions)
  const from = exact[0] ?? 0
  const to = exact.at(-1) ?? 0
  const isExact = exact.length <= maxPositions
  const x = isExact
    ? exact
    : Array.from(
        { length: maxPositions },
        (_, i) => from + ((to - from) * (i + 0.5)) / maxPositions,
      )
  const indexes = isExact ? new Map(x.map((position, index) => [position, index])) : undefined
  const indexOf = (position: number): number =>
    indexes?.get(position) ??
    Math.min(maxPositions - 1, Math.floor(((position - from) / (to - from)) * maxPositions))
  return {
    x,
    lines: histories.map((history, h) => {
      const values = new Array<number | null>(x.length).fill(null)
      positions[h]?.forEach((position, i) => {
        const value = history.values[i]
        if (value !== undefined && Number.isFinite(value)) values[indexOf(position)] = value
      })
      return { runId: history.runId, values }
    }),
  }
}

/**
 * Exponential moving average, corrected for its start, as TensorBoard smooths: 0 changes nothing,
 * towards 1 it forgets ever more slowly.
 */
export const smooth = (
  values: ReadonlyArray<number | null>,
  weight: number,
): ReadonlyArray<number | null> => {
  if (weight <= 0) return values
  let average = 0
  let count = 0
  return values.map((value) => {
    if (value === null) return null
    average = average * weight + (1 - weight) * value
    count += 1
    return average / (1 - weight ** count)
  })
}

/** Fills what lies between two values of a line with the straight line between them. */
const interpolated = (
  x: ReadonlyArray<number>,
  values: ReadonlyArray<number | null>,
): ReadonlyArray<number | null> => {
  const filled = [...values]
  let last = -1
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (value === null || value === undefined) continue
    const before = values[last]
    const from = x[last]
    const to = x[i]
    if (last >= 0 && typeof before === "number" && from !== undefined && to !== undefined) {
      for (let j = last + 1; j < i; j++) {
        filled[j] = before + ((value - before) * ((x[j] ?? from) - from)) / (to - from || 1)
      }
    }
    last = i
  }
  return filled
}

/** The middle and the edges of a group of lines. */
export interface Summary {
  readonly mean: ReadonlyArray<number | null>
  readonly low: ReadonlyArray<number | null>
  readonly high: ReadonlyArray<number | null>
}

/** Mean of lines at each position, and one standard deviation below and above it. */
export const summarise = (
  x: ReadonlyArray<number>,
  lines: ReadonlyArray<ReadonlyArray<number | null>>,
): Summary => {
  const filled = lines.map((values) => interpolated(x, values))
  const mean: Array<number | null> = []
  const low: Array<number | null> = []
  const high: Array<number | null> = []
  x.forEach((_, i) => {
    let count = 0
    let middle = 0
    let squares = 0
    for (const values of filled) {
      const value = values[i]
      if (value === null || value === undefined) continue
      // Welford, which loses nothing to large values.
      count += 1
      const off = value - middle
      middle += off / count
      squares += off * (value - middle)
    }
    const spread = count > 1 ? Math.sqrt(squares / (count - 1)) : 0
    mean.push(count === 0 ? null : middle)
    low.push(count === 0 ? null : middle - spread)
    high.push(count === 0 ? null : middle + spread)
  })
  return { mean, low, high }
}
