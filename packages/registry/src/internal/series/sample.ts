import type { ChunkHead, Range } from "./history.ts"
import type * as Columns from "./columns.ts"
import { at, ofReader, placeOf, type Point, type Points, slice, union } from "./points.ts"

/**
 * A stretch of a history: a chunk, which is read only when it is needed, or points in memory. Pieces
 * of a series come one after the other and share no point.
 */
export type Piece =
  | {
      readonly chunk: ChunkHead
      /** Its points from here up to there. */
      readonly from: number
      readonly to: number
    }
  | { readonly points: Points }

/** How many points a piece has. */
export const lengthOf = (piece: Piece): number =>
  "points" in piece ? piece.points.steps.length : piece.to - piece.from

const isBefore = (step: number, time: number, point: Point): boolean =>
  step < point.step || (step === point.step && time < point.time)

const isAfter = (step: number, time: number, point: Point): boolean =>
  step > point.step || (step === point.step && time > point.time)

/** The chunks that loose points reach into: they cannot be laid one after the other. */
export const entangled = (
  chunks: ReadonlyArray<ChunkHead>,
  loose: Points,
): ReadonlyArray<ChunkHead> => {
  if (loose.steps.length === 0) return []
  const first = at(loose, 0)
  const last = at(loose, loose.steps.length - 1)
  return chunks.filter(
    (chunk) =>
      !isBefore(chunk.last_step, chunk.last_time, first) &&
      !isAfter(chunk.first_step, chunk.first_time, last),
  )
}

/** The chunks of which a range takes a part only. */
export const cut = (
  chunks: ReadonlyArray<ChunkHead>,
  range: Range | undefined,
): ReadonlyArray<ChunkHead> =>
  range === undefined
    ? []
    : chunks.filter(
        ({ first_step, last_step }) => first_step < range.start || last_step > range.end,
      )

const ranged = (points: Points, range: Range | undefined): Points => {
  if (range === undefined) return points
  const steps = {
    length: points.steps.length,
    at: (index: number) => points.steps[index] ?? 0,
  }
  return slice(points, placeOf(steps, range.start, "below"), placeOf(steps, range.end, "through"))
}

/**
 * A history laid out in pieces. `readers` has the chunks that are {@link entangled} or {@link cut}.
 */
export const layout = (
  chunks: ReadonlyArray<ChunkHead>,
  loose: Points,
  readers: ReadonlyMap<number, Columns.Reader>,
  range?: Range,
): ReadonlyArray<Piece> => {
  const mixed = new Set(entangled(chunks, loose))
  const parts = chunks.flatMap((chunk) => {
    const reader = mixed.has(chunk) ? readers.get(chunk.id) : undefined
    return reader === undefined ? [] : [ofReader(reader)]
  })
  const points = ranged(union([...parts, loose]), range)
  const pieces: Array<Piece> = []
  let placed = points.steps.length === 0
  for (const chunk of chunks) {
    if (mixed.has(chunk)) continue
    if (!placed && isAfter(chunk.first_step, chunk.first_time, at(points, 0))) {
      pieces.push({ points })
      placed = true
    }
    const reader = readers.get(chunk.id)
    if (range === undefined || reader === undefined) {
      pieces.push({ chunk, from: 0, to: chunk.points })
      continue
    }
    const steps = { length: reader.rows, at: (index: number) => reader.at(0, index) }
    const from = placeOf(steps, range.start, "below")
    const to = placeOf(steps, range.end, "through")
    if (from < to) pieces.push({ chunk, from, to })
  }
  if (!placed) pieces.push({ points })
  return pieces
}

/**
 * Which of `total` points stand for all of them, at most `samples`: the first of each of as many
 * stretches of equal length, as SQL's `ntile` makes them, and always the last one.
 */
export const indices = (total: number, samples: number): ReadonlyArray<number> => {
  if (total <= samples) return Array.from({ length: total }, (_, index) => index)
  const size = Math.floor(total / samples)
  const longer = total % samples
  const chosen = Array.from({ length: samples }, (_, i) => i * size + Math.min(i, longer))
  chosen[samples - 1] = total - 1
  return chosen
}

/** Where in which piece some places of the whole are; they go up. */
export const locate = (
  pieces: ReadonlyArray<Piece>,
  places: ReadonlyArray<number>,
): ReadonlyArray<readonly [piece: Piece, place: number]> => {
  const found: Array<readonly [Piece, number]> = []
  let start = 0
  let next = 0
  for (const piece of pieces) {
    const end = start + lengthOf(piece)
    for (let place = places[next]; place !== undefined && place < end; place = places[next]) {
      found.push([piece, place - start])
      next += 1
    }
    start = end
  }
  return found
}

/** The point at a place of a piece, whose chunk is among the readers. */
export const pointAt = (
  piece: Piece,
  place: number,
  readers: ReadonlyMap<number, Columns.Reader>,
): Point | undefined => {
  if ("points" in piece) return at(piece.points, place)
  const reader = readers.get(piece.chunk.id)
  if (reader === undefined) return undefined
  const row = piece.from + place
  return { step: reader.at(0, row), time: reader.at(1, row), value: reader.at(2, row) }
}
