import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import * as Lists from "../series/lists.ts"
import { seriesColumn } from "./plan.ts"
import type { Clause, Expression } from "./types.ts"

/** Which runs a search may find at all. */
export type View = "active" | "deleted" | "all"

/** Runs that may match are few: up to this many, they are looked at one by one. */
const few = 5000
/** Longest list of a clause among several: what several lists share may be few where none is. */
const some = 10_000

type Rows = Effect.Effect<ReadonlyArray<string>, Database.DatabaseError>

/** Whether a run is of a view. */
export const ofView = (view: View): RawBuilder<SqlBool> =>
  view === "all"
    ? sql<SqlBool>`(1 = 1)`
    : view === "active"
      ? sql<SqlBool>`registry_run.deleted is null`
      : sql<SqlBool>`registry_run.deleted is not null`

/** Clauses all of which hold where a filter does. */
const conjuncts = (expression: Expression | undefined): ReadonlyArray<Clause> => {
  if (expression === undefined) return []
  if (expression.kind === "and") return expression.parts.flatMap(conjuncts)
  return expression.kind === "or" || expression.kind === "not" ? [] : [expression]
}

const bound = (column: RawBuilder<unknown>, clause: Clause): RawBuilder<unknown> | undefined => {
  const double = (value: number) => sql`cast(${value} as double precision)`
  if (clause.kind === "between" && clause.comparator === "BETWEEN") {
    return sql`${column} >= ${double(clause.low)} and ${column} <= ${double(clause.high)}`
  }
  if (clause.kind !== "number" || clause.comparator === "!=") return undefined
  return sql`${column} ${sql.raw(clause.comparator)} ${double(clause.value)}`
}

/** Statements that find, in an index, every run for which a clause may hold. */
const finders = (
  clause: Clause,
  experiments: string,
  dialect: Database.Dialect,
): ReadonlyArray<RawBuilder<{ readonly run: string }>> => {
  const { type, key, aggregate = "last" } = clause.field
  if (type === "metric") {
    if (aggregate !== "last") return []
    const within = Lists.among("experiment", experiments, "text", dialect)
    const clean = bound(sql.ref("ranked"), clause)
    const dirty = bound(sql.ref(seriesColumn(aggregate)), clause)
    if (clean === undefined || dirty === undefined) return []
    return [
      sql`select run from registry_series where ${within} and key = ${key} and dirty = 0 and ${clean}`,
      sql`select run from registry_series where ${within} and key = ${key} and dirty = 1 and ${dirty}`,
    ]
  }
  if (clause.kind !== "text" || clause.comparator !== "=") return []
  if (type === "param" || type === "tag") {
    const table = sql.ref(type === "param" ? "registry_param" : "registry_tag")
    // The index has so much of a value: whole texts may be longer than an index takes.
    const points = [...clause.value]
    const start = points.slice(0, 64).join("")
    // Whose start is shorter than that is no longer itself: the index alone tells.
    const rest = points.length < 64 ? sql`` : sql`and value = ${clause.value}`
    return [
      sql`select run from ${table} where key = ${key} and substr(value, 1, 64) = ${start} ${rest}`,
    ]
  }
  return type === "attribute" && key === "run_id"
    ? [sql`select id as run from registry_run where id = ${clause.value}`]
    : []
}

/**
 * The runs among which all matches are, where clauses of a filter say that they are few: what is in
 * every such clause's own list. Both databases would rather guess, and a guess that is wrong reads a
 * hundred thousand runs.
 */
export const candidates = Effect.fnUntraced(function* (
  db: Database.Database["Service"],
  experiments: string,
  expression: Expression | undefined,
): Effect.fn.Return<ReadonlyArray<string> | undefined, Database.DatabaseError> {
  const clauses = conjuncts(expression)
    .slice(0, 8)
    .map((clause) => finders(clause, experiments, db.dialect))
    .filter((parts) => parts.length > 0)
  const most = clauses.length > 1 ? some : few
  let all: ReadonlyArray<string> | undefined
  for (const parts of clauses) {
    if (yield* areMany(db, parts, most)) continue
    const found = new Set(yield* listed(db, parts, most))
    all = all === undefined ? [...found] : all.filter((run) => found.has(run))
    if (all.length === 0) return all
  }
  return all === undefined || all.length > few ? undefined : all
})

const united = (
  parts: ReadonlyArray<RawBuilder<{ readonly run: string }>>,
  most: number,
): RawBuilder<unknown> =>
  sql.join(
    parts.map((part) => sql`select run from (${part} limit ${most}) as part`),
    sql` union all `,
  )

/** Whether there are more runs than a list takes, which is told by an index alone. */
const areMany = (
  db: Database.Database["Service"],
  parts: ReadonlyArray<RawBuilder<{ readonly run: string }>>,
  most: number,
): Effect.Effect<boolean, Database.DatabaseError> =>
  Effect.map(
    db.first(
      sql<{
        readonly many: number
      }>`select 1 as many from (${united(parts, most)}) as parts limit 1 offset ${most - 1}`,
    ),
    (row) => row !== undefined,
  )

const listed = (
  db: Database.Database["Service"],
  parts: ReadonlyArray<RawBuilder<{ readonly run: string }>>,
  most: number,
): Rows =>
  Effect.map(db.all(sql<{ readonly run: string }>`${united(parts, most)}`), (rows) =>
    rows.map(({ run }) => run),
  )
