import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import * as Lists from "../series/lists.ts"
import { after, ordering, type SortKey } from "./keyset.ts"
import { sortKey } from "./plan.ts"
import type { Position } from "./plan-token.ts"
import type { Order } from "./types.ts"

/** A run of a page and where it stands in the order. */
export interface Found {
  readonly id: string
  readonly position: Position
}

/** What a page is made from. */
export interface Scope {
  /** Experiments, as a list of texts. */
  readonly experiments: string
  readonly condition: RawBuilder<SqlBool>
  /** The only runs that may match, where they are known to be few. */
  readonly candidates: ReadonlyArray<string> | undefined
  readonly limit: number
  readonly after: Position | undefined
}

const columnsOf = (orders: ReadonlyArray<Order>, dialect: Database.Dialect) =>
  orders.flatMap(({ field, direction }, index) => {
    const { rank, value } = sortKey(field, dialect)
    const name = `k${index}`
    const key = { name, value, direction, nullable: rank !== undefined, derived: false }
    if (rank === undefined) return [key]
    // Told by the value, which is looked up once.
    const derived = rank === null
    const missing = sql`(case when ${sql.ref(name)} is null then 1 else 0 end)`
    return [
      {
        name: `q${index}`,
        value: rank ?? missing,
        direction: "asc" as const,
        nullable: false,
        derived,
      },
      key,
    ]
  })

/** The first runs after a position of all that match, sorted by anything: every match is looked at. */
export const sorted = Effect.fnUntraced(function* (
  db: Database.Database["Service"],
  scope: Scope,
  orders: ReadonlyArray<Order>,
) {
  const { dialect } = db
  const columns = columnsOf(orders, dialect)
  const keys = columns.map(({ name, direction, nullable }): SortKey => ({
    value: sql.ref(name),
    direction,
    nullable,
  }))
  const { candidates } = scope
  const from =
    candidates === undefined
      ? sql`registry_run`
      : dialect === "sqlite"
        ? sql`json_each(${Lists.texts(candidates, dialect)}) as candidate cross join registry_run on registry_run.id = candidate.value`
        : sql`registry_run`
  const chosen =
    candidates === undefined || dialect === "sqlite"
      ? sql`(1 = 1)`
      : Lists.among("registry_run.id", Lists.texts(candidates, dialect), "text", dialect)
  const named = (derived: boolean) =>
    columns
      .filter((column) => column.derived === derived)
      .map(({ name, value }) => sql`, ${value} as ${sql.ref(name)}`)
  const page = scope.after === undefined ? sql`(1 = 1)` : after(keys, scope.after)
  const rows = yield* db.all(
    sql<Record<string, string | number | null>>`
      with found as materialized (
        select registry_run.id as id ${sql.join(named(false), sql` `)} from ${from}
        where ${Lists.among("registry_run.experiment", scope.experiments, "text", dialect)}
          and ${chosen} and ${scope.condition}
      )
      select * from (select found.* ${sql.join(named(true), sql` `)} from found) as ranked
      where ${page} order by ${ordering(keys)} limit ${scope.limit}`,
  )
  return rows.map((row): Found => ({
    id: String(row["id"]),
    position: columns.map(({ name }) => row[name] ?? null),
  }))
})
