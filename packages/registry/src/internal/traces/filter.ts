/** MLflow's language for traces: comparisons joined by AND. */
import type { Database } from "@ashlar/core"
import { type Expression as Sql, type RawBuilder, sql, type SqlBool } from "kysely"
import { Cursor } from "../search/cursor.ts"
import { broken } from "../search/FilterError.ts"
import { binary, type SortKey } from "../search/keyset.ts"
import * as Text from "../search/plan-text.ts"
import { compile } from "../search/regex.ts"
import { clause as noClause, type Token } from "../search/tokens.ts"
import type { NumberComparator, TextComparator } from "../search/types.ts"
import { names } from "./store.ts"

type Predicate = RawBuilder<SqlBool>

/** What a comparison looks at. */
export interface TraceField {
  readonly type: "attribute" | "tag" | "metadata" | "span"
  readonly key: string
}

/** A comparison. */
export type TraceClause = { readonly field: TraceField } & (
  | { readonly kind: "number"; readonly comparator: NumberComparator; readonly value: number }
  | { readonly kind: "text"; readonly comparator: TextComparator; readonly value: string }
  | {
      readonly kind: "in"
      readonly comparator: "IN" | "NOT IN"
      readonly values: ReadonlyArray<string>
    }
  | { readonly kind: "null"; readonly comparator: "IS NULL" | "IS NOT NULL" }
)

/** A sort key. */
export interface TraceOrder {
  readonly field: TraceField
  readonly direction: "asc" | "desc"
}

const maxClauses = 50
const maxList = 1000
/** Longest value; patterns that are longer are too much for SQLite. */
const longest = 8000
const types: Readonly<Record<string, TraceField["type"]>> = {
  attribute: "attribute",
  attributes: "attribute",
  trace: "attribute",
  tag: "tag",
  tags: "tag",
  metadata: "metadata",
  request_metadata: "metadata",
  span: "span",
}
const numbers: ReadonlyArray<string> = ["timestamp_ms", "execution_time_ms", "end_time_ms"]
const attributes: Readonly<Record<string, TraceField>> = {
  ...Object.fromEntries(
    [...numbers, "request_id", "status", "client_request_id"].map((key) => [
      key,
      { type: "attribute" as const, key },
    ]),
  ),
  timestamp: { type: "attribute", key: "timestamp_ms" },
  execution_time: { type: "attribute", key: "execution_time_ms" },
  end_time: { type: "attribute", key: "end_time_ms" },
  name: { type: "tag", key: names.traceName },
  run_id: { type: "metadata", key: names.run },
  text: { type: "span", key: "content" },
}
const orderable: Readonly<Record<string, TraceField>> = {
  ...Object.fromEntries(
    Object.entries(attributes).filter(([key]) => key !== "text" && key !== "client_request_id"),
  ),
  experiment_id: { type: "attribute", key: "experiment_id" },
}
const spanKeys: ReadonlyArray<string> = ["name", "type", "status", "content"]

const nameOf = (token: Token): string =>
  token.kind === "quoted" ? token.text.slice(1, -1) : token.text

const isName = ({ kind }: Token): boolean => kind === "word" || kind === "quoted"

const fieldOf = (cursor: Cursor, known: Readonly<Record<string, TraceField>>): TraceField => {
  const start = cursor.take()
  if (!isName(start)) throw noClause(start)
  const parts = [nameOf(start)]
  while (cursor.seesMark(".")) {
    cursor.take()
    const part = cursor.take()
    if (!isName(part) && part.kind !== "number") throw noClause(part)
    parts.push(nameOf(part))
  }
  const [prefix = "", ...rest] = parts
  const type = rest.length === 0 ? "attribute" : types[prefix]
  if (type === undefined || !Object.hasOwn(types, rest.length === 0 ? "attribute" : prefix)) {
    throw broken(
      "entity",
      start,
      `Invalid entity type '${prefix.slice(0, 60)}'. Valid values are ${Object.keys(types).join(", ")}`,
    )
  }
  const key = rest.length === 0 ? prefix : rest.join(".")
  if (type === "tag" || type === "metadata") return { type, key }
  if (type === "span") {
    if (spanKeys.includes(key)) return { type, key }
    throw broken(
      "key",
      start,
      `Invalid span attribute '${key.slice(0, 60)}'. Supported attributes: ${spanKeys.join(", ")}.`,
    )
  }
  const found = Object.hasOwn(known, key) ? known[key] : undefined
  if (found !== undefined) return found
  throw broken(
    "key",
    start,
    `Invalid attribute key '${key.slice(0, 60)}' specified. Valid keys are '${Object.keys(known).join(", ")}'`,
  )
}

const operators: Readonly<Record<string, NumberComparator>> = {
  ">": ">",
  ">=": ">=",
  "=": "=",
  "!=": "!=",
  "<": "<",
  "<=": "<=",
}

const words: Readonly<Record<string, TextComparator>> = {
  "=": "=",
  "!=": "!=",
  LIKE: "LIKE",
  ILIKE: "ILIKE",
  RLIKE: "~",
}

const stringOf = (cursor: Cursor): string => {
  const token = cursor.take()
  if (token.kind === "string" || (token.kind === "quoted" && token.text.startsWith('"'))) {
    if (token.text.length > longest) {
      throw broken("length", token, `A value has at most ${longest} characters`)
    }
    return token.text.slice(1, -1)
  }
  throw broken(
    "value",
    token,
    `Expected a quoted string value. Got value ${token.text.slice(0, 60)}`,
  )
}

const listOf = (cursor: Cursor): ReadonlyArray<string> => {
  cursor.mark("(", "IN takes a list of strings in parentheses")
  const values = [stringOf(cursor)]
  while (cursor.seesMark(",")) {
    cursor.take()
    if (values.length >= maxList) {
      throw broken("list", cursor.peek(), `A list has at most ${maxList} values`)
    }
    values.push(stringOf(cursor))
  }
  cursor.mark(")", "A closing parenthesis is missing")
  return values
}

const comparatorOf = (cursor: Cursor): { readonly name: string; readonly token: Token } => {
  const token = cursor.take()
  if (token.kind === "comparator") return { name: token.text, token }
  if (token.kind !== "word") throw noClause(token)
  const word = token.text.toUpperCase()
  if (word === "NOT" && cursor.sees("IN")) {
    cursor.take()
    return { name: "NOT IN", token }
  }
  if (word !== "IS") return { name: word, token }
  const isNot = cursor.sees("NOT")
  if (isNot) cursor.take()
  if (!cursor.sees("NULL")) throw noClause(cursor.peek())
  cursor.take()
  return { name: isNot ? "IS NOT NULL" : "IS NULL", token }
}

const clauseOf = (cursor: Cursor): TraceClause => {
  const field = fieldOf(cursor, attributes)
  const { name, token } = comparatorOf(cursor)
  const refuse = (of: ReadonlyArray<string>) =>
    broken(
      "comparator",
      token,
      `Invalid comparator '${name.slice(0, 60)}' not one of '${of.join(", ")}'`,
    )
  if (field.type === "attribute" && numbers.includes(field.key)) {
    const comparator = Object.hasOwn(operators, name) ? operators[name] : undefined
    if (comparator === undefined) throw refuse(Object.keys(operators))
    const value = cursor.take()
    if (value.kind === "number") {
      return { kind: "number", field, comparator, value: Number(value.text) }
    }
    throw broken(
      "value",
      value,
      `Expected numeric value type for numeric attribute: ${field.key}. Found ${value.text.slice(0, 60)}`,
    )
  }
  const isContent = field.type === "span" && field.key === "content"
  if ((name === "IS NULL" || name === "IS NOT NULL") && /^(tag|metadata)$/.test(field.type)) {
    return { kind: "null", field, comparator: name }
  }
  if ((name === "IN" || name === "NOT IN") && !isContent) {
    return { kind: "in", field, comparator: name, values: listOf(cursor) }
  }
  const comparator = Object.hasOwn(words, name) ? words[name] : undefined
  if (
    comparator === undefined ||
    (isContent && !name.endsWith("LIKE")) ||
    (isContent && name === "RLIKE")
  ) {
    throw refuse(isContent ? ["LIKE", "ILIKE"] : [...Object.keys(words), "IN", "NOT IN"])
  }
  const { at } = cursor.peek()
  const value = stringOf(cursor)
  if (comparator === "~") compile(value, at + 1)
  return { kind: "text", field, comparator, value }
}

/** Reads a filter, or throws a `FilterError`. */
export const parse = (text: string): ReadonlyArray<TraceClause> => {
  const cursor = new Cursor(text)
  const clauses: Array<TraceClause> = []
  while (cursor.peek().kind !== "end") {
    if (clauses.length > 0) {
      if (!cursor.sees("AND")) throw cursor.unexpected()
      cursor.take()
    }
    if (clauses.length >= maxClauses) {
      throw broken("clauses", cursor.peek(), `A filter has at most ${maxClauses} comparisons`)
    }
    clauses.push(clauseOf(cursor))
  }
  return clauses
}

/** Reads a clause of `order_by`, or throws a `FilterError`. */
export const parseOrder = (text: string): TraceOrder => {
  const cursor = new Cursor(text)
  const field = fieldOf(cursor, orderable)
  if (field.type === "span") {
    throw broken("key", { at: 0, text }, "Traces are not ordered by their spans")
  }
  const isDown = cursor.sees("DESC")
  if (isDown || cursor.sees("ASC")) cursor.take()
  if (cursor.peek().kind !== "end") {
    throw broken(
      "syntax",
      cursor.peek(),
      `Invalid ordering key in order_by clause '${text.slice(0, 200)}'.`,
    )
  }
  return { field, direction: isDown ? "desc" : "asc" }
}

const columns: Readonly<Record<string, string>> = {
  request_id: "id",
  experiment_id: "experiment",
  timestamp_ms: "started",
  execution_time_ms: "duration",
}

const trace = (column: string): Sql<unknown> => sql.ref(`registry_trace.${column}`)

const attributeOf = (key: string): Sql<unknown> =>
  key === "end_time_ms"
    ? sql`(${trace("started")} + coalesce(${trace("duration")}, 0))`
    : trace(columns[key] ?? key)

const pairs = ({ type }: TraceField): Sql<unknown> =>
  sql.table(type === "tag" ? "registry_trace_tag" : "registry_trace_metadata")

/** The value of a trace's field; NULL where it has none. */
const valueOf = (field: TraceField): Sql<unknown> => {
  if (field.type === "attribute") return attributeOf(field.key)
  if (field.key === names.traceName && field.type === "tag") return trace("name")
  return sql`(
    select pair.value from ${pairs(field)} as pair
    where pair.trace = registry_trace.id and pair.key = ${field.key}
  )`
}

const comparators: Readonly<Record<string, string>> = { ...operators, "!=": "<>" }

const holds = (value: Sql<unknown>, clause: TraceClause, dialect: Database.Dialect): Predicate => {
  if (clause.kind === "number") {
    const wanted = sql`cast(${clause.value} as double precision)`
    return sql<SqlBool>`(${value} ${sql.raw(comparators[clause.comparator] ?? "=")} ${wanted})`
  }
  if (clause.kind === "null") {
    return clause.comparator === "IS NULL"
      ? sql<SqlBool>`(${value} is null)`
      : sql<SqlBool>`(${value} is not null)`
  }
  const text = value as Sql<string>
  const field = { type: "tag" as const, key: clause.field.key }
  // A value that is not there makes no comparison true.
  return sql<SqlBool>`coalesce(${Text.holds(text, { ...clause, field }, dialect)}, (1 = 0))`
}

/** A filter as one condition with bound parameters. What it says of spans, one span satisfies. */
export const where = (
  clauses: ReadonlyArray<TraceClause>,
  dialect: Database.Dialect,
): Predicate => {
  const ofSpans = clauses.filter(({ field }) => field.type === "span")
  const spans = ofSpans.map((clause) => holds(sql.ref(`span.${clause.field.key}`), clause, dialect))
  const parts = [
    sql<SqlBool>`(1 = 1)`,
    ...clauses
      .filter(({ field }) => field.type !== "span")
      .map((clause) => holds(valueOf(clause.field), clause, dialect)),
    ...(spans.length === 0
      ? []
      : [
          sql<SqlBool>`exists (
            select 1 from registry_span as span
            where span.trace = registry_trace.id and ${sql.join(spans, sql` and `)}
          )`,
        ]),
  ]
  return sql<SqlBool>`(${sql.join(parts, sql` and `)})`
}

/** A sort key as SQL. */
export const sortKey = ({ field, direction }: TraceOrder, dialect: Database.Dialect): SortKey => {
  const isNumber = field.type === "attribute" && numbers.includes(field.key)
  const value = valueOf(field)
  return {
    value: isNumber ? value : binary(value, dialect),
    direction,
    nullable: field.type !== "attribute" || field.key === "execution_time_ms",
  }
}
