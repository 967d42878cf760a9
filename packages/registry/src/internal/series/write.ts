import type { Database, RunTracker } from "@ashlar/core"
import { Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { sql } from "kysely"
import type { RegistryError } from "../../RegistryError.ts"
import type { SeriesRow } from "../migrations/0004-tracking.ts"
import type { RunRow, Tables } from "../migrations.ts"
import type { Store } from "../store.ts"
import * as History from "./history.ts"
import * as Lists from "./lists.ts"
import * as Pack from "./pack.ts"
import { at, compare, concat, normalised, pick, type Points } from "./points.ts"
import { add, lastOf, type Rollup } from "./rollup.ts"
import * as Segment from "./segment.ts"

type Failure = Database.DatabaseError | RegistryError

/** Adds points to a run that the transaction has locked. */
export type WriteMetrics = (
  run: Pick<RunRow, "id" | "experiment">,
  metrics: ReadonlyArray<RunTracker.Metric>,
) => Effect.Effect<void, Failure>

/** The points of a batch by series, sorted, in the order of their keys. */
const grouped = (
  metrics: ReadonlyArray<RunTracker.Metric>,
): ReadonlyArray<readonly [key: string, Points]> => {
  const now = Timestamp.now()
  const groups = new Map<string, Array<RunTracker.Metric>>()
  for (const metric of metrics) {
    const known = groups.get(metric.key)
    if (known === undefined) groups.set(metric.key, [metric])
    else known.push(metric)
  }
  return Array.from(groups, ([key, points]): readonly [string, Points] => [
    key,
    normalised({
      steps: Float64Array.from(points, ({ step }) => step ?? 0),
      times: Float64Array.from(points, ({ time }) => time ?? now),
      values: Float64Array.from(points, ({ value }) => value),
    }),
  ]).sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Sorted points that are not in others, which are sorted too. */
const without = (points: Points, known: Points): Points => {
  const kept: Array<number> = []
  let place = 0
  for (let i = 0; i < points.steps.length; i++) {
    const point = at(points, i)
    while (place < known.steps.length && compare(at(known, place), point) < 0) place += 1
    if (place === known.steps.length || compare(at(known, place), point) !== 0) kept.push(i)
  }
  return kept.length === points.steps.length ? points : pick(points, kept)
}

const rollupColumns = [
  ["count", "bigint"],
  ["numbers", "bigint"],
  ["last_step", "bigint"],
  ["last_time", "bigint"],
  ["last_value", "double precision"],
  ["min_value", "double precision"],
  ["max_value", "double precision"],
  ["sum_value", "double precision"],
  ["mean_value", "double precision"],
] as const

const cellsOf = (first: number | string, rollup: Rollup): ReadonlyArray<number | string | null> => [
  first,
  ...rollupColumns.map(([column]) => rollup[column]),
]

interface Addition {
  readonly key: string
  readonly known: SeriesRow | undefined
  readonly points: Points
}

/** Writes to a store. */
export const make = (store: Store): WriteMetrics => {
  const { db } = store
  const { dialect } = db
  const histories = History.make(store)
  const pack = Pack.make(store)

  const seriesOf = db.prepare<Tables, [string, string], SeriesRow>(
    (build, [run, keys]) =>
      build
        .selectFrom("registry_series")
        .selectAll()
        .where("run", "=", run)
        .where(Lists.among("key", keys, "text", dialect)),
    2,
  )

  const columns = sql.join(rollupColumns.map(([column]) => sql.ref(column)))
  const cells = rollupColumns.map(([, type], index) => Lists.cell(index + 1, type))

  const insert = db.prepare<Tables, [string, string, string], Pick<SeriesRow, "id" | "key">>(
    (_, [run, experiment, rows]) => sql<Pick<SeriesRow, "id" | "key">>`
      insert into registry_series (run, experiment, key, ${columns}, dirty)
      select cast(${run} as text), cast(${experiment} as text), ${Lists.cell(0, "text")}, ${sql.join(cells)}, 1
      from ${Lists.from(rows, dialect)} where true
      returning id, key`,
    3,
  )

  const changes = (rows: string) => sql<never>`
    update registry_series set ${sql.join(
      rollupColumns.map(([column], index) => sql`${sql.ref(column)} = ${cells[index]}`),
    )}, dirty = 1
    from ${Lists.from(rows, dialect)} where registry_series.id = ${Lists.cell(0, "bigint")}`
  const update = db.prepare<Tables, [string], never>((_, [rows]) => changes(rows), 1)
  // PostgreSQL takes both in one statement, which saves a way to the server and back.
  const updateAndInsert = db.prepare<Tables, [string, string, number, Uint8Array], never>(
    (_, [rows, run, points, data]) => sql<never>`
      with changed as (${changes(rows)} returning 1)
      insert into registry_segment (run, points, data)
      values (cast(${run} as text), cast(${points} as bigint), cast(${data} as bytea))`,
    4,
  )

  const insertSegment = db.prepare<Tables, [string, number, Uint8Array], never>(
    (build, [run, points, data]) =>
      build.insertInto("registry_segment").values({ run, points, data }),
    3,
  )

  /** What of a series' points is new. Points after its last one are, without a look. */
  const fresh = Effect.fnUntraced(function* (run: string, known: SeriesRow, points: Points) {
    const first = at(points, 0)
    if (compare(first, lastOf(known)) > 0) return points
    const last = at(points, points.steps.length - 1)
    return without(points, yield* histories.near({ id: known.id, run }, first, last))
  })

  return Effect.fnUntraced(function* (run, metrics) {
    if (metrics.length === 0) return
    const groups = grouped(metrics)
    const keys = Lists.texts(
      groups.map(([key]) => key),
      dialect,
    )
    const known = new Map((yield* seriesOf(run.id, keys)).map((row) => [row.key, row]))
    const additions: Array<Addition> = []
    for (const [key, given] of groups) {
      const row = known.get(key)
      const points = row === undefined ? given : yield* fresh(run.id, row, given)
      if (points.steps.length > 0) additions.push({ key, known: row, points })
    }
    if (additions.length === 0) return
    const ids = new Map<string, number>()
    const added: Array<ReadonlyArray<number | string | null>> = []
    const changed: Array<ReadonlyArray<number | string | null>> = []
    for (const { key, known: row, points } of additions) {
      const rollup = add(row, points)
      if (row === undefined) added.push(cellsOf(key, rollup))
      else {
        ids.set(key, row.id)
        changed.push(cellsOf(row.id, rollup))
      }
    }
    const together = dialect === "postgres" && changed.length > 0
    if (changed.length > 0 && !together) yield* update(Lists.rows(changed, dialect))
    if (added.length > 0) {
      const rows = yield* insert(run.id, run.experiment, Lists.rows(added, dialect))
      for (const { id, key } of rows) ids.set(key, id)
    }
    const parts = additions
      .map(({ key, points }) => ({ id: ids.get(key) ?? 0, points }))
      .sort((a, b) => a.id - b.id)
    const points = concat(parts.map((part) => part.points))
    const series = parts.flatMap((part) => Array.from(part.points.steps, () => part.id))
    const data = Segment.encode(series, points)
    yield* together
      ? updateAndInsert(Lists.rows(changed, dialect), run.id, series.length, data)
      : insertSegment(run.id, series.length, data)
    yield* pack(run.id, series.length)
  })
}
