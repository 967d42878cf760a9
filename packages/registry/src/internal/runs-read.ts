import type { Database, RunTracker, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { notFound, type RegistryError } from "../RegistryError.ts"
import type { MetricRow, RunRow } from "./migrations.ts"
import type { Store } from "./store.ts"

/** One point of a metric's history. */
export interface MetricPoint {
  readonly step: number
  readonly time: Timestamp.Timestamp
  readonly value: number
}

/** A run with everything known about it. */
export interface RunRecord extends RunTracker.Run {
  /** Who started it; empty when nobody said. */
  readonly user: string
  /** The last point of each metric: the greatest step, then time, then value. */
  readonly latest: Readonly<Record<string, MetricPoint>>
}

/** Most runs of one statement; SQLite takes 32766 parameters. */
const chunk = 500

const grouped = <Row extends { readonly run: string }>(
  rows: ReadonlyArray<Row>,
): ReadonlyMap<string, ReadonlyArray<Row>> => Map.groupBy(rows, ({ run }) => run)

/** Reads runs. */
export interface Reading {
  /** One query a table, however many runs there are. */
  readonly views: (
    runs: ReadonlyArray<RunRow>,
  ) => Effect.Effect<ReadonlyArray<RunRecord>, Database.DatabaseError>
  /** One run. */
  readonly view: (run: RunRow) => Effect.Effect<RunRecord, Database.DatabaseError>
  /** The row of a run. */
  readonly row: (runId: string) => Effect.Effect<RunRow, Database.DatabaseError | RegistryError>
}

/** Reads runs from a store. */
export const make = ({ db, build }: Store): Reading => {
  const read = Effect.fnUntraced(function* (runs: ReadonlyArray<RunRow>) {
    const ids = runs.map(({ id }) => id)
    const params = grouped(
      yield* db.all(build.selectFrom("registry_param").selectAll().where("run", "in", ids)),
    )
    const tags = grouped(
      yield* db.all(build.selectFrom("registry_tag").selectAll().where("run", "in", ids)),
    )
    const latest: ReadonlyMap<string, ReadonlyArray<MetricRow>> = grouped(
      yield* db.all(build.selectFrom("registry_latest").selectAll().where("run", "in", ids)),
    )
    return runs.map((run): RunRecord => {
      const points = (latest.get(run.id) ?? []).map(
        ({ key, step, time, value }) => [key, { step, time, value: Number(value) }] as const,
      )
      const pairs = (rows: ReadonlyArray<{ readonly key: string; readonly value: string }> = []) =>
        Object.fromEntries(rows.map(({ key, value }) => [key, value]))
      return {
        runId: run.id,
        experimentId: run.experiment,
        name: run.name,
        status: run.status,
        started: run.started,
        ...(run.ended === null ? {} : { ended: run.ended }),
        user: run.user_id,
        params: pairs(params.get(run.id)),
        tags: pairs(tags.get(run.id)),
        metrics: Object.fromEntries(points.map(([key, { value }]) => [key, value])),
        latest: Object.fromEntries(points),
      }
    })
  })

  const views = Effect.fnUntraced(function* (runs: ReadonlyArray<RunRow>) {
    const parts: Array<RunRecord> = []
    for (let from = 0; from < runs.length; from += chunk) {
      parts.push(...(yield* read(runs.slice(from, from + chunk))))
    }
    return parts
  })

  return {
    views,
    view: (run) =>
      Effect.flatMap(views([run]), ([found]) =>
        found === undefined ? Effect.die("a run was read away") : Effect.succeed(found),
      ),
    row: Effect.fnUntraced(function* (runId) {
      const found = yield* db.first(
        build.selectFrom("registry_run").selectAll().where("id", "=", runId),
      )
      return found ?? (yield* notFound(`Run with id=${runId.slice(0, 300)} not found: it`))
    }),
  }
}
