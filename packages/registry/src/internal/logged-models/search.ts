import { type Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import * as Filter from "../../Filter.ts"
import type {
  DatasetName,
  LoggedModel,
  LoggedModelMetric,
  LoggedModelOrder,
  SearchLoggedModels,
} from "../../LoggedModels.ts"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import { positionOf, refusedSearch } from "../experiments-search.ts"
import type { LoggedModelRow } from "../migrations/0005-mlflow.ts"
import { after, fingerprint, ordering, type SortKey } from "../search/keyset.ts"
import { where } from "../search/where.ts"
import type { Store } from "../store.ts"
import { attributeOf, measuredOn, newest, source } from "./fields.ts"

type Failed = Database.DatabaseError | RegistryError

/** Reads logged models. */
export interface Reading {
  readonly views: (
    rows: ReadonlyArray<LoggedModelRow>,
  ) => Effect.Effect<ReadonlyArray<LoggedModel>, Database.DatabaseError>
  readonly search: (
    experimentIds: ReadonlyArray<string>,
    search: SearchLoggedModels,
  ) => Effect.Effect<Page.Page<LoggedModel>, Failed>
}

/** Most models of one statement; SQLite takes 32766 parameters. */
const chunk = 500
const maxOrders = 20
const maxDatasets = 100

const attributes: Readonly<Record<string, string>> = {
  creation_time: "creation_timestamp",
  creation_timestamp_ms: "creation_timestamp",
  last_updated_time: "last_updated_timestamp",
  last_updated_timestamp_ms: "last_updated_timestamp",
}

const sortable: ReadonlyArray<string> = [
  "name",
  "model_id",
  "model_type",
  "status",
  "source_run_id",
  "creation_timestamp",
  "last_updated_timestamp",
  "experiment_id",
]

const keyOf = (
  { field, direction = "asc", dataset = {} }: LoggedModelOrder,
  dialect: Database.Dialect,
): SortKey | RegistryError => {
  const dot = field.indexOf(".")
  if (dot < 0) {
    const name = attributes[field] ?? field
    if (!sortable.includes(name)) {
      return invalid("order_by", `Invalid order by field name: ${field.slice(0, 200)}`)
    }
    return {
      value: attributeOf(name, dialect).value,
      direction,
      nullable: name === "model_type" || name === "source_run_id",
    }
  }
  if (field.slice(0, dot) !== "metrics") {
    return invalid(
      "order_by",
      `Invalid order by field name: ${field.slice(0, 200)}. Only metrics are supported.`,
    )
  }
  return { value: newest(field.slice(dot + 1), dataset), direction, nullable: true }
}

/** What the clauses leave equal is settled by the newest, then by the id. */
const keysOf = Effect.fnUntraced(function* (
  orders: ReadonlyArray<LoggedModelOrder>,
  dialect: Database.Dialect,
) {
  if (orders.length > maxOrders) {
    return yield* invalid("order_by", `order_by has at most ${maxOrders} clauses`)
  }
  const named = new Set(orders.map(({ field }) => attributes[field] ?? field))
  const ties: ReadonlyArray<LoggedModelOrder> = [
    { field: "creation_timestamp", direction: "desc" },
    { field: "model_id" },
  ]
  const keys: Array<SortKey> = []
  for (const order of [...orders, ...ties.filter(({ field }) => !named.has(field))]) {
    const key = keyOf(order, dialect)
    if ("reason" in key) return yield* key
    keys.push(key)
  }
  return keys
})

/** Logged models of a store. */
export const make = ({ db, build }: Store): Reading => {
  const read = Effect.fnUntraced(function* (rows: ReadonlyArray<LoggedModelRow>) {
    const ids = rows.map(({ id }) => id)
    const pairs = (kind: "param" | "tag") =>
      Effect.map(
        db.all(
          build
            .selectFrom(`registry_logged_model_${kind}`)
            .selectAll()
            .where("model", "in", ids)
            .orderBy("key"),
        ),
        (found) => Map.groupBy(found, ({ model }) => model),
      )
    const params = yield* pairs("param")
    const tags = yield* pairs("tag")
    const metrics = Map.groupBy(
      yield* db.all(
        build
          .selectFrom("registry_logged_model_metric")
          .selectAll()
          .where("model", "in", ids)
          .orderBy("key")
          .orderBy("time")
          .orderBy("step")
          .orderBy("run")
          .orderBy("dataset_name")
          .orderBy("dataset_digest")
          .orderBy("nan")
          .orderBy("value"),
      ),
      ({ model }) => model,
    )
    const record = (found: ReadonlyArray<{ readonly key: string; readonly value: string }> = []) =>
      Object.fromEntries(found.map(({ key, value }) => [key, value]))
    return rows.map((row): LoggedModel => ({
      modelId: row.id,
      experimentId: row.experiment,
      name: row.name,
      artifactUri: row.artifact_uri,
      created: row.created,
      updated: row.updated,
      status: row.status,
      ...(row.model_type === null ? {} : { modelType: row.model_type }),
      ...(row.source_run === null ? {} : { sourceRunId: row.source_run }),
      ...(row.deleted === null ? {} : { deleted: row.deleted }),
      params: record(params.get(row.id)),
      tags: record(tags.get(row.id)),
      metrics: (metrics.get(row.id) ?? []).map((metric): LoggedModelMetric => ({
        key: metric.key,
        value: metric.nan === 1 ? Number.NaN : metric.value,
        step: metric.step,
        time: metric.time,
        runId: metric.run,
        ...(metric.dataset_name === "" ? {} : { datasetName: metric.dataset_name }),
        ...(metric.dataset_digest === "" ? {} : { datasetDigest: metric.dataset_digest }),
      })),
    }))
  })

  const views = Effect.fnUntraced(function* (rows: ReadonlyArray<LoggedModelRow>) {
    const parts: Array<LoggedModel> = []
    for (let from = 0; from < rows.length; from += chunk) {
      parts.push(...(yield* read(rows.slice(from, from + chunk))))
    }
    return parts
  })

  const search = Effect.fnUntraced(function* (
    experimentIds: ReadonlyArray<string>,
    search: SearchLoggedModels,
  ) {
    const { filter = "", datasets = [], orderBy = [], token } = search
    const limit = Math.min(Math.max(search.limit ?? 50, 1), 50_000)
    const parsed = yield* Effect.mapError(
      Filter.parse(filter, { entity: "logged-models" }),
      refusedSearch("filter"),
    )
    if (datasets.length > maxDatasets) {
      return yield* invalid("datasets", `a search names at most ${maxDatasets} datasets`)
    }
    const keys = yield* keysOf(orderBy, db.dialect)
    const print = fingerprint([experimentIds, parsed, datasets, orderBy])
    const position = yield* positionOf(token, print)
    if (experimentIds.length === 0) return { items: [] }
    const rows = yield* db.all(
      build
        .selectFrom("registry_logged_model")
        .selectAll()
        .select(keys.map(({ value }, i) => sql<string | number | null>`${value}`.as(`key${i}`)))
        .where("experiment", "in", [...experimentIds])
        .where("deleted", "is", null)
        .where(where(parsed, source(datasets, db.dialect), db.dialect))
        .where(anyOn(datasets, parsed))
        .where(position === undefined ? sql<SqlBool>`(1 = 1)` : after(keys, position))
        .orderBy(ordering(keys))
        .limit(limit + 1),
    )
    const page = rows.slice(0, limit)
    const last: Readonly<Record<string, unknown>> | undefined =
      rows.length > limit ? page.at(-1) : undefined
    return {
      items: yield* views(page),
      ...(last === undefined
        ? {}
        : { next: Page.encodeToken([print, ...keys.map((_, i) => valueOf(last[`key${i}`]))]) }),
    }
  })

  return { views, search }
}

const valueOf = (value: unknown): string | number | null =>
  typeof value === "string" || typeof value === "number" ? value : null

const looksAtMetrics = ({ expression }: Filter.Filter): boolean => {
  const visit = (part: Filter.Expression): boolean => {
    if (part.kind === "not") return visit(part.part)
    return part.kind === "and" || part.kind === "or"
      ? part.parts.some(visit)
      : part.field.type === "metric"
  }
  return expression !== undefined && visit(expression)
}

/** Datasets without a condition on a metric find the models that have any metric on them. */
const anyOn = (datasets: ReadonlyArray<DatasetName>, filter: Filter.Filter): RawBuilder<SqlBool> =>
  datasets.length === 0 || looksAtMetrics(filter)
    ? sql<SqlBool>`(1 = 1)`
    : sql<SqlBool>`exists (
        select 1 from registry_logged_model_metric as m
        where m.model = registry_logged_model.id and ${measuredOn(datasets)}
      )`
