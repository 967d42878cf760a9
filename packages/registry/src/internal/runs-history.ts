import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../RegistryError.ts"
import type { AskHistories, History } from "../Runs.ts"
import type { MetricPoint } from "./runs-read.ts"
import { at, type Points } from "./series/points.ts"
import * as Series from "./series/read.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** Most points of a run that are sampled. */
const maxSamples = 25_000
/** Most runs of one call. */
const maxRuns = 1000

/** Histories as callers see them. */
export interface HistoryReading {
  readonly history: (
    runId: string,
    metric: string,
  ) => Effect.Effect<ReadonlyArray<MetricPoint>, Failure>
  readonly window: (
    runId: string,
    metric: string,
    window: { readonly offset: number; readonly limit: number },
  ) => Effect.Effect<
    { readonly points: ReadonlyArray<MetricPoint>; readonly total: number },
    Failure
  >
  readonly histories: (asked: AskHistories) => Effect.Effect<ReadonlyArray<History>, Failure>
}

const listed = (points: Points): ReadonlyArray<MetricPoint> =>
  Array.from(points.steps, (_, index) => at(points, index))

const whole = (field: string, value: number, low: number, high: number) =>
  Number.isSafeInteger(value) && value >= low && value <= high
    ? Effect.void
    : Effect.fail(invalid(field, `${field} is ${value}: use a whole number from ${low} to ${high}`))

/** Reads histories of a store. */
export const make = (store: Store): HistoryReading => {
  const series = Series.make(store)
  return {
    history: (runId, metric) => Effect.map(series.all(runId, metric), listed),
    window: Effect.fnUntraced(function* (runId, metric, { offset, limit }) {
      yield* whole("offset", offset, 0, Number.MAX_SAFE_INTEGER)
      yield* whole("limit", limit, 0, Number.MAX_SAFE_INTEGER)
      const { points, total } = yield* series.window(runId, metric, offset, offset + limit)
      return { points: listed(points), total }
    }),
    histories: Effect.fnUntraced(function* ({ runIds, key, samples = 320, ...range }) {
      const { start = Number.MIN_SAFE_INTEGER, end = Number.MAX_SAFE_INTEGER } = range
      yield* whole("samples", samples, 1, maxSamples)
      yield* whole("start", start, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
      yield* whole("end", end, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
      if (runIds.length > maxRuns) {
        return yield* invalid("runIds", `${runIds.length} runs are asked for: at most ${maxRuns}`)
      }
      const all = range.start === undefined && range.end === undefined
      const found = yield* series.sampled(
        [...new Set(runIds)],
        key,
        samples,
        all ? undefined : { start, end },
      )
      return found.map(({ run, points }): History => ({ runId: run, points }))
    }),
  }
}
