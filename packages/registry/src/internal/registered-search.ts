import { type Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import * as Filter from "../Filter.ts"
import type { RegistryError } from "../RegistryError.ts"
import { positionOf, refusedSearch } from "./experiments-search.ts"
import type { ModelTables, VersionRow } from "./migrations/0006-models.ts"
import { promptTag } from "./model-rules.ts"
import { after, binary, fingerprint, ordering, type SortKey } from "./search/keyset.ts"
import type { Clause, Expression, Order } from "./search/types.ts"
import { type Source, where } from "./search/where.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError
type ModelRow = ModelTables["registry_model"]

/** Which models or versions to find, in which order, and which page of them. */
export interface SearchModels extends Page.PageRequest {
  /** A condition in the language of `Filter`, such as `name LIKE 'flight%' AND tags.team = 'delay'`. */
  readonly filter?: string
  /** Sort keys such as `last_updated_timestamp DESC`. */
  readonly orderBy?: ReadonlyArray<string>
}

/** A page of rows. */
interface Rows<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly next?: string
}

/** Finds models and versions by filter. */
export interface RegisteredSearch {
  /** By name unless asked otherwise. */
  readonly models: (search: SearchModels) => Effect.Effect<Rows<ModelRow>, Failure>
  /** The last changed first unless asked otherwise. */
  readonly versions: (search: SearchModels) => Effect.Effect<Rows<VersionRow>, Failure>
}

const clauses = (expression: Expression): ReadonlyArray<Clause> => {
  if (expression.kind === "not") return clauses(expression.part)
  if (expression.kind === "and" || expression.kind === "or")
    return expression.parts.flatMap(clauses)
  return [expression]
}

/** Prompts are found only by those who ask for them. */
const asksForPrompts = ({ expression }: Filter.Filter): boolean =>
  expression !== undefined &&
  clauses(expression).some(
    (clause) =>
      clause.field.type === "tag" &&
      clause.field.key === promptTag &&
      clause.kind === "text" &&
      ((clause.comparator === "=" && clause.value.toLowerCase() === "true") ||
        (clause.comparator === "!=" && clause.value.toLowerCase() === "false")),
  )

const always = sql<SqlBool>`(1 = 1)`

const modelSource = (dialect: Database.Dialect, prompts: boolean): Source => ({
  attribute: (key) => {
    switch (key) {
      case "creation_timestamp":
        return { value: sql`(registry_model.created / 1000)`, number: true }
      case "last_updated_timestamp":
        return {
          value: sql`((case when registry_model.updated > registry_model.created
            then registry_model.updated else registry_model.created end) / 1000)`,
          number: true,
        }
      default:
        return { value: binary(sql.ref("registry_model.name"), dialect), number: false }
    }
  },
  keyed: ({ key }, holds) =>
    // Without prompts, every model is none, whatever the clause on them says.
    key === promptTag && !prompts
      ? always
      : sql<SqlBool>`exists (
          select 1 from registry_model_tag t
          where t.model = registry_model.name and t.key = ${key} and ${holds(sql.ref("t.value"))}
        )`,
})

const versionSource = (dialect: Database.Dialect, prompts: boolean): Source => ({
  attribute: (key) => {
    switch (key) {
      case "version_number":
        return { value: sql.ref("registry_version.version"), number: true }
      case "creation_timestamp":
        return { value: sql`(registry_version.created / 1000)`, number: true }
      case "last_updated_timestamp":
        return { value: sql`(registry_version.updated / 1000)`, number: true }
      case "run_id":
        return { value: sql.ref("registry_version.run"), number: false }
      case "source_path":
        return { value: sql.ref("registry_version.source"), number: false }
      default:
        return { value: binary(sql.ref("registry_version.model"), dialect), number: false }
    }
  },
  keyed: ({ key }, holds) =>
    key === promptTag && !prompts
      ? always
      : sql<SqlBool>`exists (
          select 1 from registry_version_tag t
          where t.model = registry_version.model and t.version = registry_version.version
            and t.key = ${key} and ${holds(sql.ref("t.value"))}
        )`,
})

/** Leaves out what is tagged as a prompt; a model with one version that is a prompt is one. */
const noPrompts = (table: "model" | "version"): RawBuilder<SqlBool> =>
  table === "model"
    ? sql<SqlBool>`(not exists (
        select 1 from registry_model_tag t
        where t.model = registry_model.name and t.key = ${promptTag} and t.value = 'true'
      ))`
    : sql<SqlBool>`(not exists (
        select 1 from registry_version_tag t
        where t.model = registry_version.model and t.key = ${promptTag} and t.value = 'true'
      ))`

const keyOf = (value: unknown): string | number | null =>
  typeof value === "string" || typeof value === "number" ? value : null

/** Searches in a store. */
export const make = ({ db, build }: Store): RegisteredSearch => {
  const understood = Effect.fnUntraced(function* (
    entity: "registered-models" | "model-versions",
    { filter = "", orderBy = [], token }: SearchModels,
    preset: ReadonlyArray<string>,
    sourceOf: (dialect: Database.Dialect, prompts: boolean) => Source,
  ) {
    const parsed = yield* Effect.mapError(Filter.parse(filter, { entity }), refusedSearch("filter"))
    const orders: ReadonlyArray<Order> = yield* Effect.mapError(
      Filter.parseOrderBy(orderBy.length === 0 ? preset : orderBy, { entity }),
      refusedSearch("orderBy"),
    )
    const prompts = asksForPrompts(parsed)
    const fields = sourceOf(db.dialect, prompts)
    const keys = orders.map(({ field, direction }): SortKey => ({
      value: fields.attribute(field.key).value,
      direction,
      nullable: false,
    }))
    const print = fingerprint([entity, parsed, orders])
    const position = yield* positionOf(token, print)
    return {
      prompts,
      keys,
      condition: where(parsed, fields, db.dialect),
      beyond: position === undefined ? always : after(keys, position),
      columns: keys.map(({ value }, i) => sql<string | number>`${value}`.as(`key${i}`)),
      /** The page of what was found, and the token of the next. */
      page: <Row extends object>(rows: ReadonlyArray<Row>, limit: number): Rows<Row> => {
        const page = rows.slice(0, limit)
        const last: Readonly<Record<string, unknown>> = { ...page.at(-1) }
        if (rows.length <= limit) return { rows: page }
        return {
          rows: page,
          next: Page.encodeToken([print, ...keys.map((_, i) => keyOf(last[`key${i}`]))]),
        }
      },
    }
  })

  return {
    models: Effect.fnUntraced(function* (search) {
      const limit = Math.min(Math.max(Math.trunc(search.limit ?? 100), 1), 1000)
      const { prompts, keys, condition, beyond, columns, page } = yield* understood(
        "registered-models",
        search,
        ["name ASC"],
        modelSource,
      )
      const rows = yield* db.all(
        build
          .selectFrom("registry_model")
          .selectAll("registry_model")
          .select(columns)
          .where(condition)
          .where(prompts ? always : noPrompts("model"))
          .where(beyond)
          .orderBy(ordering(keys))
          .limit(limit + 1),
      )
      return page(rows, limit)
    }),
    versions: Effect.fnUntraced(function* (search) {
      const limit = Math.min(Math.max(Math.trunc(search.limit ?? 10_000), 1), 200_000)
      const { prompts, keys, condition, beyond, columns, page } = yield* understood(
        "model-versions",
        search,
        ["last_updated_timestamp DESC", "name ASC", "version_number DESC"],
        versionSource,
      )
      const rows = yield* db.all(
        build
          .selectFrom("registry_version")
          .selectAll("registry_version")
          .select(columns)
          .where("registry_version.deleted", "is", null)
          .where(condition)
          .where(prompts ? always : noPrompts("version"))
          .where(beyond)
          .orderBy(ordering(keys))
          .limit(limit + 1),
      )
      return page(rows, limit)
    }),
  }
}
