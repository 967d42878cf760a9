import { type Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import type { Experiment, SearchExperiments } from "../Experiments.ts"
import * as Filter from "../Filter.ts"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { Store } from "./store.ts"
import {
  after,
  binary,
  fingerprint,
  ordering,
  type Position,
  type SortKey,
} from "./search/keyset.ts"
import { type Source, where } from "./search/where.ts"

type Row = {
  readonly id: string
  readonly name: string
  readonly created: number
  readonly updated: number
  readonly artifact_location: string | null
  readonly deleted: number | null
}

type Failed = Database.DatabaseError | RegistryError

/** Reads experiments. */
export interface Reading {
  readonly views: (
    rows: ReadonlyArray<Row>,
  ) => Effect.Effect<ReadonlyArray<Experiment>, Database.DatabaseError>
  readonly search: (search: SearchExperiments) => Effect.Effect<Page.Page<Experiment>, Failed>
}

/** A part of a search that is not understood, with where and why as the cause. */
export const refusedSearch =
  (field: "filter" | "orderBy") =>
  (cause: Filter.FilterError): RegistryError =>
    new RegistryError({ reason: "InvalidInput", field, message: cause.message, cause })

/** The position of a token that the same search gave. */
export const positionOf = (
  token: string | undefined,
  search: string,
): Effect.Effect<Position | undefined, RegistryError> => {
  if (token === undefined) return Effect.succeed(undefined)
  const [print, ...position] = Page.decodeToken(token) ?? []
  return print === search
    ? Effect.succeed(position)
    : Effect.fail(
        invalid("token", "Invalid page token, it is not one that this search gave: start again"),
      )
}

/** Most tags of one statement; SQLite takes 32766 parameters. */
const chunk = 1000

const source = (dialect: Database.Dialect): Source => ({
  attribute: (key) => {
    switch (key) {
      case "name":
        return { value: binary(sql.ref("registry_experiment.name"), dialect), number: false }
      case "creation_time":
        return { value: sql`(registry_experiment.created / 1000)`, number: true }
      case "last_update_time":
        return { value: updated, number: true }
      default:
        return { value: binary(sql.ref("registry_experiment.id"), dialect), number: false }
    }
  },
  keyed: ({ key }, holds) => sql<SqlBool>`exists (
    select 1 from registry_experiment_tag
    where registry_experiment_tag.experiment = registry_experiment.id
      and registry_experiment_tag.key = ${key} and ${holds(sql.ref("registry_experiment_tag.value"))}
  )`,
})

/** Rows from before there were updates have 0. */
const updated = sql`((case when registry_experiment.updated > registry_experiment.created
  then registry_experiment.updated else registry_experiment.created end) / 1000)`

const visible = (view: SearchExperiments["view"]): RawBuilder<SqlBool> => {
  if (view === "all") return sql<SqlBool>`(1 = 1)`
  return view === "deleted"
    ? sql<SqlBool>`(registry_experiment.deleted is not null)`
    : sql<SqlBool>`(registry_experiment.deleted is null)`
}

/** Reads the experiments of a store. */
export const make = ({ db, build }: Store): Reading => {
  const fields = source(db.dialect)

  const views = Effect.fnUntraced(function* (rows: ReadonlyArray<Row>) {
    const tags = new Map<string, Array<readonly [string, string]>>()
    for (let from = 0; from < rows.length; from += chunk) {
      const ids = rows.slice(from, from + chunk).map(({ id }) => id)
      const found = yield* db.all(
        build
          .selectFrom("registry_experiment_tag")
          .selectAll()
          .where("experiment", "in", ids)
          .orderBy("key"),
      )
      for (const { experiment, key, value } of found) {
        const known = tags.get(experiment)
        if (known === undefined) tags.set(experiment, [[key, value]])
        else known.push([key, value])
      }
    }
    return rows.map((row): Experiment => ({
      id: row.id,
      name: row.name,
      created: row.created,
      updated: Math.max(row.created, row.updated),
      artifactLocation: row.artifact_location ?? `mlflow-artifacts:/${row.id}`,
      ...(row.deleted === null ? {} : { deleted: row.deleted }),
      tags: Object.fromEntries(tags.get(row.id) ?? []),
    }))
  })

  const search = Effect.fnUntraced(function* (search: SearchExperiments) {
    const { filter = "", orderBy = [], view = "active", token } = search
    const limit = Math.min(Math.max(search.limit ?? 100, 1), 50_000)
    const parsed = yield* Effect.mapError(
      Filter.parse(filter, { entity: "experiments" }),
      refusedSearch("filter"),
    )
    const orders = yield* Effect.mapError(
      Filter.parseOrderBy(
        orderBy.length === 0 ? ["creation_time DESC", "experiment_id ASC"] : orderBy,
        { entity: "experiments" },
      ),
      refusedSearch("orderBy"),
    )
    const keys = orders.map(({ field, direction }): SortKey => ({
      value: fields.attribute(field.key).value,
      direction,
      nullable: false,
    }))
    const print = fingerprint([parsed, orders, view])
    const position = yield* positionOf(token, print)
    const rows = yield* db.all(
      build
        .selectFrom("registry_experiment")
        .selectAll()
        .select(keys.map(({ value }, i) => sql<string | number>`${value}`.as(`key${i}`)))
        .where(visible(view))
        .where(where(parsed, fields, db.dialect))
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
        : { next: Page.encodeToken([print, ...keys.map((_, i) => keyOf(last[`key${i}`]))]) }),
    }
  })

  return { views, search }
}

const keyOf = (value: unknown): string | number | null =>
  typeof value === "string" || typeof value === "number" ? value : null
