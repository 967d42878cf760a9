import type { Database } from "@ashlar/core"
import {
  type Expression as Sql,
  type ExpressionBuilder,
  type RawBuilder,
  type SelectQueryBuilder,
  sql,
  type SqlBool,
} from "kysely"
import type { Tables } from "../migrations.ts"
import * as Text from "./plan-text.ts"
import type { Clause, Expression, Field, Filter, NumberComparator, Order } from "./types.ts"

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

/** A stored metric as a number: NULL for NaN, which no database orders as numbers do. */
const numeric = (value: Sql<string>, dialect: Database.Dialect): RawBuilder<number> =>
  dialect === "sqlite"
    ? sql<number>`(case ${value} when 'NaN' then null when 'Infinity' then 9e999 when '-Infinity' then -9e999 else cast(${value} as real) end)`
    : sql<number>`(case ${value} when 'NaN' then null else cast(${value} as double precision) end)`

/** The mean of a group. PostgreSQL's own overflows with an error, so it adds decimals there. */
const mean = (value: Sql<string>, dialect: Database.Dialect): RawBuilder<number> =>
  dialect === "sqlite"
    ? sql<number>`avg(${numeric(value, dialect)})`
    : sql<number>`nullif(cast(avg(case ${value} when 'NaN' then null else cast(${value} as numeric) end) as double precision), 'NaN')`

const aggregated = (
  field: Field,
  value: Sql<string>,
  dialect: Database.Dialect,
): RawBuilder<number> => {
  if (field.aggregate === "avg") return mean(value, dialect)
  return field.aggregate === "min"
    ? sql<number>`min(${numeric(value, dialect)})`
    : sql<number>`max(${numeric(value, dialect)})`
}

const metric = (eb: Builder, clause: Clause, dialect: Database.Dialect): Sql<SqlBool> => {
  const { field } = clause
  if (field.aggregate !== undefined && field.aggregate !== "last") {
    const value = aggregated(field, sql.ref<string>("registry_metric.value"), dialect)
    return eb.exists(
      eb
        .selectFrom("registry_metric")
        .select(sql<number>`1`.as("one"))
        .whereRef("registry_metric.run", "=", "registry_run.id")
        .where("registry_metric.key", "=", field.key)
        .groupBy("registry_metric.run")
        .having(sql<SqlBool>`(${value} is not null and ${numberHolds(value, clause)})`),
    )
  }
  return eb.exists(
    eb
      .selectFrom("registry_latest")
      .select(sql<number>`1`.as("one"))
      .whereRef("registry_latest.run", "=", "registry_run.id")
      .where("registry_latest.key", "=", field.key)
      .where((row) => {
        const text = row.ref("registry_latest.value")
        const holds = numberHolds(numeric(text, dialect), clause)
        return takesNaN(clause)
          ? row.or([sql<SqlBool>`${text} = 'NaN'`, holds])
          : row.and([sql<SqlBool>`${text} <> 'NaN'`, holds])
      }),
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
      return sql<string>`('mlflow-artifacts:/' || ${eb.ref("registry_run.experiment")} || '/' || ${eb.ref("registry_run.id")} || '/artifacts')`
    default:
      return eb.ref("registry_run.id")
  }
}

const attribute = (eb: Builder, clause: Clause, dialect: Database.Dialect): Sql<SqlBool> => {
  const { key } = clause.field
  if (key === "start_time") return time(eb.ref("registry_run.started"), clause)
  if (key === "end_time") return time(eb.ref("registry_run.ended"), clause)
  if (key !== "experiment_name") return Text.holds(textOf(eb, key), clause, dialect)
  return eb.exists(
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
  eb.exists(
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
  eb.exists(
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

/** More clauses than these make PostgreSQL search for an order of joins, for seconds at 200. */
const maxJoins = 6

const clausesOf = (expression: Expression): number => {
  switch (expression.kind) {
    case "and":
    case "or":
      return expression.parts.reduce((sum, part) => sum + clausesOf(part), 0)
    case "not":
      return clausesOf(expression.part)
    default:
      return 1
  }
}

/** The condition of a filter on `registry_run`: `query.where(whereRuns(filter, db.dialect))`. */
export const whereRuns =
  ({ expression }: Filter, dialect: Database.Dialect) =>
  (eb: Builder): Sql<SqlBool> => {
    if (expression === undefined) return truth(true)
    const condition = expressionOf(eb, expression, dialect)
    // What is tested as a value stays a condition on each run, and is no join.
    return clausesOf(expression) > maxJoins ? sql<SqlBool>`((${condition}) is true)` : condition
  }

/** Text in the order of its code points, as the evaluator sorts. */
const binary = (value: Sql<unknown>, dialect: Database.Dialect): RawBuilder<unknown> =>
  dialect === "sqlite" ? sql`${value}` : sql`${value} collate "C"`

const sortKey = (eb: Builder, { type, key }: Field, dialect: Database.Dialect) => {
  if (type === "attribute") {
    if (key === "start_time") return eb.ref("registry_run.started")
    if (key === "end_time") return eb.ref("registry_run.ended")
    return binary(textOf(eb, key), dialect)
  }
  if (type === "metric") {
    return eb
      .selectFrom("registry_latest")
      .select((row) => numeric(row.ref("registry_latest.value"), dialect).as("value"))
      .whereRef("registry_latest.run", "=", "registry_run.id")
      .where("registry_latest.key", "=", key)
  }
  const table = type === "param" ? "registry_param" : "registry_tag"
  const value = eb
    .selectFrom(table)
    .select("value")
    .whereRef(`${table}.run`, "=", "registry_run.id")
    .where("key", "=", key)
  return binary(sql`(${value})`, dialect)
}

/** Missing values after NaN after numbers, whichever the direction. */
const rank = (eb: Builder, { type, key }: Field, value: Sql<unknown>): Sql<unknown> => {
  if (type !== "metric") return sql`(case when ${value} is null then 1 else 0 end)`
  const missing = eb.not(
    eb.exists(
      eb
        .selectFrom("registry_latest")
        .select(sql<number>`1`.as("one"))
        .whereRef("registry_latest.run", "=", "registry_run.id")
        .where("registry_latest.key", "=", key),
    ),
  )
  return sql`(case when ${missing} then 2 when ${value} is null then 1 else 0 end)`
}

/** Sorts a query on `registry_run` as `order_by` says, ties included. */
export const orderRuns = <Row>(
  query: SelectQueryBuilder<Tables, "registry_run", Row>,
  orders: ReadonlyArray<Order>,
  dialect: Database.Dialect,
): SelectQueryBuilder<Tables, "registry_run", Row> =>
  orders.reduce((sorted, { field, direction }) => {
    const certain = field.type === "attribute" && field.key !== "end_time"
    const ranked = certain
      ? sorted
      : sorted.orderBy((eb) => rank(eb, field, sortKey(eb, field, dialect)))
    return ranked.orderBy((eb) => sql`${sortKey(eb, field, dialect)}`, direction)
  }, query)
