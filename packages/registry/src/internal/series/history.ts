import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql } from "kysely"
import { RegistryError } from "../../RegistryError.ts"
import type { ChunkRow, SeriesRow } from "../migrations/0004-tracking.ts"
import type { Tables } from "../migrations.ts"
import type { Store } from "../store.ts"
import * as Columns from "./columns.ts"
import * as Lists from "./lists.ts"
import { type Points, decode, union } from "./points.ts"
import * as Segment from "./segment.ts"

/** A chunk without its bytes. */
export type ChunkHead = Omit<ChunkRow, "data">

/** Which series a history is of, and whose segments hold what is not packed. */
export type SeriesRef = Pick<SeriesRow, "id" | "run">

type Failure = Database.DatabaseError | RegistryError

/** Steps from `start` to `end`, both included. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Reads points of series. */
export interface Histories {
  /** The series that some runs have under a key, by run. */
  readonly find: (
    runIds: ReadonlyArray<string>,
    key: string,
  ) => Effect.Effect<ReadonlyArray<SeriesRef & { readonly count: number }>, Failure>
  /** Chunks of series, in order; `range` leaves out chunks that no step of it can be in. */
  readonly heads: (
    series: ReadonlyArray<number>,
    range?: Range,
  ) => Effect.Effect<ReadonlyMap<number, ReadonlyArray<ChunkHead>>, Failure>
  /** Chunks by their ids. */
  readonly readers: (
    chunks: ReadonlyArray<number>,
  ) => Effect.Effect<ReadonlyMap<number, Columns.Reader>, Failure>
  /** Points that are in no chunk yet, by series, sorted. */
  readonly loose: (
    series: ReadonlyArray<SeriesRef>,
  ) => Effect.Effect<ReadonlyMap<number, Points>, Failure>
  /** Points of chunks that may lie between two places, and all loose ones: a superset of those. */
  readonly near: (
    series: SeriesRef,
    from: { readonly step: number; readonly time: number },
    to: { readonly step: number; readonly time: number },
  ) => Effect.Effect<Points, Failure>
}

/** Bytes that cannot be read are a damaged database, not a fault of the caller. */
export const intact = <A>(read: () => A): Effect.Effect<A, RegistryError> =>
  Effect.try({
    try: read,
    catch: (cause) =>
      new RegistryError({
        reason: "Corrupt",
        message: "The points of a metric cannot be read: restore the database from a backup.",
        cause,
      }),
  })

const headColumns = [
  "id",
  "series",
  "first_step",
  "first_time",
  "last_step",
  "last_time",
  "min_time",
  "max_time",
  "points",
] as const

/** Reads the series of a store. */
export const make = ({ db }: Pick<Store, "db">): Histories => {
  const { dialect } = db
  const ids = (values: ReadonlyArray<number>) => Lists.numbers(values, dialect)

  const find = db.prepare<Tables, [string, string], SeriesRef & { readonly count: number }>(
    (build, [runs, key]) =>
      build
        .selectFrom("registry_series")
        .select(["id", "run", "count"])
        .where(Lists.among("run", runs, "text", dialect))
        .where("key", "=", key),
    2,
  )

  const heads = db.prepare<Tables, [string, number, number], ChunkHead>(
    (build, [series, start, end]) =>
      build
        .selectFrom("registry_chunk")
        .select(headColumns)
        .where(Lists.among("series", series, "bigint", dialect))
        .where("last_step", ">=", start)
        .where("first_step", "<=", end)
        .orderBy("series")
        .orderBy("first_step")
        .orderBy("first_time")
        .orderBy("id"),
    3,
  )

  const data = db.prepare<Tables, [string], Pick<ChunkRow, "id" | "data">>(
    (build, [chunks]) =>
      build
        .selectFrom("registry_chunk")
        .select(["id", "data"])
        .where(Lists.among("id", chunks, "bigint", dialect)),
    1,
  )

  const segments = db.prepare<
    Tables,
    [string],
    { readonly run: string; readonly data: Uint8Array }
  >(
    (build, [runs]) =>
      build
        .selectFrom("registry_segment")
        .select(["run", "data"])
        .where(Lists.among("run", runs, "text", dialect)),
    1,
  )

  const near = db.prepare<Tables, [number, number, number, number, number], Pick<ChunkRow, "data">>(
    (build, [series, step, time, toStep, toTime]) => {
      const whole = (value: number): RawBuilder<number> => sql<number>`cast(${value} as bigint)`
      return build
        .selectFrom("registry_chunk")
        .select("data")
        .where("series", "=", series)
        .where(sql<boolean>`(last_step, last_time) >= (${whole(step)}, ${whole(time)})`)
        .where(sql<boolean>`(first_step, first_time) <= (${whole(toStep)}, ${whole(toTime)})`)
    },
    5,
  )

  const looseOf = Effect.fnUntraced(function* (series: ReadonlyArray<SeriesRef>) {
    const byRun = Map.groupBy(series, ({ run }) => run)
    const found = yield* segments(Lists.texts([...byRun.keys()], dialect))
    return yield* intact((): ReadonlyMap<number, Points> => {
      const parts = new Map<number, Array<Points>>()
      for (const { run, data: bytes } of found) {
        for (const { id } of byRun.get(run) ?? []) {
          const points = Segment.pointsOf(bytes, id)
          if (points.steps.length === 0) continue
          const known = parts.get(id)
          if (known === undefined) parts.set(id, [points])
          else known.push(points)
        }
      }
      return new Map(Array.from(parts, ([id, list]) => [id, union(list)]))
    })
  })

  return {
    find: (runIds, key) => find(Lists.texts(runIds, dialect), key),
    heads: (series, range) =>
      series.length === 0
        ? Effect.succeed(new Map())
        : Effect.map(
            heads(
              ids(series),
              range?.start ?? Number.MIN_SAFE_INTEGER,
              range?.end ?? Number.MAX_SAFE_INTEGER,
            ),
            (rows) => Map.groupBy(rows, ({ series: id }) => id),
          ),
    readers: Effect.fnUntraced(function* (chunks) {
      if (chunks.length === 0) return new Map()
      const rows = yield* data(ids(chunks))
      return yield* intact(
        () => new Map(rows.map(({ id, data: bytes }) => [id, Columns.read(bytes)])),
      )
    }),
    loose: looseOf,
    near: Effect.fnUntraced(function* (series, from, to) {
      const chunks = yield* near(series.id, from.step, from.time, to.step, to.time)
      const loose = yield* looseOf([series])
      return yield* intact(() =>
        union([
          ...chunks.map(({ data: bytes }) => decode(bytes)),
          ...(loose.has(series.id) ? [loose.get(series.id) ?? decode(new Uint8Array())] : []),
        ]),
      )
    }),
  }
}
