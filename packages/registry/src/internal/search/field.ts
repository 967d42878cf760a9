import type { Spec } from "./entities.ts"
import { broken, type FilterError } from "./FilterError.ts"
import type { Token } from "./tokens.ts"
import type { Field } from "./types.ts"

/** The names MLflow's messages use. */
export const typeNames: Readonly<Record<Field["type"], string>> = {
  attribute: "attribute",
  metric: "metric",
  param: "parameter",
  tag: "tag",
  dataset: "dataset",
}
const datasetKeys: ReadonlySet<string> = new Set(["name", "digest", "context"])

/** Names as a message shows them. */
export const list = (items: ReadonlyArray<string>): string =>
  `{${items.map((i) => `'${i}'`).join(", ")}}`

/** Takes quotes off as MLflow does: the ends alone, doubled quotes inside stay. */
const unquoted = (text: string): string => {
  const trim = (value: string, quote: string) =>
    value.length >= 2 && value.startsWith(quote) && value.endsWith(quote)
      ? value.slice(1, -1)
      : undefined
  const inner = trim(text, "'") ?? trim(text, '"') ?? text
  return trim(inner, "`") ?? inner
}

/** MLflow's refusal of a prefix. */
export const entityError = (spec: Spec, start: Token, entity: string): FilterError => {
  return broken(
    "entity",
    start,
    `Invalid entity type '${entity.slice(0, 60)}'. Valid values are ${list(Object.keys(spec.prefixes))}`,
  )
}

/** MLflow takes backticks around a prefix where it knows metrics, and nowhere else. */
const prefixOf = (spec: Spec, text: string): string => {
  const ticked = text.length >= 2 && text.startsWith("`") && text.endsWith("`")
  return ticked && Object.hasOwn(spec.prefixes, "metrics") ? text.slice(1, -1) : text
}

const attributeOf = (
  spec: Spec,
  superset: boolean,
  key: string,
  start: Token,
  use: "filter" | "order",
): string => {
  const { aliases } = use === "order" ? spec.order : spec
  const name = Object.hasOwn(aliases, key) ? (aliases[key] ?? key) : key
  const known =
    use === "order"
      ? spec.order.attributes
      : [...spec.text, ...spec.numeric, ...(superset ? spec.more : [])]
  if (known.includes(name)) return name
  throw broken(
    "key",
    start,
    `Invalid attribute key '${key.slice(0, 60)}' specified. Valid keys are '${list([...known, ...Object.keys(aliases)])}'`,
  )
}

/** The field a key means; its prefix is what stands before the first dot. */
export const resolve = (
  spec: Spec,
  superset: boolean,
  raw: string,
  start: Token,
  use: "filter" | "order",
): Field => {
  const dot = raw.indexOf(".")
  const prefix = dot === -1 ? "attribute" : prefixOf(spec, raw.slice(0, dot))
  const type = Object.hasOwn(spec.prefixes, prefix) ? spec.prefixes[prefix] : undefined
  if (type === undefined) throw entityError(spec, start, prefix)
  const key = unquoted(raw.slice(dot + 1))
  if (type === "attribute") return { type, key: attributeOf(spec, superset, key, start, use) }
  if (type === "dataset" && !datasetKeys.has(key)) {
    throw broken(
      "key",
      start,
      `Invalid dataset key '${key.slice(0, 60)}' specified. Valid keys are '${list([...datasetKeys])}'`,
    )
  }
  if (use === "order" && !spec.order.types.includes(type)) {
    throw broken("entity", start, `Invalid order_by entity: ${typeNames[type]}`)
  }
  return { type, key }
}
