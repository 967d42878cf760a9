import { Cursor } from "./cursor.ts"
import { specs } from "./entities.ts"
import { broken } from "./FilterError.ts"
import { valuesOf } from "./matches.ts"
import { Reader } from "./parse.ts"
import { clause as noClause } from "./tokens.ts"
import type { Entity, FilterRecord, Order } from "./types.ts"

const maxOrders = 20

const one = (text: string, entity: Entity): Order => {
  const cursor = new Cursor(text)
  const field = new Reader(cursor, entity, "mlflow").field("order")
  const descending = cursor.sees("DESC")
  if (descending || cursor.sees("ASC")) cursor.take()
  const rest = cursor.peek()
  if (rest.kind === "word") {
    throw broken("syntax", rest, `Invalid ordering key in order_by clause '${text.slice(0, 200)}'.`)
  }
  if (rest.kind !== "end") throw noClause(rest)
  return { field, direction: descending ? "desc" : "asc" }
}

/** Reads `order_by` clauses and adds the entity's own ties, or throws a FilterError. */
export const parseOrder = (
  clauses: ReadonlyArray<string>,
  entity: Entity,
): ReadonlyArray<Order> => {
  if (clauses.length > maxOrders) {
    throw broken("clauses", { at: 0, text: "" }, `order_by has at most ${maxOrders} clauses`)
  }
  const orders = clauses.map((text) => one(text, entity))
  const seen = new Set<string>()
  for (const [index, { field }] of orders.entries()) {
    const name = `${field.type}.${field.key}`
    if (seen.has(name)) {
      throw broken(
        "duplicate",
        { at: 0, text: clauses[index] ?? "" },
        "`order_by` contains duplicate fields",
      )
    }
    seen.add(name)
  }
  const ties = specs[entity].order.ties.filter(([key]) => !seen.has(`attribute.${key}`))
  return [
    ...orders,
    ...ties.map(([key, direction]): Order => ({ field: { type: "attribute", key }, direction })),
  ]
}

const compareTexts = (a: string, b: string): number =>
  Buffer.compare(Buffer.from(a), Buffer.from(b))

/** Missing values come last, NaN before them, in both directions. */
const rank = (value: string | number | undefined): number =>
  value === undefined ? 2 : Number.isNaN(value) ? 1 : 0

const compareValues = (a: string | number, b: string | number): number =>
  typeof a === "number" && typeof b === "number"
    ? a < b
      ? -1
      : a > b
        ? 1
        : 0
    : compareTexts(String(a), String(b))

/** Compares two records for sorting; texts by code point. */
export const compare =
  (orders: ReadonlyArray<Order>) =>
  (left: FilterRecord, right: FilterRecord): number => {
    for (const { field, direction } of orders) {
      const [a] = valuesOf(left, field)
      const [b] = valuesOf(right, field)
      const ranks = rank(a) - rank(b)
      if (ranks !== 0) return ranks
      if (a === undefined || b === undefined) continue
      const order = compareValues(a, b)
      if (order !== 0) return direction === "asc" ? order : -order
    }
    return 0
  }
