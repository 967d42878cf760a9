import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { RegistryError } from "../../RegistryError.ts"
import type { Store } from "../store.ts"
import * as History from "./history.ts"
import type { ChunkHead, Range, SeriesRef } from "./history.ts"
import type * as Columns from "./columns.ts"
import { empty, ofReader, pick, type Point, type Points, union } from "./points.ts"
import * as Sample from "./sample.ts"

type Failure = Database.DatabaseError | RegistryError

/** Points whose chunks are in memory at once. */
const atOnce = 1_000_000

/** Points of a run. */
export interface Sampled {
  readonly run: string
  readonly points: ReadonlyArray<Point>
}

/** Reads histories of metrics. */
export interface SeriesReading {
  /** All points of a run's metric by step, time and value. */
  readonly all: (run: string, key: string) => Effect.Effect<Points, Failure>
  /** Points `from` up to `to` of a run's metric by time, step and value, and how many there are. */
  readonly window: (
    run: string,
    key: string,
    from: number,
    to: number,
  ) => Effect.Effect<{ readonly points: Points; readonly total: number }, Failure>
  /** At most `samples` points of each run that has the metric, in the order of the runs. */
  readonly sampled: (
    runs: ReadonlyArray<string>,
    key: string,
    samples: number,
    range?: Range,
  ) => Effect.Effect<ReadonlyArray<Sampled>, Failure>
}

const number = (value: number): number => (Number.isNaN(value) ? 0 : value)

/** By time, step and value; points that are sorted otherwise, and each once. */
const byTime = (points: Points): Points => {
  const { steps, times, values } = points
  const compare = (i: number, j: number): number =>
    (times[i] ?? 0) - (times[j] ?? 0) ||
    (steps[i] ?? 0) - (steps[j] ?? 0) ||
    number(values[i] ?? 0) - number(values[j] ?? 0)
  let sorted = true
  for (let i = 1; i < times.length && sorted; i++) sorted = compare(i - 1, i) <= 0
  return sorted ? points : pick(points, Uint32Array.from(times, (_, index) => index).sort(compare))
}

/** Series in groups whose points fit into memory together. */
const groupsOf = (
  series: ReadonlyArray<SeriesRef & { readonly count: number }>,
): ReadonlyArray<ReadonlyArray<SeriesRef>> => {
  const groups: Array<Array<SeriesRef>> = []
  let points = Number.POSITIVE_INFINITY
  for (const one of series) {
    if (points + one.count > atOnce) {
      groups.push([])
      points = 0
    }
    groups.at(-1)?.push(one)
    points += one.count
  }
  return groups
}

/** Reads the histories of a store. */
export const make = (store: Pick<Store, "db">): SeriesReading => {
  const histories = History.make(store)

  const layout = Effect.fnUntraced(function* (
    chunks: ReadonlyArray<ChunkHead>,
    loose: Points,
    range?: Range,
  ) {
    const needed = [...Sample.entangled(chunks, loose), ...Sample.cut(chunks, range)]
    const readers = yield* histories.readers([...new Set(needed.map(({ id }) => id))])
    return yield* History.intact(() => Sample.layout(chunks, loose, readers, range))
  })

  /** The points of pieces, whose chunks are read all at once. */
  const pointsOf = Effect.fnUntraced(function* (pieces: ReadonlyArray<Sample.Piece>) {
    const readers = yield* histories.readers(
      pieces.flatMap((piece) => ("points" in piece ? [] : [piece.chunk.id])),
    )
    return yield* History.intact(() =>
      pieces.map((piece) => {
        if ("points" in piece) return piece.points
        const reader = readers.get(piece.chunk.id)
        return reader === undefined ? empty : ofReader(reader, piece.from, piece.to)
      }),
    )
  })

  const piecesOf = Effect.fnUntraced(function* (run: string, key: string) {
    const [series] = yield* histories.find([run], key)
    if (series === undefined) return []
    const loose = yield* histories.loose([series])
    const heads = yield* histories.heads([series.id])
    return yield* layout(heads.get(series.id) ?? [], loose.get(series.id) ?? empty)
  })

  /** Whether pieces follow each other in time as they do in steps. */
  const inTime = (pieces: ReadonlyArray<Sample.Piece>): boolean => {
    let last = Number.NEGATIVE_INFINITY
    return pieces.every((piece) => {
      const [low, high] =
        "points" in piece
          ? [
              piece.points.times.reduce((a, b) => Math.min(a, b)),
              piece.points.times.reduce((a, b) => Math.max(a, b)),
            ]
          : [piece.chunk.min_time, piece.chunk.max_time]
      const follows = low > last
      last = high
      return follows
    })
  }

  const sampleGroup = Effect.fnUntraced(function* (
    group: ReadonlyArray<SeriesRef>,
    samples: number,
    range: Range | undefined,
  ) {
    const heads = yield* histories.heads(
      group.map(({ id }) => id),
      range,
    )
    const loose = yield* histories.loose(group)
    const chosen: Array<readonly [run: string, ReturnType<typeof Sample.locate>]> = []
    const needed = new Set<number>()
    for (const { id, run } of group) {
      const pieces = yield* layout(heads.get(id) ?? [], loose.get(id) ?? empty, range)
      const total = pieces.reduce((sum, piece) => sum + Sample.lengthOf(piece), 0)
      const places = Sample.locate(pieces, Sample.indices(total, samples))
      for (const [piece] of places) if ("chunk" in piece) needed.add(piece.chunk.id)
      chosen.push([run, places])
    }
    const readers: ReadonlyMap<number, Columns.Reader> = yield* histories.readers([...needed])
    return yield* History.intact(() =>
      chosen.map(([run, places]): Sampled => ({
        run,
        points: places.flatMap(([piece, place]) => Sample.pointAt(piece, place, readers) ?? []),
      })),
    )
  })

  return {
    all: Effect.fnUntraced(function* (run, key) {
      return union(yield* pointsOf(yield* piecesOf(run, key)))
    }),
    window: Effect.fnUntraced(function* (run, key, from, to) {
      const pieces = yield* piecesOf(run, key)
      const total = pieces.reduce((sum, piece) => sum + Sample.lengthOf(piece), 0)
      let skipped = 0
      let wanted = pieces
      if (inTime(pieces)) {
        const kept: Array<Sample.Piece> = []
        let start = 0
        for (const piece of pieces) {
          const end = start + Sample.lengthOf(piece)
          if (end > from && start < to) {
            if (kept.length === 0) skipped = start
            kept.push(piece)
          }
          start = end
        }
        wanted = kept
      }
      const points = byTime(union(yield* pointsOf(wanted)))
      const [low, high] = [Math.max(0, from - skipped), Math.max(0, to - skipped)]
      return {
        total,
        points: {
          steps: points.steps.subarray(low, high),
          times: points.times.subarray(low, high),
          values: points.values.subarray(low, high),
        },
      }
    }),
    sampled: Effect.fnUntraced(function* (runs, key, samples, range) {
      const places = new Map(runs.map((run, place) => [run, place]))
      const series = (yield* histories.find(runs, key)).toSorted(
        (a, b) => (places.get(a.run) ?? 0) - (places.get(b.run) ?? 0),
      )
      const found: Array<Sampled> = []
      for (const group of groupsOf(series)) {
        found.push(...(yield* sampleGroup(group, samples, range)))
      }
      return found
    }),
  }
}
