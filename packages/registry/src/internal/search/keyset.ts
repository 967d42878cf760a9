import { createHash } from "node:crypto"
import type { Database } from "@ashlar/core"
import { type Expression as Sql, type RawBuilder, sql, type SqlBool } from "kysely"

/** A value to sort by. Missing values come last, whichever the direction. */
export interface SortKey {
  readonly value: Sql<unknown>
  readonly direction: "asc" | "desc"
  readonly nullable: boolean
}

/** What a row has for the sort keys. */
export type Position = ReadonlyArray<string | number | null>

/** Text in the order of its code points on both databases. */
export const binary = (value: Sql<unknown>, dialect: Database.Dialect): RawBuilder<unknown> =>
  dialect === "sqlite" ? sql`${value}` : sql`${value} collate "C"`

/** What comes before a position ties with it so far, then comes strictly after it. */
export const after = (keys: ReadonlyArray<SortKey>, position: Position): RawBuilder<SqlBool> => {
  const equal = (key: SortKey, at: string | number | null | undefined) =>
    at === null ? sql`${key.value} is null` : sql`${key.value} = ${at}`
  const beyond = (key: SortKey, at: string | number | null | undefined) => {
    if (at === null) return sql`1 = 0`
    const passed = sql`${key.value} ${sql.raw(key.direction === "asc" ? ">" : "<")} ${at}`
    return key.nullable ? sql`(${passed} or ${key.value} is null)` : passed
  }
  const terms = keys.map((key, i) => {
    const ties = keys.slice(0, i).map((tie, j) => equal(tie, position[j]))
    return sql`(${sql.join([...ties, beyond(key, position[i])], sql` and `)})`
  })
  return sql<SqlBool>`(${sql.join(terms, sql` or `)})`
}

/** The ORDER BY of sort keys. */
export const ordering = (keys: ReadonlyArray<SortKey>): RawBuilder<unknown> =>
  sql.join(
    keys.flatMap(({ value, direction, nullable }) => [
      ...(nullable ? [sql`case when ${value} is null then 1 else 0 end`] : []),
      sql`${value} ${sql.raw(direction)}`,
    ]),
  )

/** Ties a token to the search that gave it. */
export const fingerprint = (search: unknown): string =>
  createHash("sha256").update(JSON.stringify(search)).digest("base64url").slice(0, 16)
