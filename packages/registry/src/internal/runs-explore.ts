import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { sql } from "kysely"
import { invalid, notFound, RegistryError } from "../RegistryError.ts"
import { join, parseFile } from "./artifacts/path.ts"
import { rootOf } from "./artifacts/run-files.ts"
import type { Store } from "./store.ts"

/** What runs of experiments have logged under. */
export interface RunKeys {
  readonly metrics: ReadonlyArray<string>
  readonly params: ReadonlyArray<string>
  readonly tags: ReadonlyArray<string>
}

/** Columns of a table of runs. */
export interface RunColumns {
  readonly metrics?: ReadonlyArray<string>
  readonly params?: ReadonlyArray<string>
  readonly tags?: ReadonlyArray<string>
  /** What of a metric's history is its value; default the last point. */
  readonly aggregate?: "last" | "min" | "max"
}

/** One column: a value for each run asked for, in their order; `undefined` where it has none. */
export interface RunColumn<Value> {
  readonly key: string
  readonly values: ReadonlyArray<Value | undefined>
}

/** Values of columns. */
export interface RunValues {
  readonly metrics: ReadonlyArray<RunColumn<number>>
  readonly params: ReadonlyArray<RunColumn<string>>
  readonly tags: ReadonlyArray<RunColumn<string>>
}

/** What changes when runs are added, go on or end. */
export interface RunActivity {
  readonly runId: string
  /** As MLflow names it, or `DELETED`. */
  readonly status: string
  /** The latest segment of points that is not packed. */
  readonly segment: number
  /** Points of two of its series. */
  readonly counts: number
}

type Failure = Database.DatabaseError | RegistryError

/** Reads what tables and charts of many runs show. */
export interface Exploring {
  readonly keys: (experimentIds: ReadonlyArray<string>) => Effect.Effect<RunKeys, Failure>
  readonly values: (
    runIds: ReadonlyArray<string>,
    columns: RunColumns,
  ) => Effect.Effect<RunValues, Failure>
  readonly activity: (
    experimentIds: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<RunActivity>, Failure>
  readonly content: (
    runId: string,
    path: string,
    maxBytes: number,
  ) => Effect.Effect<{ readonly bytes: Uint8Array; readonly size: number }, RegistryError>
}

/** SQLite takes 32766 parameters; both databases are quick up to this. */
const maxParameters = 30_000
/** Runs whose parameters and tags make the columns of a table, the latest first. */
const maxKeyed = 10_000
/** Runs whose activity is followed. */
const maxActive = 500

interface Cell<Value> {
  readonly run: string
  readonly key: string
  readonly value: Value
}

const columnsOf = <Value>(
  runIds: ReadonlyArray<string>,
  keys: ReadonlyArray<string>,
  cells: ReadonlyArray<Cell<Value>>,
): ReadonlyArray<RunColumn<Value>> => {
  const rows = new Map(runIds.map((id, index) => [id, index]))
  const columns = new Map(
    keys.map((key) => [key, new Array<Value | undefined>(runIds.length).fill(undefined)]),
  )
  for (const { run, key, value } of cells) {
    const row = rows.get(run)
    const column = columns.get(key)
    if (row !== undefined && column !== undefined) column[row] = value
  }
  return Array.from(columns, ([key, values]) => ({ key, values }))
}

/** Reads from a store. */
export const make = ({ db, build, contents, tree, wrap }: Store): Exploring => {
  const latestOf = (experimentIds: ReadonlyArray<string>) =>
    build
      .selectFrom("registry_run")
      .select("id")
      .where("experiment", "in", [...experimentIds])
      .where("deleted", "is", null)
      .orderBy("started", "desc")
      .limit(maxKeyed)

  /**
   * The different keys, each by one look into the index of an experiment's series: there may be
   * thousands of runs to a key.
   */
  const keysOf = (experiment: string, dirty: 0 | 1) => {
    const least = sql`select min(key) from registry_series
      where experiment = ${experiment} and dirty = ${sql.raw(String(dirty))}`
    return sql<{ readonly key: string }>`with recursive found(key) as (
        ${least} union all
        select (${least} and key > found.key) from found where found.key is not null
      ) select key from found where key is not null`
  }

  /** What a batch changes at little cost: its segment, or where it was packed the counts of a series. */
  const activityOf = (experimentIds: ReadonlyArray<string>) => {
    const count = (order: "asc" | "desc") =>
      sql`(select count from registry_series where run = r.id order by key ${sql.raw(order)} limit 1)`
    return sql<RunActivity>`select r.id as "runId", case when r.deleted is null then r.status else 'DELETED' end as status,
        coalesce((select max(id) from registry_segment where run = r.id), 0) as segment,
        coalesce(${count("asc")}, 0) + coalesce(${count("desc")}, 0) as counts
      from registry_run as r
      where r.experiment in (${sql.join([...experimentIds])})
      order by r.started desc, r.id desc limit ${maxActive}`
  }

  const cells = Effect.fnUntraced(function* (
    table: "registry_param" | "registry_tag",
    runIds: ReadonlyArray<string>,
    keys: ReadonlyArray<string>,
  ) {
    if (runIds.length === 0 || keys.length === 0) return []
    return columnsOf(
      runIds,
      keys,
      yield* db.all(
        build
          .selectFrom(table)
          .select(["run", "key", "value"])
          .where("run", "in", [...runIds])
          .where("key", "in", [...keys]),
      ),
    )
  })

  const metrics = Effect.fnUntraced(function* (
    runIds: ReadonlyArray<string>,
    keys: ReadonlyArray<string>,
    aggregate: "last" | "min" | "max",
  ) {
    if (runIds.length === 0 || keys.length === 0) return []
    const rows = yield* db.all(
      build
        .selectFrom("registry_series")
        .select(["run", "key", `${aggregate}_value as value`])
        .where("run", "in", [...runIds])
        .where("key", "in", [...keys]),
    )
    return columnsOf(
      runIds,
      keys,
      rows.map(({ run, key, value }) => ({ run, key, value: value ?? Number.NaN })),
    )
  })

  return {
    keys: Effect.fnUntraced(function* (experimentIds) {
      if (experimentIds.length === 0) return { metrics: [], params: [], tags: [] }
      const metricKeys = new Set<string>()
      for (const experiment of experimentIds) {
        for (const dirty of [0, 1] as const) {
          for (const { key } of yield* db.all(keysOf(experiment, dirty))) metricKeys.add(key)
        }
      }
      const distinct = (table: "registry_param" | "registry_tag") =>
        Effect.map(
          db.all(
            build
              .selectFrom(table)
              .select("key")
              .distinct()
              .where("run", "in", latestOf(experimentIds))
              .orderBy("key"),
          ),
          (rows) => rows.map(({ key }) => key),
        )
      return {
        metrics: [...metricKeys].sort((a, b) => (a < b ? -1 : 1)),
        params: yield* distinct("registry_param"),
        tags: yield* distinct("registry_tag"),
      }
    }),
    values: Effect.fnUntraced(function* (runIds, columns) {
      const { metrics: metricKeys = [], params = [], tags = [], aggregate = "last" } = columns
      if (runIds.length + Math.max(metricKeys.length, params.length, tags.length) > maxParameters) {
        return yield* invalid("runs", `runs and keys together are at most ${maxParameters}`)
      }
      return {
        metrics: yield* metrics(runIds, metricKeys, aggregate),
        params: yield* cells("registry_param", runIds, params),
        tags: yield* cells("registry_tag", runIds, tags),
      }
    }),
    activity: Effect.fnUntraced(function* (experimentIds) {
      if (experimentIds.length === 0) return []
      return yield* db.all(activityOf(experimentIds))
    }),
    content: (runId, path, maxBytes) =>
      wrap(
        Effect.gen(function* () {
          const run = yield* db.first(
            build
              .selectFrom("registry_run")
              .select(["id", "experiment", "artifact_uri"])
              .where("id", "=", runId),
          )
          if (run === undefined) return yield* notFound(`run ${runId.slice(0, 300)}`)
          const { digest, size } = yield* tree.get(
            join(rootOf(run), yield* parseFile("path", path)),
          )
          const parts = yield* Stream.runCollect(
            contents.read({ digest, size }, { end: Math.min(size, maxBytes) }),
          )
          return { bytes: Buffer.concat(parts), size }
        }),
      ),
  }
}
