import type { Database } from "@ashlar/core"
import { type Expression as Sql, type RawBuilder, sql, type SqlBool } from "kysely"
import * as Text from "./plan-text.ts"
import type { Clause, Expression, Field, Filter, NumberComparator } from "./types.ts"

type Predicate = RawBuilder<SqlBool>

/** Where the fields of an entity are. */
export interface Source {
  /** A column; numbers are compared as numbers, times have milliseconds. */
  readonly attribute: (key: string) => { readonly value: Sql<unknown>; readonly number: boolean }
  /** Whether a row of the field's table satisfies a predicate on its value. */
  readonly keyed: (field: Field, holds: (value: Sql<unknown>) => Predicate) => Predicate
}

const operators: Readonly<Record<NumberComparator, string>> = {
  ">": ">",
  ">=": ">=",
  "=": "=",
  "!=": "<>",
  "<": "<",
  "<=": "<=",
}

const double = (value: number) => sql`cast(${value} as double precision)`

/** The predicate of a clause on a number. NULL stands for NaN, which equals nothing. */
const numberHolds = (value: Sql<unknown>, clause: Clause): Predicate => {
  switch (clause.kind) {
    case "number": {
      const holds = sql`${value} ${sql.raw(operators[clause.comparator])} ${double(clause.value)}`
      return clause.comparator === "!="
        ? sql<SqlBool>`(${value} is null or ${holds})`
        : sql<SqlBool>`(${value} is not null and ${holds})`
    }
    case "in": {
      const list = sql.join(clause.values.map((item) => double(Number(item))))
      return clause.comparator === "IN"
        ? sql<SqlBool>`(${value} is not null and ${value} in (${list}))`
        : sql<SqlBool>`(${value} is null or ${value} not in (${list}))`
    }
    case "between": {
      const range = sql`${value} between ${double(clause.low)} and ${double(clause.high)}`
      return clause.comparator === "BETWEEN"
        ? sql<SqlBool>`(${value} is not null and ${range})`
        : sql<SqlBool>`(${value} is null or not (${range}))`
    }
    default:
      return sql<SqlBool>`(${sql.raw(clause.comparator === "IS NULL" ? "1 = 0" : "1 = 1")})`
  }
}

const attributeHolds = (source: Source, clause: Clause, dialect: Database.Dialect): Predicate => {
  const { value, number } = source.attribute(clause.field.key)
  if (clause.kind === "null") {
    return clause.comparator === "IS NULL"
      ? sql<SqlBool>`(${value} is null)`
      : sql<SqlBool>`(${value} is not null)`
  }
  const holds = number
    ? numberHolds(value, clause)
    : Text.holds(value as Sql<string>, clause, dialect)
  return sql<SqlBool>`(${value} is not null and ${holds})`
}

const clauseHolds = (source: Source, clause: Clause, dialect: Database.Dialect): Predicate => {
  if (clause.field.type === "attribute") return attributeHolds(source, clause, dialect)
  // What is missing has no row, whatever the column says.
  if (clause.kind === "null" && clause.comparator === "IS NULL") {
    const there = clauseHolds(source, { ...clause, comparator: "IS NOT NULL" }, dialect)
    return sql<SqlBool>`(not ${there})`
  }
  return source.keyed(clause.field, (value) =>
    clause.field.type === "metric"
      ? numberHolds(value, clause)
      : Text.holds(value as Sql<string>, clause, dialect),
  )
}

const holds = (source: Source, expression: Expression, dialect: Database.Dialect): Predicate => {
  switch (expression.kind) {
    case "and":
    case "or": {
      const parts = expression.parts.map((part) => holds(source, part, dialect))
      return sql<SqlBool>`(${sql.join(parts, sql.raw(` ${expression.kind} `))})`
    }
    case "not":
      return sql<SqlBool>`(not ${holds(source, expression.part, dialect)})`
    default:
      return clauseHolds(source, expression, dialect)
  }
}

/** A filter as one condition with bound parameters, for entities other than runs. */
export const where = (
  { expression }: Filter,
  source: Source,
  dialect: Database.Dialect,
): Predicate =>
  expression === undefined ? sql<SqlBool>`(1 = 1)` : holds(source, expression, dialect)
