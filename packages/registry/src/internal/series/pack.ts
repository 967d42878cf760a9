import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { sql } from "kysely"
import type { RegistryError } from "../../RegistryError.ts"
import type { ChunkRow, SegmentRow, SeriesRow } from "../migrations/0004-tracking.ts"
import type { Tables } from "../migrations.ts"
import type { Store } from "../store.ts"
import { intact } from "./history.ts"
import * as Lists from "./lists.ts"
import { at, concat, decode, encode, type Points, slice, union } from "./points.ts"
import * as Segment from "./segment.ts"

type Failure = Database.DatabaseError | RegistryError

/** Points in segments from which on a run is packed. */
const enough = 1024
/** Segments from which on they are. */
const manySegments = 1024
/** A series with fewer loose points keeps them loose: a chunk has its price too. */
const fewest = 64
/** Most points of a chunk. */
const chunkPoints = 1024
/** Runs whose state is remembered; a forgotten one is counted again. */
const remembered = 10_000

/** What of a run is not packed, and when it will be. */
interface Loose {
  readonly segments: number
  readonly points: number
  readonly next: number
}

const chunksOf = (series: number, points: Points): ReadonlyArray<Omit<ChunkRow, "id">> => {
  const { length } = points.steps
  const pieces = Math.ceil(length / chunkPoints)
  return Array.from({ length: pieces }, (_, i) => {
    const piece = slice(
      points,
      Math.floor((i * length) / pieces),
      Math.floor(((i + 1) * length) / pieces),
    )
    const first = at(piece, 0)
    const last = at(piece, piece.steps.length - 1)
    return {
      series,
      first_step: first.step,
      first_time: first.time,
      last_step: last.step,
      last_time: last.time,
      min_time: piece.times.reduce((a, b) => Math.min(a, b)),
      max_time: piece.times.reduce((a, b) => Math.max(a, b)),
      points: piece.steps.length,
      data: encode(piece),
    }
  })
}

/**
 * Counts what a locked run has in segments, and packs it into chunks of its series once it is enough.
 * All of it happens in the transaction of the write that makes it enough: after a crash it happened
 * or it did not.
 */
export const make = ({
  db,
}: Pick<Store, "db">): ((run: string, added: number) => Effect.Effect<void, Failure>) => {
  const { dialect } = db
  const states = new Map<string, Loose>()

  const count = db.prepare<
    Tables,
    [string],
    { readonly segments: number; readonly points: number | null }
  >(
    (build, [run]) =>
      build
        .selectFrom("registry_segment")
        .select((select) => [
          select.fn.countAll<number>().as("segments"),
          select.fn.sum<number | null>("points").as("points"),
        ])
        .where("run", "=", run),
    1,
  )
  const segmentsOf = db.prepare<Tables, [string], Pick<SegmentRow, "id" | "data">>(
    (build, [run]) =>
      build
        .selectFrom("registry_segment")
        .select(["id", "data"])
        .where("run", "=", run)
        .orderBy("id"),
    1,
  )
  const drop = db.prepare<Tables, [string], never>(
    (build, [run]) => build.deleteFrom("registry_segment").where("run", "=", run),
    1,
  )
  const keep = db.prepare<Tables, [string, number, Uint8Array], never>(
    (build, [run, points, data]) =>
      build.insertInto("registry_segment").values({ run, points, data }),
    3,
  )
  const ends = db.prepare<Tables, [string], Pick<SeriesRow, "id" | "packed_step" | "packed_time">>(
    (build, [series]) =>
      build
        .selectFrom("registry_series")
        .select(["id", "packed_step", "packed_time"])
        .where(Lists.among("id", series, "bigint", dialect)),
    1,
  )
  const overlapping = db.prepare<
    Tables,
    [number, number, number, number, number],
    Pick<ChunkRow, "id" | "data">
  >(
    (build, [series, step, time, toStep, toTime]) =>
      build
        .selectFrom("registry_chunk")
        .select(["id", "data"])
        .where("series", "=", series)
        .where(
          sql<boolean>`(last_step, last_time) >= (cast(${step} as bigint), cast(${time} as bigint))`,
        )
        .where(
          sql<boolean>`(first_step, first_time) <= (cast(${toStep} as bigint), cast(${toTime} as bigint))`,
        ),
    5,
  )
  const remove = db.prepare<Tables, [string], never>(
    (build, [chunks]) =>
      build.deleteFrom("registry_chunk").where(Lists.among("id", chunks, "bigint", dialect)),
    1,
  )
  const setEnds = db.prepare<Tables, [string], never>(
    (_, [rows]) => sql<never>`
      update registry_series set packed_step = ${Lists.cell(1, "bigint")}, packed_time = ${Lists.cell(2, "bigint")}
      from ${Lists.from(rows, dialect)} where registry_series.id = ${Lists.cell(0, "bigint")}`,
    1,
  )

  /** The chunks that hold a series' new points; those they reach into are written anew. */
  const merged = Effect.fnUntraced(function* (
    end: Pick<SeriesRow, "id" | "packed_step" | "packed_time">,
    points: Points,
  ) {
    const first = at(points, 0)
    const last = at(points, points.steps.length - 1)
    const { packed_step: step, packed_time: time } = end
    const after =
      step === null ||
      time === null ||
      first.step > step ||
      (first.step === step && first.time > time)
    const replaced = after
      ? []
      : yield* overlapping(end.id, first.step, first.time, last.step, last.time)
    const all = yield* intact(() => union([...replaced.map(({ data }) => decode(data)), points]))
    const newest = at(all, all.steps.length - 1)
    const moves =
      step === null ||
      time === null ||
      newest.step > step ||
      (newest.step === step && newest.time > time)
    return {
      replaced: replaced.map(({ id }) => id),
      chunks: chunksOf(end.id, all),
      end: moves ? ([end.id, newest.step, newest.time] as const) : undefined,
    }
  })

  const packNow = Effect.fnUntraced(function* (run: string) {
    const segments = yield* segmentsOf(run)
    const parts = yield* intact(() => {
      const bySeries = new Map<number, Array<Points>>()
      for (const { data } of segments) {
        for (const [series, points] of Segment.split(data)) {
          const known = bySeries.get(series)
          if (known === undefined) bySeries.set(series, [points])
          else known.push(points)
        }
      }
      return Array.from(bySeries, ([series, list]) => [series, union(list)] as const)
    })
    const packed = new Map(parts.filter(([, points]) => points.steps.length >= fewest))
    const left = parts.filter(([series]) => !packed.has(series)).toSorted(([a], [b]) => a - b)
    const chunks: Array<Omit<ChunkRow, "id">> = []
    const replaced: Array<number> = []
    const moved: Array<ReadonlyArray<number>> = []
    const known = packed.size === 0 ? [] : yield* ends(Lists.numbers([...packed.keys()], dialect))
    for (const end of known) {
      const points = packed.get(end.id)
      if (points === undefined) continue
      const result = yield* merged(end, points)
      chunks.push(...result.chunks)
      replaced.push(...result.replaced)
      if (result.end !== undefined) moved.push(result.end)
    }
    yield* drop(run)
    if (replaced.length > 0) yield* remove(Lists.numbers(replaced, dialect))
    yield* db.insertMany("registry_chunk", chunks)
    if (moved.length > 0) yield* setEnds(Lists.rows(moved, dialect))
    const points = concat(left.map((part) => part[1]))
    const series = left.flatMap(([id, { steps }]) => Array.from(steps, () => id))
    if (series.length > 0) yield* keep(run, series.length, Segment.encode(series, points))
    return series.length
  })

  const remember = (run: string, state: Loose): Effect.Effect<void> =>
    db.onCommit(
      Effect.sync(() => {
        states.delete(run)
        states.set(run, state)
        if (states.size <= remembered) return
        const [oldest] = states.keys()
        if (oldest !== undefined) states.delete(oldest)
      }),
    )

  return Effect.fnUntraced(function* (run, added) {
    const known = states.get(run)
    let segments = (known?.segments ?? 0) + 1
    let points = (known?.points ?? 0) + added
    if (known === undefined) {
      const [counted] = yield* count(run)
      segments = counted?.segments ?? 1
      points = Number(counted?.points ?? added)
    }
    const next = known?.next ?? enough
    if (points < next && segments < manySegments) {
      return yield* remember(run, { segments, points, next })
    }
    const left = yield* packNow(run)
    // Many series with few points each: the next look is worth it when there are twice as many.
    yield* remember(run, { segments: 1, points: left, next: left + Math.max(left, enough) })
  })
}
