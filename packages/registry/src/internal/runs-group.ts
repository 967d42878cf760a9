import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import * as Filter from "../Filter.ts"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { GroupRuns, RunGroup } from "../Runs.ts"
import { parsed } from "./runs-page.ts"
import { seriesColumn, sortKey, whereRuns } from "./search/plan.ts"
import { candidates, ofView } from "./search/plan-scope.ts"
import * as Lists from "./series/lists.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** Most keys to group by, and most metrics of a group. */
const most = 16
/** Beyond this, a sum of doubles overflows, which one of the databases answers with an error. */
const largest = 1e290

const over = (value: RawBuilder<unknown>, of: "min" | "max" | "mean"): RawBuilder<unknown> => {
  if (of !== "mean") return sql`${sql.raw(of)}(${value})`
  return sql`avg(case when abs(${value}) <= cast(${largest} as double precision) then ${value} end)`
}

/** The field that `params.model` means, read as an order is. */
const fieldOf = Effect.fnUntraced(function* (by: string) {
  const orders = yield* Effect.mapError(
    Filter.parseOrderBy([by], { entity: "runs" }),
    (cause) =>
      new RegistryError({ reason: "InvalidInput", field: "by", message: cause.message, cause }),
  )
  const field = orders[0]?.field
  if (field === undefined || field.type === "metric") {
    return yield* invalid(
      "by",
      `runs are grouped by params, tags and attributes, not by ${JSON.stringify(by.slice(0, 100))}: ask for metrics as aggregates`,
    )
  }
  return field
})

/** Counts and aggregates of a store's runs by what they have in common. */
export const make =
  ({ db }: Store) =>
  (
    experimentIds: ReadonlyArray<string>,
    asked: GroupRuns,
  ): Effect.Effect<ReadonlyArray<RunGroup>, Failure> =>
    Effect.gen(function* () {
      const { filter = "", view = "active", by, metrics = [], limit = 1000 } = asked
      if (by.length + metrics.length > most || by.length === 0) {
        return yield* invalid("by", `group by 1 to ${most} keys, metrics included`)
      }
      if (!(Number.isInteger(limit) && limit >= 1 && limit <= 10_000)) {
        return yield* invalid("limit", `limit is ${limit}: use a whole number from 1 to 10000`)
      }
      const { expression } = yield* parsed(filter)
      const fields: Array<Filter.Field> = []
      for (const one of by) fields.push(yield* fieldOf(one))
      if (experimentIds.length === 0) return []
      const { dialect } = db
      const experiments = Lists.texts(experimentIds, dialect)
      const few = yield* candidates(db, experiments, expression)
      const chosen =
        few === undefined
          ? sql<SqlBool>`(1 = 1)`
          : Lists.among("registry_run.id", Lists.texts(few, dialect), "text", dialect)
      const keys = fields.map(
        (field, i) => sql`${sortKey(field, dialect).value} as ${sql.ref(`k${i}`)}`,
      )
      const joins = metrics.map(({ key }, i) => {
        const series = sql.ref(`s${i}`)
        return sql`left join registry_series as ${series} on ${sql.ref(`s${i}.run`)} = registry_run.id and ${sql.ref(`s${i}.key`)} = ${key}`
      })
      const picked = metrics.map(
        ({ of = "last" }, i) => sql`${sql.ref(`s${i}.${seriesColumn(of)}`)} as ${sql.ref(`m${i}`)}`,
      )
      const aggregates = metrics.map(
        ({ over: how = "mean" }, i) => sql`${over(sql.ref(`m${i}`), how)} as ${sql.ref(`a${i}`)}`,
      )
      const names = sql.join(fields.map((_, i) => sql.ref(`k${i}`)))
      // Groups without a value last, on both databases.
      const sorted = sql.join(
        fields.map((_, i) => {
          const key = sql.ref(`k${i}`)
          return sql`case when ${key} is null then 1 else 0 end, ${key}`
        }),
      )
      const rows = yield* db.all(
        sql<Record<string, string | number | null>>`
          with found as materialized (
            select ${sql.join([...keys, ...picked])} from registry_run ${sql.join(joins, sql` `)}
            where ${Lists.among("registry_run.experiment", experiments, "text", dialect)}
              and ${chosen} and ${ofView(view)} and ${whereRuns(expression, dialect)}
          )
          select ${sql.join([names, sql`count(*) as runs`, ...aggregates])} from found
          group by ${names} order by runs desc, ${sorted} limit ${limit}`,
      )
      return rows.map((row): RunGroup => ({
        values: fields.map((_, i) => {
          const value = row[`k${i}`]
          return value === null || value === undefined ? undefined : value
        }),
        runs: Number(row["runs"]),
        metrics: metrics.map((_, i) => {
          const value = row[`a${i}`]
          return typeof value === "number" ? value : undefined
        }),
      }))
    })
