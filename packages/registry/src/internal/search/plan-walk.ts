import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import type { Found } from "./plan-sort.ts"
import type { Position } from "./plan-token.ts"

/*
 * Pages that are read off an index, so that page 500 costs what page 1 does. An index is walked for
 * each experiment by itself, since no index has the runs of several in one order.
 */

/** Experiments whose indexes are walked side by side. */
export const maxWalks = 100

/** What is walked. */
export interface Walk {
  readonly experiments: ReadonlyArray<string>
  readonly condition: RawBuilder<SqlBool>
  readonly limit: number
  readonly after: Position | undefined
}

interface Row {
  readonly id: string
  readonly started: number
  readonly value: number | null
}

type Rows = Effect.Effect<ReadonlyArray<Row>, Database.DatabaseError>

/** The latest start first, then by id. */
const newest = (a: Row, b: Row): number => b.started - a.started || (a.id < b.id ? -1 : 1)

const each = (
  experiments: ReadonlyArray<string>,
  one: (experiment: string) => RawBuilder<unknown>,
): RawBuilder<Row> =>
  sql.join(
    experiments.map((experiment) => sql`select * from (${one(experiment)}) as part`),
    sql` union all `,
  ) as RawBuilder<Row>

/** After a start and an id, in the order of {@link newest} or from the earliest on. */
const past = (
  direction: "asc" | "desc",
  started: string | number | null | undefined,
  id: string | number | null | undefined,
): RawBuilder<SqlBool> => {
  const reached = sql.raw(direction === "desc" ? "<=" : ">=")
  const beyond = sql.raw(direction === "desc" ? "<" : ">")
  return sql<SqlBool>`(registry_run.started ${reached} ${started}
    and (registry_run.started ${beyond} ${started} or registry_run.id > ${id}))`
}

const always = sql<SqlBool>`(1 = 1)`

/** Runs by their start. */
const starts = (
  db: Database.Database["Service"],
  { experiments, condition, limit }: Walk,
  direction: "asc" | "desc",
  page: RawBuilder<SqlBool>,
): Rows => {
  const index =
    db.dialect === "sqlite" ? sql`registry_run indexed by registry_run_started` : sql`registry_run`
  return db.all(
    each(
      experiments,
      (experiment) => sql`
        select registry_run.id as id, registry_run.started as started, null as value from ${index}
        where registry_run.experiment = ${experiment} and ${page} and ${condition}
        order by registry_run.started ${sql.raw(direction)}, registry_run.id limit ${limit}`,
    ),
  )
}

/** Pages of runs by their start, whose positions are the start and the id. */
export const byStart = (
  db: Database.Database["Service"],
  walk: Walk,
  direction: "asc" | "desc",
): Effect.Effect<ReadonlyArray<Found>, Database.DatabaseError> => {
  const page =
    walk.after === undefined ? always : past(direction, walk.after.at(0), walk.after.at(1))
  return Effect.map(starts(db, walk, direction, page), (rows) =>
    rows
      .toSorted((a, b) =>
        direction === "desc" ? newest(a, b) : a.started - b.started || (a.id < b.id ? -1 : 1),
      )
      .slice(0, walk.limit)
      .map(({ id, started }) => ({ id, position: [started, id] })),
  )
}

/** Dirty series from which on a search cleans up after itself. */
const manyDirty = 256
/** Series that one search cleans at most. */
const cleaned = 4000

/**
 * Puts series into the index that orders them. While a run logs, its series stay out of it, so that
 * each new point does not move an entry of a large index.
 */
export const settle = (
  db: Database.Database["Service"],
  which: RawBuilder<SqlBool>,
  most = cleaned,
): Effect.Effect<void, Database.DatabaseError> => {
  const lock = sql.raw(db.dialect === "sqlite" ? "" : "for update skip locked")
  return Effect.asVoid(
    db.run(
      sql`update registry_series set ranked = last_value, dirty = 0 where id in (
        select id from registry_series where dirty = 1 and ${which} limit ${most} ${lock})`,
    ),
  )
}

interface Ranked {
  readonly rows: ReadonlyArray<Row>
  readonly dirty: number
}

/** Runs by the last value of a metric: numbers, or those whose last value is NaN. */
const values = Effect.fnUntraced(function* (
  db: Database.Database["Service"],
  { experiments, condition, limit }: Walk,
  key: string,
  order: "asc" | "desc" | "NaN",
  page: (value: RawBuilder<unknown>) => RawBuilder<SqlBool>,
): Effect.fn.Return<Ranked, Database.DatabaseError> {
  const part = (experiment: string, dirty: 0 | 1) => {
    const name = dirty === 0 ? "registry_series_rank" : "registry_series_dirty"
    const value = sql.ref(dirty === 0 ? "series.ranked" : "series.last_value")
    const index =
      db.dialect === "sqlite"
        ? sql`registry_series as series indexed by ${sql.ref(name)}`
        : sql`registry_series as series`
    const sort = order === "NaN" ? sql`` : sql`${value} ${sql.raw(order)},`
    return sql`
      select registry_run.id as id, registry_run.started as started, ${value} as value
      from ${index} cross join registry_run
      where registry_run.id = series.run and series.experiment = ${experiment}
        and series.key = ${key} and series.dirty = ${sql.raw(String(dirty))}
        and ${value} ${sql.raw(order === "NaN" ? "is null" : "is not null")}
        and ${page(value)} and ${condition}
      order by ${sort} registry_run.started desc, registry_run.id limit ${limit}`
  }
  const clean = yield* db.all(each(experiments, (experiment) => part(experiment, 0)))
  const dirty = yield* db.all(each(experiments, (experiment) => part(experiment, 1)))
  const sign = order === "desc" ? -1 : 1
  const rows = [...clean, ...dirty].toSorted(
    (a, b) => compare(a.value ?? 0, b.value ?? 0) * sign || newest(a, b),
  )
  return { rows: rows.slice(0, limit), dirty: dirty.length }
})

const compare = (a: number, b: number): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Pages of runs by the last value of a metric: numbers, then NaN, then runs without it; at equal
 * values the latest start first. Positions are which of the three, the value, the start and the id.
 */
export const byMetric = Effect.fnUntraced(function* (
  db: Database.Database["Service"],
  walk: Walk,
  key: string,
  direction: "asc" | "desc",
): Effect.fn.Return<ReadonlyArray<Found>, Database.DatabaseError> {
  const [phase = 0, value = null, started = null, id = null] = walk.after ?? []
  const found: Array<Found> = []
  const rest = (): Walk => ({ ...walk, limit: walk.limit - found.length })
  let dirty = 0
  if (phase === 0) {
    const operator = (name: string) => sql.raw(direction === "desc" ? name : name.replace("<", ">"))
    const bound = sql`cast(${value} as double precision)`
    const ranked = yield* values(db, rest(), key, direction, (column) =>
      walk.after === undefined
        ? always
        : sql<SqlBool>`(${column} ${operator("<=")} ${bound}
            and (${column} ${operator("<")} ${bound} or ${past("desc", started, id)}))`,
    )
    dirty = ranked.dirty
    found.push(
      ...ranked.rows.map((row) => ({
        id: row.id,
        position: [0, row.value, row.started, row.id],
      })),
    )
  }
  if (phase === 0 || phase === 1) {
    if (found.length < walk.limit) {
      const page = phase === 1 ? past("desc", started, id) : always
      const ranked = yield* values(db, rest(), key, "NaN", () => page)
      found.push(
        ...ranked.rows.map((row) => ({ id: row.id, position: [1, null, row.started, row.id] })),
      )
    }
  }
  if (found.length < walk.limit) {
    const without = sql<SqlBool>`not exists (
      select 1 from registry_series where run = registry_run.id and key = ${key})`
    const rows = yield* starts(
      db,
      { ...rest(), condition: sql<SqlBool>`((${without}) is true) and ${walk.condition}` },
      "desc",
      phase === 2 ? past("desc", started, id) : always,
    )
    found.push(
      ...rows
        .toSorted(newest)
        .slice(0, walk.limit - found.length)
        .map((row) => ({ id: row.id, position: [2, null, row.started, row.id] })),
    )
  }
  if (dirty >= Math.min(manyDirty, walk.limit)) {
    for (const experiment of walk.experiments) {
      // Only the next search gains by it; this one is done.
      yield* Effect.ignore(settle(db, sql<SqlBool>`experiment = ${experiment} and key = ${key}`))
    }
  }
  return found
})
