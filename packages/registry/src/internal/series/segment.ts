import * as Columns from "./columns.ts"
import { empty, type Points } from "./points.ts"

/**
 * What one batch added to the series of a run, as one row: one write for however many series. The
 * series' numbers go up, so that one of them is found by halving.
 */
export interface Segment {
  readonly series: ReadonlyArray<number>
  readonly points: Points
}

/** The bytes of a segment. */
export const encode = (series: ReadonlyArray<number>, points: Points): Uint8Array =>
  Columns.encode([
    { kind: "integer", values: series },
    { kind: "integer", values: points.steps },
    { kind: "integer", values: points.times },
    { kind: "double", values: points.values },
  ])

const firstOf = (reader: Columns.Reader, series: number): number => {
  let low = 0
  let high = reader.rows
  while (low < high) {
    const middle = (low + high) >>> 1
    if (reader.at(0, middle) < series) low = middle + 1
    else high = middle
  }
  return low
}

/** The points of one series in a segment. */
export const pointsOf = (bytes: Uint8Array, series: number): Points => {
  const reader = Columns.read(bytes)
  const from = firstOf(reader, series)
  const to = firstOf(reader, series + 1)
  return from === to
    ? empty
    : {
        steps: reader.slice(1, from, to),
        times: reader.slice(2, from, to),
        values: reader.slice(3, from, to),
      }
}

/** The points of every series in a segment, in the order of their numbers. */
export const split = (bytes: Uint8Array): ReadonlyArray<readonly [series: number, Points]> => {
  const reader = Columns.read(bytes)
  const parts: Array<readonly [number, Points]> = []
  for (let from = 0; from < reader.rows;) {
    const series = reader.at(0, from)
    let to = from + 1
    while (to < reader.rows && reader.at(0, to) === series) to += 1
    parts.push([
      series,
      {
        steps: reader.slice(1, from, to),
        times: reader.slice(2, from, to),
        values: reader.slice(3, from, to),
      },
    ])
    from = to
  }
  return parts
}
