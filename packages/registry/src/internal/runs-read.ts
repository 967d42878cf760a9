import type { Database, RunTracker, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { RegistryError } from "../RegistryError.ts"
import type { SeriesRow } from "./migrations/0004-tracking.ts"
import type { RunRow, Tables } from "./migrations.ts"
import * as Lists from "./series/lists.ts"
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
  /** When it was deleted, while it is. */
  readonly deleted?: Timestamp.Timestamp
  /** Where its files are, when its experiment has a place of its own. */
  readonly artifactUri?: string
  /** The last point of each metric: the greatest step, then time, then value. */
  readonly latest: Readonly<Record<string, MetricPoint>>
}

/** Which keys to read of runs; what is absent is read whole. */
export interface Fields {
  readonly metrics?: ReadonlyArray<string>
  readonly params?: ReadonlyArray<string>
  readonly tags?: ReadonlyArray<string>
}

/** Reads runs. */
export interface Reading {
  /** A few queries, however many runs there are. */
  readonly views: (
    runs: ReadonlyArray<RunRow>,
    fields?: Fields,
  ) => Effect.Effect<ReadonlyArray<RunRecord>, Database.DatabaseError>
  /** One run. */
  readonly view: (run: RunRow) => Effect.Effect<RunRecord, Database.DatabaseError>
  /** The row of a run. */
  readonly row: (runId: string) => Effect.Effect<RunRow, Database.DatabaseError | RegistryError>
  /** The row of a run, which nobody else writes to until the transaction ends. */
  readonly locked: (runId: string) => Effect.Effect<RunRow, Database.DatabaseError | RegistryError>
  /** Rows of runs by id, in that order; a run that is gone is left out. */
  readonly rows: (
    runIds: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<RunRow>, Database.DatabaseError>
}

interface Pair {
  readonly run: string
  readonly key: string
  readonly value: string
}

type Last = Pick<SeriesRow, "run" | "key" | "last_step" | "last_time" | "last_value">

const missing = (runId: string): RegistryError =>
  new RegistryError({
    reason: "NotFound",
    field: "run_id",
    message: `Run with id=${runId.slice(0, 300)} not found`,
  })

/** Sets a key; `__proto__` is a key as any other. */
const put = <Value>(record: Record<string, Value>, key: string, value: Value): void => {
  if (key === "__proto__") {
    Object.defineProperty(record, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
  } else record[key] = value
}

const recordsOf = <Value>(
  index: ReadonlyMap<string, number>,
): ReadonlyArray<Record<string, Value>> => Array.from(index, (): Record<string, Value> => ({}))

/** Reads runs from a store. */
export const make = ({ db, build }: Store): Reading => {
  const { dialect } = db

  const pairs = (table: "registry_param" | "registry_tag") => {
    const all = db.prepare<Tables, [string], Pair>(
      (tables, [runs]) =>
        tables
          .selectFrom(table)
          .selectAll()
          .where(Lists.among("run", runs, "text", dialect)),
      1,
    )
    const some = db.prepare<Tables, [string, string], Pair>(
      (tables, [runs, keys]) =>
        tables
          .selectFrom(table)
          .selectAll()
          .where(Lists.among("run", runs, "text", dialect))
          .where(Lists.among("key", keys, "text", dialect)),
      2,
    )
    return (runs: string, keys: ReadonlyArray<string> | undefined) =>
      keys === undefined ? all(runs) : some(runs, Lists.texts(keys, dialect))
  }
  const params = pairs("registry_param")
  const tags = pairs("registry_tag")

  const lastColumns = ["run", "key", "last_step", "last_time", "last_value"] as const
  const allLast = db.prepare<Tables, [string], Last>(
    (tables, [runs]) =>
      tables
        .selectFrom("registry_series")
        .select(lastColumns)
        .where(Lists.among("run", runs, "text", dialect)),
    1,
  )
  const someLast = db.prepare<Tables, [string, string], Last>(
    (tables, [runs, keys]) =>
      tables
        .selectFrom("registry_series")
        .select(lastColumns)
        .where(Lists.among("run", runs, "text", dialect))
        .where(Lists.among("key", keys, "text", dialect)),
    2,
  )

  const byId = db.prepare<Tables, [string], RunRow>(
    (tables, [id]) => tables.selectFrom("registry_run").selectAll().where("id", "=", id),
    1,
  )
  const lock = db.prepare<Tables, [string], RunRow>(
    (tables, [id]) =>
      tables.selectFrom("registry_run").selectAll().where("id", "=", id).forNoKeyUpdate(),
    1,
  )

  const lastOf = (ids: string, keys: ReadonlyArray<string> | undefined) =>
    keys === undefined ? allLast(ids) : someLast(ids, Lists.texts(keys, dialect))
  const nothing = Effect.succeed([])

  const views = Effect.fnUntraced(function* (runs: ReadonlyArray<RunRow>, fields: Fields = {}) {
    if (runs.length === 0) return []
    const index = new Map(runs.map(({ id }, place) => [id, place]))
    const ids = Lists.texts([...index.keys()], dialect)
    const record = (rows: ReadonlyArray<Pair>) => {
      const records = recordsOf<string>(index)
      for (const { run, key, value } of rows) {
        const target = records[index.get(run) ?? -1]
        if (target !== undefined) put(target, key, value)
      }
      return records
    }
    const paramsOf = record(
      yield* fields.params?.length === 0 ? nothing : params(ids, fields.params),
    )
    const tagsOf = record(yield* fields.tags?.length === 0 ? nothing : tags(ids, fields.tags))
    const metrics = recordsOf<number>(index)
    const latest = recordsOf<MetricPoint>(index)
    const rows = yield* fields.metrics?.length === 0 ? nothing : lastOf(ids, fields.metrics)
    for (const { run, key, last_step: step, last_time: time, last_value } of rows) {
      const place = index.get(run) ?? -1
      const [values, points] = [metrics[place], latest[place]]
      if (values === undefined || points === undefined) continue
      const value = last_value ?? Number.NaN
      put(values, key, value)
      put(points, key, { step, time, value })
    }
    return runs.map((run, place): RunRecord => ({
      runId: run.id,
      experimentId: run.experiment,
      name: run.name,
      status: run.status,
      started: run.started,
      ...(run.ended === null ? {} : { ended: run.ended }),
      ...(run.deleted === null ? {} : { deleted: run.deleted }),
      ...(run.artifact_uri === null ? {} : { artifactUri: run.artifact_uri }),
      user: run.user_id,
      params: paramsOf[place] ?? {},
      tags: tagsOf[place] ?? {},
      metrics: metrics[place] ?? {},
      latest: latest[place] ?? {},
    }))
  })

  return {
    views,
    view: (run) =>
      Effect.flatMap(views([run]), ([found]) =>
        found === undefined ? Effect.die("a run was read away") : Effect.succeed(found),
      ),
    row: (runId) =>
      Effect.flatMap(byId(runId), ([found]) =>
        found === undefined ? Effect.fail(missing(runId)) : Effect.succeed(found),
      ),
    locked: (runId) =>
      Effect.flatMap(lock(runId), ([found]) =>
        found === undefined ? Effect.fail(missing(runId)) : Effect.succeed(found),
      ),
    rows: (runIds) =>
      Effect.map(
        db.all(
          build
            .selectFrom("registry_run")
            .selectAll()
            .where(Lists.among("id", Lists.texts(runIds, dialect), "text", dialect)),
        ),
        (found) => {
          const rows = new Map(found.map((row) => [row.id, row]))
          return runIds.flatMap((id) => rows.get(id) ?? [])
        },
      ),
  }
}
