import { type Spec, specs } from "./entities.ts"
import { broken, type FilterError } from "./FilterError.ts"
import { Cursor } from "./cursor.ts"
import { entityError, list, resolve, typeNames } from "./field.ts"
import { compile as compileRegex } from "./regex.ts"
import { clause as noClause, type Token } from "./tokens.ts"
import type {
  Aggregate,
  Clause,
  Entity,
  Expression,
  Field,
  Filter,
  Grammar,
  NumberComparator,
  TextComparator,
} from "./types.ts"

/** Most comparisons of a filter. */
export const maxClauses = 200
/** Most parentheses and NOTs inside each other. */
export const maxDepth = 20
/** Most values of a list. */
export const maxList = 2_000

const orders: ReadonlyArray<string> = [">", ">=", "=", "!=", "<", "<="]
const mlflowTexts: ReadonlyArray<string> = ["=", "!=", "LIKE", "ILIKE"]
const texts: ReadonlyArray<string> = [...mlflowTexts, "NOT LIKE", "NOT ILIKE", "~", "!~"]
const isOrder = (text: string): text is NumberComparator => orders.includes(text)
const isText = (text: string): text is TextComparator => texts.includes(text)

const aggregates: ReadonlySet<string> = new Set(["last", "min", "max", "avg", "best"])
/** Words that cannot be a key by themselves. */
const reserved: ReadonlySet<string> = new Set([
  "AND",
  "OR",
  "NOT",
  "IN",
  "IS",
  "NULL",
  "LIKE",
  "ILIKE",
  "BETWEEN",
  "ASC",
  "DESC",
])
/** Reads the tokens of one filter or one `order_by` clause, front to back. */
export class Reader {
  readonly #spec: Spec
  readonly #cursor: Cursor
  readonly #superset: boolean
  #clauses = 0

  constructor(cursor: Cursor, entity: Entity, grammar: Grammar) {
    this.#spec = specs[entity]
    this.#cursor = cursor
    this.#superset = grammar === "ashlar"
  }

  /** A whole filter. */
  filter(): Expression | undefined {
    const expression = this.#or(0)
    if (this.#cursor.peek().kind !== "end") throw this.#cursor.unexpected()
    return expression
  }

  #or(depth: number): Expression | undefined {
    if (depth > maxDepth) {
      throw broken("depth", this.#cursor.peek(), `A filter nests at most ${maxDepth} deep`)
    }
    const first = this.#and(depth)
    if (!this.#superset || !this.#cursor.sees("OR")) return first
    const parts: Array<Expression> = []
    let part = first
    for (;;) {
      if (part === undefined)
        throw broken("syntax", this.#cursor.peek(), "OR stands between two clauses")
      parts.push(part)
      if (!this.#cursor.sees("OR")) return { kind: "or", parts }
      this.#cursor.take()
      part = this.#and(depth)
    }
  }

  /** As in MLflow, clauses stand side by side and any ANDs between them are passed over. */
  #and(depth: number): Expression | undefined {
    const parts: Array<Expression> = []
    for (;;) {
      while (this.#cursor.sees("AND")) this.#cursor.take()
      const token = this.#cursor.peek()
      if (token.kind === "end" || this.#cursor.seesMark(")") || this.#cursor.seesMark(";")) break
      if (this.#superset && this.#cursor.sees("OR")) break
      parts.push(this.#factor(depth))
    }
    const [first] = parts
    return parts.length > 1 ? { kind: "and", parts } : first
  }

  #factor(depth: number): Expression {
    if (this.#superset && this.#cursor.sees("NOT")) {
      if (depth >= maxDepth) {
        throw broken("depth", this.#cursor.peek(), `A filter nests at most ${maxDepth} deep`)
      }
      this.#cursor.take()
      return { kind: "not", part: this.#factor(depth + 1) }
    }
    if (this.#superset && this.#cursor.seesMark("(")) {
      const open = this.#cursor.take()
      const inner = this.#or(depth + 1)
      if (inner === undefined) throw broken("syntax", open, "The parentheses are empty")
      this.#cursor.mark(")", "A closing parenthesis is missing")
      return inner
    }
    this.#clauses += 1
    if (this.#clauses > maxClauses) {
      throw broken("clauses", this.#cursor.peek(), `A filter has at most ${maxClauses} comparisons`)
    }
    return this.#clause()
  }

  #clause(): Clause {
    const start = this.#cursor.peek()
    const field = this.#aggregated() ?? this.field("filter")
    const numeric =
      field.type === "metric" ||
      (field.type === "attribute" && this.#spec.numeric.includes(field.key))
    const comparator = this.#comparator()
    const { name } = comparator
    switch (name) {
      case "IS NULL":
      case "IS NOT NULL": {
        const dataset = field.type === "dataset"
        if (this.#superset ? dataset : !this.#spec.nullable.includes(field.type)) {
          throw broken(
            "comparator",
            start,
            `IS NULL / IS NOT NULL is only supported for tags and params, not for '${typeNames[field.type]}' '${field.key}'`,
          )
        }
        return { kind: "null", field, comparator: name }
      }
      case "IN":
      case "NOT IN":
        return { kind: "in", field, comparator: name, values: this.#values(field, numeric) }
      case "BETWEEN":
      case "NOT BETWEEN": {
        if (!this.#superset) throw noClause(comparator)
        if (!numeric) throw this.#wrong(comparator, texts)
        const low = this.#number(field)
        if (!this.#cursor.sees("AND")) {
          throw broken("syntax", this.#cursor.peek(), "BETWEEN takes two numbers: BETWEEN 1 AND 2")
        }
        this.#cursor.take()
        return { kind: "between", field, comparator: name, low, high: this.#number(field) }
      }
      default:
    }
    if (numeric) {
      if (!isOrder(name)) throw this.#wrong(comparator, orders)
      return { kind: "number", field, comparator: name, value: this.#number(field) }
    }
    if (!isText(name) || !(this.#superset || mlflowTexts.includes(name))) {
      throw this.#wrong(comparator, this.#superset ? texts : mlflowTexts)
    }
    const token = this.#cursor.peek()
    const value = this.#string(field)
    if (name === "~" || name === "!~") compileRegex(value, token.at + 1)
    return { kind: "text", field, comparator: name, value }
  }

  #wrong(
    comparator: { readonly name: string; readonly at: number; readonly text: string },
    of: ReadonlyArray<string>,
  ) {
    return broken(
      "comparator",
      comparator,
      `Invalid comparator '${comparator.name.slice(0, 60)}' not one of '${list(of)}'`,
    )
  }

  #comparator(): { readonly name: string; readonly at: number; readonly text: string } {
    const token = this.#cursor.take()
    const named = (name: string) => ({ name, at: token.at, text: token.text })
    if (token.kind === "comparator") return named(token.text)
    if (token.kind !== "word") throw noClause(token)
    const word = token.text.toUpperCase()
    if (["LIKE", "ILIKE", "IN", "RLIKE", "REGEXP", "BETWEEN"].includes(word)) return named(word)
    if (word === "NOT") {
      const second = this.#cursor.take()
      const name = second.kind === "word" ? second.text.toUpperCase() : ""
      if (["LIKE", "ILIKE", "IN", "RLIKE", "REGEXP", "BETWEEN"].includes(name)) {
        return named(`NOT ${name}`)
      }
    }
    if (word === "IS") {
      const not = this.#cursor.sees("NOT")
      if (not) this.#cursor.take()
      if (this.#cursor.sees("NULL")) {
        this.#cursor.take()
        return named(not ? "IS NOT NULL" : "IS NULL")
      }
    }
    throw noClause(token)
  }

  /** `min(metrics.loss)`, and `best(metrics.loss, min)`: the best is the greatest unless told. */
  #aggregated(): Field | undefined {
    const name = this.#cursor.peek().text.toLowerCase()
    if (!this.#superset || this.#cursor.peek().kind !== "word" || !aggregates.has(name))
      return undefined
    if (!this.#cursor.seesMark("(", 1)) return undefined
    this.#cursor.take()
    this.#cursor.take()
    const start = this.#cursor.peek()
    const field = this.field("filter")
    if (field.type !== "metric") {
      throw broken("key", start, `${name} takes a metric: ${name}(metrics.loss)`)
    }
    let aggregate = name === "best" ? "max" : name
    if (name === "best" && this.#cursor.seesMark(",")) {
      this.#cursor.take()
      const direction = this.#cursor.take()
      aggregate = direction.text.toLowerCase()
      if (aggregate !== "min" && aggregate !== "max") {
        throw broken("syntax", direction, "best takes min or max: best(metrics.loss, min)")
      }
    }
    this.#cursor.mark(")", `The parenthesis of ${name} is not closed`)
    return { ...field, aggregate: aggregateOf(aggregate) }
  }

  /** A key with its entity's prefix. */
  field(use: "filter" | "order"): Field {
    const start = this.#cursor.peek()
    if (start.kind === "string" || start.kind === "number") {
      throw broken(
        "syntax",
        start,
        `Invalid comparison clause. Expected 'Identifier' found '${start.text.slice(0, 200)}'`,
      )
    }
    if (start.kind !== "word" && start.kind !== "quoted") throw this.#cursor.unexpected()
    if (reserved.has(start.text.toUpperCase()) && !this.#cursor.seesMark(".", 1))
      throw noClause(start)
    let last = this.#cursor.take()
    let dots = 0
    const touches = (token: Token) => token.at === last.at + last.text.length
    while (this.#cursor.seesMark(".") && touches(this.#cursor.peek())) {
      last = this.#cursor.take()
      dots += 1
      const part = this.#cursor.peek()
      // A string ends a key in MLflow's lexer only where a name could: after the dot.
      if (!["word", "quoted", "string"].includes(part.kind) || !touches(part)) {
        throw broken("key", part, "A key stands right after the dot, in quotes if it is no word")
      }
      last = this.#cursor.take()
    }
    const raw = this.#cursor.slice(start.at, last.at + last.text.length)
    if (dots > 0 && start.kind === "quoted" && start.text.startsWith('"')) {
      throw entityError(this.#spec, start, start.text)
    }
    return resolve(this.#spec, this.#superset, raw, start, use)
  }

  #refused(field: Field, what: string, token: Token): FilterError {
    const at =
      field.type === "attribute"
        ? ` attribute: ${field.key}`
        : field.type === "metric"
          ? " metric"
          : ` ${typeNames[field.type]}`
    return broken("value", token, `Expected ${what}${at}. Found ${token.text.slice(0, 200)}`)
  }

  #number(field: Field): number {
    const token = this.#cursor.take()
    const number = token.kind === "number" ? Number(token.text) : Number.NaN
    if (Number.isNaN(number)) {
      const kind =
        field.type === "attribute" ? "numeric value type for numeric" : "numeric value type for"
      throw this.#refused(field, kind, token)
    }
    return number
  }

  #string(field: Field): string {
    const token = this.#cursor.take()
    const quoted = token.kind === "quoted" && token.text.startsWith('"')
    if (token.kind === "string" || quoted) return token.text.slice(1, -1)
    if (token.kind === "end") throw noClause(token)
    if (token.kind === "word" || token.kind === "quoted") {
      throw broken(
        "value",
        token,
        `Parameter value is either not quoted or unidentified quote types used for string value ${token.text.slice(0, 200)}. Use either single or double quotes.`,
      )
    }
    const what =
      field.type === "attribute" ? "attributes" : `${typeNames[field.type]} (e.g. 'my-value')`
    throw broken(
      "value",
      token,
      `Expected a quoted string value for ${what}. Got value ${token.text.slice(0, 200)}`,
    )
  }

  #values(field: Field, numeric: boolean): ReadonlyArray<string> | ReadonlyArray<number> {
    const open = this.#cursor.peek()
    if (!this.#cursor.seesMark("(")) throw noClause(open)
    if (!this.#superset) this.#listAllowed(field, numeric, open)
    this.#cursor.take()
    const strings: Array<string> = []
    const numbers: Array<number> = []
    while (!this.#cursor.seesMark(")")) {
      if (numeric) numbers.push(this.#number(field))
      else strings.push(this.#listed())
      if (strings.length + numbers.length > maxList) {
        throw broken("list", this.#cursor.peek(), `A list has at most ${maxList} values`)
      }
      if (this.#cursor.seesMark(",")) this.#cursor.take()
      else if (!this.#cursor.seesMark(")")) throw this.#illFormed("ill-formed list")
    }
    if (strings.length + numbers.length === 0) throw this.#illFormed("empty list")
    this.#cursor.take()
    return numeric ? numbers : strings
  }

  #listAllowed(field: Field, numeric: boolean, token: Token): void {
    if (numeric) {
      const kind =
        field.type === "attribute" ? "numeric value type for numeric" : "numeric value type for"
      throw this.#refused(field, kind, token)
    }
    if (field.type === "attribute" && !this.#spec.lists.includes(field.key)) {
      throw broken(
        "list",
        token,
        `Only ${list(this.#spec.lists)} attributes support comparison with a list of quoted string values.`,
      )
    }
    if (field.type === "param" || field.type === "tag") {
      throw broken(
        "list",
        token,
        `Expected a quoted string value for ${typeNames[field.type]} (e.g. 'my-value'). Got value (`,
      )
    }
  }

  #listed(): string {
    const token = this.#cursor.peek()
    const quoted = token.kind === "quoted" && token.text.startsWith('"')
    if (token.kind !== "string" && !quoted) throw this.#illFormed("ill-formed list")
    this.#cursor.take()
    return token.text.slice(1, -1)
  }

  #illFormed(found: string): FilterError {
    return broken(
      "list",
      this.#cursor.peek(),
      `While parsing a list in the query, expected a non-empty list of string values, but got ${found}`,
    )
  }
}

const aggregateOf = (name: string): Aggregate =>
  name === "min" || name === "max" || name === "avg" ? name : "last"

/** Reads a filter, or throws a {@link FilterError}. */
export const parse = (text: string, entity: Entity, grammar: Grammar): Filter => {
  const expression = new Reader(new Cursor(text), entity, grammar).filter()
  return { entity, ...(expression === undefined ? {} : { expression }) }
}
