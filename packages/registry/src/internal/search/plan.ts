import type { Database } from "@ashlar/core"
import {
  type Expression as Sql,
  type ExpressionBuilder,
  expressionBuilder,
  type RawBuilder,
  type SelectQueryBuilder,
  sql,
  type SqlBool,
} from "kysely"
import type { Tables } from "../migrations.ts"
import * as Text from "./plan-text.ts"
import type { Aggregate, Clause, Expression, Field, NumberComparator } from "./types.ts"

type Builder = ExpressionBuilder<Tables, "registry_run">
type Predicate = RawBuilder<SqlBool>

const truth = (value: boolean): Predicate => (value ? sql<SqlBool>`(1 = 1)` : sql<SqlBool>`(1 = 0)`)

/** `left <comparator> right`; the comparators are a closed set, never a caller's text. */
const compared = (
  left: Sql<unknown>,
  comparator: NumberComparator,
  right: Sql<unknown>,
): Predicate => sql<SqlBool>`(${left} ${sql.raw(operators[comparator])} ${right})`

const operators: Readonly<Record<NumberComparator, string>> = {
  ">": ">",
  ">=": ">=",
  "=": "=",
  "!=": "<>",
  "<": "<",
  "<=": "<=",
}

const double = (value: number): RawBuilder<number> =>
  sql<number>`cast(${value} as double precision)`

/** The predicate of a clause on a number that is not NULL where the clause can hold. */
const numberHolds = (value: Sql<unknown>, clause: Clause): Predicate => {
  switch (clause.kind) {
    case "number":
      return compared(value, clause.comparator, double(clause.value))
    case "in": {
      const values = clause.values.map((item) => double(Number(item)))
      const list = sql.join(values)
      return clause.comparator === "IN"
        ? sql<SqlBool>`(${value} in (${list}))`
        : sql<SqlBool>`(${value} not in (${list}))`
    }
    case "between": {
      const range = sql<SqlBool>`(${value} between ${double(clause.low)} and ${double(clause.high)})`
      return clause.comparator === "BETWEEN" ? range : sql<SqlBool>`(not ${range})`
    }
    default:
      return truth(clause.comparator === "IS NOT NULL")
  }
}

/** Whether NaN, which equals nothing and lies nowhere, satisfies a clause. */
const takesNaN = (clause: Clause): boolean =>
  ["!=", "NOT IN", "NOT BETWEEN", "IS NOT NULL"].includes(clause.comparator)

/**
 * Whether a query on a run finds anything, by looking. PostgreSQL would rather read a table whole
 * into a hash first, for all runs there are; it does not with an offset.
 */
const there = (
  dialect: Database.Dialect,
  query: SelectQueryBuilder<Tables, keyof Tables, object>,
): Predicate =>
  dialect === "sqlite" ? sql<SqlBool>`exists ${query}` : sql<SqlBool>`exists (${query} offset 0)`

const columns = {
  last: "last_value",
  min: "min_value",
  max: "max_value",
  avg: "mean_value",
} as const

/** The column of `registry_series` that has an aggregate. */
export const seriesColumn = (aggregate: Aggregate): (typeof columns)[Aggregate] =>
  columns[aggregate]

const metric = (eb: Builder, clause: Clause, dialect: Database.Dialect): Sql<SqlBool> => {
  const { key, aggregate = "last" } = clause.field
  const value = sql.ref<number>(`registry_series.${columns[aggregate]}`)
  // NULL is NaN, or no number at all where all of them count.
  const missing = aggregate === "last" && takesNaN(clause) ? "or" : "and not"
  return there(
    dialect,
    eb
      .selectFrom("registry_series")
      .select(sql<number>`1`.as("one"))
      .whereRef("registry_series.run", "=", "registry_run.id")
      .where("registry_series.key", "=", key)
      .where(sql<SqlBool>`(${numberHolds(value, clause)} ${sql.raw(missing)} ${value} is null)`),
  )
}

/**
 * Bounds of a whole number of milliseconds on a column of microseconds, so that an index serves.
 * Outside of what a timestamp can be, the nearest bound means the same.
 */
const micros = (millis: number): number => Math.max(-1, Math.min(millis * 1000, 2 ** 53 - 1))

const timeHolds = (
  column: Sql<unknown>,
  comparator: NumberComparator,
  value: number,
): Predicate => {
  const atLeast = (millis: number) => sql<SqlBool>`(${column} >= ${micros(millis)})`
  const below = (millis: number) => sql<SqlBool>`(${column} < ${micros(millis)})`
  const whole = Number.isInteger(value)
  const equal = whole ? sql<SqlBool>`(${atLeast(value)} and ${below(value + 1)})` : truth(false)
  switch (comparator) {
    case ">":
      return atLeast(Math.floor(value) + 1)
    case ">=":
      return atLeast(Math.ceil(value))
    case "<":
      return below(Math.ceil(value))
    case "<=":
      return below(Math.floor(value) + 1)
    case "=":
      return equal
    case "!=":
      return sql<SqlBool>`(not ${equal})`
  }
}

/** Any of some predicates, halved over and over: SQLite nests expressions 1000 deep at most. */
const anyOf = (parts: ReadonlyArray<Predicate>): Predicate => {
  const [first] = parts
  if (first === undefined) return truth(false)
  if (parts.length === 1) return first
  const half = parts.length >> 1
  return sql<SqlBool>`(${anyOf(parts.slice(0, half))} or ${anyOf(parts.slice(half))})`
}

const time = (column: Sql<unknown>, clause: Clause): Predicate => {
  const present = sql<SqlBool>`(${column} is not null)`
  const within = (holds: Predicate) => sql<SqlBool>`(${present} and ${holds})`
  switch (clause.kind) {
    case "number":
      return within(timeHolds(column, clause.comparator, clause.value))
    case "in": {
      const any = anyOf(clause.values.map((value) => timeHolds(column, "=", Number(value))))
      return within(clause.comparator === "IN" ? any : sql<SqlBool>`(not ${any})`)
    }
    case "between": {
      const range = sql<SqlBool>`(${timeHolds(column, ">=", clause.low)} and ${timeHolds(column, "<=", clause.high)})`
      return within(clause.comparator === "BETWEEN" ? range : sql<SqlBool>`(not ${range})`)
    }
    default:
      return clause.comparator === "IS NULL" ? sql<SqlBool>`(not ${present})` : present
  }
}

/** The column of a text attribute; none of them is ever NULL. */
const textOf = (eb: Builder, key: string): Sql<string> => {
  switch (key) {
    case "run_name":
      return eb.ref("registry_run.name")
    case "status":
      return eb.ref("registry_run.status")
    case "user_id":
      return eb.ref("registry_run.user_id")
    case "experiment_id":
      return eb.ref("registry_run.experiment")
    case "artifact_uri":
      return sql<string>`coalesce(${eb.ref("registry_run.artifact_uri")}, 'mlflow-artifacts:/' || ${eb.ref("registry_run.experiment")} || '/' || ${eb.ref("registry_run.id")} || '/artifacts')`
    default:
      return eb.ref("registry_run.id")
  }
}

const attribute = (eb: Builder, clause: Clause, dialect: Database.Dialect): Sql<SqlBool> => {
  const { key } = clause.field
  if (key === "start_time") return time(eb.ref("registry_run.started"), clause)
  if (key === "end_time") return time(eb.ref("registry_run.ended"), clause)
  if (key !== "experiment_name") return Text.holds(textOf(eb, key), clause, dialect)
  return there(
    dialect,
    eb
      .selectFrom("registry_experiment")
      .select(sql<number>`1`.as("one"))
      .whereRef("registry_experiment.id", "=", "registry_run.experiment")
      .where((row) => Text.holds(row.ref("registry_experiment.name"), clause, dialect)),
  )
}

const keyed = (
  eb: Builder,
  table: "registry_param" | "registry_tag",
  clause: Clause,
  dialect: Database.Dialect,
): Sql<SqlBool> =>
  there(
    dialect,
    table === "registry_param"
      ? eb
          .selectFrom("registry_param")
          .select(sql<number>`1`.as("one"))
          .whereRef("registry_param.run", "=", "registry_run.id")
          .where("registry_param.key", "=", clause.field.key)
          .where((row) => Text.holds(row.ref("registry_param.value"), clause, dialect))
      : eb
          .selectFrom("registry_tag")
          .select(sql<number>`1`.as("one"))
          .whereRef("registry_tag.run", "=", "registry_run.id")
          .where("registry_tag.key", "=", clause.field.key)
          .where((row) => Text.holds(row.ref("registry_tag.value"), clause, dialect)),
  )

const dataset = (eb: Builder, clause: Clause, dialect: Database.Dialect): Sql<SqlBool> =>
  there(
    dialect,
    eb
      .selectFrom("registry_input")
      .select(sql<number>`1`.as("one"))
      .whereRef("registry_input.run", "=", "registry_run.id")
      .where((row) => {
        const { key } = clause.field
        if (key === "name") return Text.holds(row.ref("registry_input.name"), clause, dialect)
        if (key === "digest") return Text.holds(row.ref("registry_input.digest"), clause, dialect)
        const context = row.ref("registry_input.context")
        return row.and([sql<SqlBool>`${context} <> ''`, Text.holds(context, clause, dialect)])
      }),
  )

const clauseOf = (eb: Builder, clause: Clause, dialect: Database.Dialect): Sql<SqlBool> => {
  const { type } = clause.field
  // What is missing has no row, whatever the column says.
  if (clause.kind === "null" && clause.comparator === "IS NULL" && type !== "attribute") {
    return eb.not(clauseOf(eb, { ...clause, comparator: "IS NOT NULL" }, dialect))
  }
  switch (type) {
    case "attribute":
      return attribute(eb, clause, dialect)
    case "metric":
      return metric(eb, clause, dialect)
    case "param":
      return keyed(eb, "registry_param", clause, dialect)
    case "tag":
      return keyed(eb, "registry_tag", clause, dialect)
    case "dataset":
      return dataset(eb, clause, dialect)
  }
}

const expressionOf = (
  eb: Builder,
  expression: Expression,
  dialect: Database.Dialect,
): Sql<SqlBool> => {
  switch (expression.kind) {
    case "and":
      return eb.and(expression.parts.map((part) => expressionOf(eb, part, dialect)))
    case "or":
      return eb.or(expression.parts.map((part) => expressionOf(eb, part, dialect)))
    case "not":
      return sql<SqlBool>`(not ${expressionOf(eb, expression.part, dialect)})`
    default:
      return clauseOf(eb, expression, dialect)
  }
}

/** The table that a filter's condition is about, under its own name. */
const runs = expressionBuilder<Tables, "registry_run">()

/**
 * The condition of a filter on `registry_run`. It is tested as a value, so that it stays a condition
 * on each run: as a join it would tempt both databases into plans that read every run first.
 */
export const whereRuns = (
  expression: Expression | undefined,
  dialect: Database.Dialect,
): Predicate =>
  expression === undefined
    ? truth(true)
    : sql<SqlBool>`((${expressionOf(runs, expression, dialect)}) is true)`

/** Text in the order of its code points, as the evaluator sorts. */
const binary = (value: Sql<unknown>, dialect: Database.Dialect): RawBuilder<unknown> =>
  dialect === "sqlite" ? sql`${value}` : sql`${value} collate "C"`

/** What a run sorts by under a field. */
export interface SortKey {
  readonly value: RawBuilder<unknown>
  /**
   * Missing values after NaN after numbers, whichever the direction: `null` where a missing value is
   * NULL and nothing else is told apart, absent where all have a value.
   */
  readonly rank?: RawBuilder<unknown> | null
}

/** What the runs of `registry_run` sort by. */
export const sortKey = ({ type, key }: Field, dialect: Database.Dialect): SortKey => {
  if (type === "attribute") {
    if (key === "start_time") return { value: sql`${sql.ref("registry_run.started")}` }
    if (key !== "end_time") return { value: binary(textOf(runs, key), dialect) }
    return { value: sql`${sql.ref("registry_run.ended")}`, rank: null }
  }
  if (type === "metric") {
    const of = (column: RawBuilder<unknown>) =>
      sql`(select ${column} from registry_series where registry_series.run = registry_run.id and registry_series.key = ${key})`
    return {
      value: of(sql`last_value`),
      rank: sql`coalesce(${of(sql`case when last_value is null then 1 else 0 end`)}, 2)`,
    }
  }
  const table = sql.ref(type === "param" ? "registry_param" : "registry_tag")
  const value = sql`(select value from ${table} where run = registry_run.id and key = ${key})`
  return { value: binary(value, dialect), rank: null }
}
