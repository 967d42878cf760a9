/**
 * Pages of a query by keyset: each page starts after the last row of the one before, which stays
 * right while rows come and go, and costs the same on page 1000 as on page 1.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import { type Expression, type SelectQueryBuilder, type SqlBool, sql } from "kysely"
import { type Database, DatabaseError } from "./Database.ts"
import { decodeToken, encodeToken, type Page, type PageRequest } from "./Page.ts"

/** A column of the result to sort by. */
export interface Key<Row> {
  /** As it is named in the result; never null. */
  readonly column: keyof Row & string
  readonly direction?: "asc" | "desc"
  /** How the query names it, when that is not `column`, e.g. `run.id`. */
  readonly reference?: string
}

/** How to page. */
export interface KeysetOptions<Row> {
  /** Sort order; together the columns must be unique in the result. */
  readonly keys: ReadonlyArray<Key<Row>>
  /** Rows when the request names no limit. Default 100. */
  readonly defaultLimit?: number
  /** Largest limit a request may name. Default 1000. */
  readonly maxLimit?: number
}

type Position = ReadonlyArray<string | number>

const refuse = (field: string, message: string) =>
  new DatabaseError({ reason: "InvalidInput", message, field })

const limitOf = <Row>(
  request: PageRequest,
  options: KeysetOptions<Row>,
): number | DatabaseError => {
  const max = options.maxLimit ?? 1000
  const limit = request.limit ?? options.defaultLimit ?? 100
  return Number.isInteger(limit) && limit >= 1 && limit <= max
    ? limit
    : refuse("limit", `limit is ${limit}; ask for a whole number from 1 to ${max}.`)
}

const positionOf = (token: string, length: number): Position | DatabaseError => {
  const position = decodeToken(token)
  const fits =
    position !== undefined &&
    position.length === length &&
    position.every((v) => typeof v === "string" || (typeof v === "number" && Number.isFinite(v)))
  return fits
    ? (position as Position)
    : refuse("token", "token is not one this list gave. Start again without a token.")
}

/** `(a, b) > (x, y)`, written out because the directions may differ. */
const after = <Row>(keys: ReadonlyArray<Key<Row>>, position: Position): Expression<SqlBool> => {
  const same = keys.every((key) => (key.direction ?? "asc") === (keys[0]?.direction ?? "asc"))
  const names = keys.map((key) => sql.ref(key.reference ?? key.column))
  const operator = (key: Key<Row> | undefined) => sql.raw(key?.direction === "desc" ? "<" : ">")
  if (same) {
    return sql<SqlBool>`(${sql.join(names)}) ${operator(keys[0])} (${sql.join([...position])})`
  }
  const terms = keys.map((key, i) => {
    const equal = names.slice(0, i).map((name, j) => sql`${name} = ${position[j]}`)
    return sql`(${sql.join([...equal, sql`${names[i]} ${operator(key)} ${position[i]}`], sql` and `)})`
  })
  return sql<SqlBool>`(${sql.join(terms, sql` or `)})`
}

/**
 * One page of a query. The query has its conditions, but neither order nor limit.
 *
 * Fails with `InvalidInput` on a limit out of range or a token this list never gave.
 */
export const page = <Tables, From extends keyof Tables, Row>(
  db: Database["Service"],
  query: SelectQueryBuilder<Tables, From, Row>,
  request: PageRequest,
  options: KeysetOptions<Row>,
): Effect.Effect<Page<Row>, DatabaseError> =>
  Effect.suspend(() => {
    const { keys } = options
    const limit = limitOf(request, options)
    if (limit instanceof DatabaseError) return Effect.fail(limit)
    let paged = query
    if (request.token !== undefined) {
      const position = positionOf(request.token, keys.length)
      if (position instanceof DatabaseError) return Effect.fail(position)
      paged = paged.where(after(keys, position))
    }
    for (const key of keys) {
      paged = paged.orderBy(sql.ref(key.reference ?? key.column), key.direction ?? "asc")
    }
    return Effect.map(db.all<Row>(paged.limit(limit + 1)), (rows) => {
      const last = rows[limit - 1]
      if (rows.length <= limit || last == null) return { items: rows }
      const values = last as Readonly<Record<string, string | number>>
      const position = keys.map(({ column }) => values[column] ?? null)
      return { items: rows.slice(0, limit), next: encodeToken(position) }
    })
  })
