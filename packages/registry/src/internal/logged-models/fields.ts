import type { Database } from "@ashlar/core"
import { type Expression as Sql, type RawBuilder, sql, type SqlBool } from "kysely"
import type { DatasetName } from "../../LoggedModels.ts"
import type { Source } from "../search/where.ts"

const columns: Readonly<Record<string, string>> = {
  model_id: "id",
  experiment_id: "experiment",
  source_run_id: "source_run",
}

/** The column of an attribute; times have milliseconds. */
export const attributeOf = (
  key: string,
  dialect: Database.Dialect,
): { readonly value: Sql<unknown>; readonly number: boolean } => {
  // SQLite and PostgreSQL both divide whole numbers to whole numbers.
  const millis = (column: string) => sql`(${sql.ref(`registry_logged_model.${column}`)} / 1000)`
  if (key === "creation_timestamp") return { value: millis("created"), number: true }
  if (key === "last_updated_timestamp") return { value: millis("updated"), number: true }
  const column = sql.ref(`registry_logged_model.${columns[key] ?? key}`)
  return { value: dialect === "sqlite" ? column : sql`(${column} collate "C")`, number: false }
}

/** Whether a value `m` was measured on one of some datasets. */
export const measuredOn = (datasets: ReadonlyArray<Partial<DatasetName>>): RawBuilder<SqlBool> => {
  const one = ({ name, digest }: Partial<DatasetName>) =>
    sql`(${sql.join(
      [
        sql`1 = 1`,
        ...(name === undefined ? [] : [sql`m.dataset_name = ${name}`]),
        ...(digest === undefined ? [] : [sql`m.dataset_digest = ${digest}`]),
      ],
      sql` and `,
    )})`
  return datasets.length === 0
    ? sql<SqlBool>`(1 = 1)`
    : sql<SqlBool>`(${sql.join(datasets.map(one), sql` or `)})`
}

/** NULL for NaN, which no database orders as numbers do. */
const number = sql`(case when m.nan = 1 then null else m.value end)`

/** The newest value of a metric on a dataset; NULL where there is none. */
export const newest = (key: string, dataset: Partial<DatasetName>): RawBuilder<unknown> => sql`(
  select ${number} from registry_logged_model_metric as m
  where m.model = registry_logged_model.id and m.key = ${key} and ${measuredOn([dataset])}
  order by m.time desc, m.step desc, m.run, m.value desc limit 1
)`

/** What a filter looks at. Without an aggregate a metric holds when any of its values does. */
export const source = (
  datasets: ReadonlyArray<DatasetName>,
  dialect: Database.Dialect,
): Source => ({
  attribute: (key) => attributeOf(key, dialect),
  keyed: ({ type, key, aggregate }, holds) => {
    if (type !== "metric") {
      const table = sql.table(
        type === "param" ? "registry_logged_model_param" : "registry_logged_model_tag",
      )
      return sql<SqlBool>`exists (
        select 1 from ${table} as pair
        where pair.model = registry_logged_model.id and pair.key = ${key}
          and ${holds(sql.ref("pair.value"))}
      )`
    }
    const values = sql`from registry_logged_model_metric as m
      where m.model = registry_logged_model.id and m.key = ${key} and ${measuredOn(datasets)}`
    if (aggregate === undefined) {
      return sql<SqlBool>`exists (select 1 ${values} and ${holds(number)})`
    }
    if (aggregate === "last") {
      return sql<SqlBool>`exists (
        select 1 from (
          select ${number} as number ${values}
          order by m.time desc, m.step desc, m.run, m.value desc limit 1
        ) as latest where ${holds(sql.ref("latest.number"))}
      )`
    }
    return sql<SqlBool>`exists (
      select 1 ${values} group by m.model
      having count(${number}) > 0 and ${holds(sql`${sql.raw(aggregate)}(${number})`)}
    )`
  },
})
