import { folded, like } from "./like.ts"
import { compile, matches as finds, type Regex } from "./regex.ts"
import type { Clause, Expression, Field, Filter, FilterRecord, NumberComparator } from "./types.ts"

const promptTag = "mlflow.prompt.is_prompt"

const own = <A>(record: Readonly<Record<string, A>> | undefined, key: string): A | undefined =>
  record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined

/** The value a metric stands for, NaN too; undefined when it is missing. */
const metricOf = (record: FilterRecord, { key, aggregate }: Field): number | undefined => {
  const last = own(record.metrics, key)
  if (aggregate === undefined || aggregate === "last") return last
  const known = own(record.histories, key) ?? (last === undefined ? [] : [last])
  const points = known.filter((value) => !Number.isNaN(value))
  if (points.length === 0) return undefined
  if (aggregate === "min") return points.reduce((a, b) => Math.min(a, b))
  if (aggregate === "max") return points.reduce((a, b) => Math.max(a, b))
  const mean = points.reduce((a, b) => a + b) / points.length
  return Number.isNaN(mean) ? undefined : mean
}

/** The values a field has: none, one, or one for each dataset. */
export const valuesOf = (record: FilterRecord, field: Field): ReadonlyArray<string | number> => {
  const one = <A>(value: A | undefined): ReadonlyArray<A> => (value === undefined ? [] : [value])
  switch (field.type) {
    case "attribute":
      return one(own(record.attributes, field.key))
    case "metric":
      return one(metricOf(record, field))
    case "param":
      return one(own(record.params, field.key))
    case "tag":
      return one(own(record.tags, field.key))
    case "dataset":
      return (record.datasets ?? []).flatMap(({ name, digest, context }) =>
        field.key === "name" ? [name] : field.key === "digest" ? [digest] : one(context),
      )
  }
}

const regexes = new WeakMap<Clause, Regex>()
const regexOf = (clause: Clause & { readonly kind: "text" }): Regex => {
  const known = regexes.get(clause) ?? compile(clause.value)
  regexes.set(clause, known)
  return known
}

const compares = (comparator: NumberComparator, value: number, bound: number): boolean => {
  switch (comparator) {
    case ">":
      return value > bound
    case ">=":
      return value >= bound
    case "<":
      return value < bound
    case "<=":
      return value <= bound
    case "=":
      return value === bound
    case "!=":
      return value !== bound
  }
}

const reads = (clause: Clause & { readonly kind: "text" }, text: string): boolean => {
  const { comparator, value } = clause
  switch (comparator) {
    case "=":
      return text === value
    case "!=":
      return text !== value
    case "LIKE":
    case "NOT LIKE":
      return like(text, value) === (comparator === "LIKE")
    case "ILIKE":
    case "NOT ILIKE":
      return like(folded(text), folded(value)) === (comparator === "ILIKE")
    case "~":
    case "!~":
      return finds(regexOf(clause), text) === (comparator === "~")
  }
}

const holds = (clause: Clause, value: string | number): boolean => {
  switch (clause.kind) {
    case "null":
      return clause.comparator === "IS NOT NULL"
    case "in":
      return clause.values.some((listed) => listed === value) === (clause.comparator === "IN")
    case "between":
      return (
        (Number(value) >= clause.low && Number(value) <= clause.high) ===
        (clause.comparator === "BETWEEN")
      )
    case "number":
      return compares(clause.comparator, Number(value), clause.value)
    case "text":
      return reads(clause, String(value))
  }
}

/** Models without the prompt tag are no prompts, so that `!= 'true'` finds them. */
const isNoPrompt = (clause: Clause): boolean =>
  clause.kind === "text" &&
  ((clause.comparator === "=" && clause.value === "false") ||
    (clause.comparator === "!=" && clause.value === "true"))

const evaluate = (expression: Expression, filter: Filter, record: FilterRecord): boolean => {
  switch (expression.kind) {
    case "and":
      return expression.parts.every((part) => evaluate(part, filter, record))
    case "or":
      return expression.parts.some((part) => evaluate(part, filter, record))
    case "not":
      return !evaluate(expression.part, filter, record)
    default: {
      const { field } = expression
      const values = valuesOf(record, field)
      if (values.length > 0) return values.some((value) => holds(expression, value))
      if (expression.comparator === "IS NULL") return true
      const models = filter.entity === "registered-models" || filter.entity === "model-versions"
      return models && field.type === "tag" && field.key === promptTag && isNoPrompt(expression)
    }
  }
}

/** Whether a record matches a filter. */
export const matches = (filter: Filter, record: FilterRecord): boolean =>
  filter.expression === undefined || evaluate(filter.expression, filter, record)
