import { type Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Filter from "../Filter.ts"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { SearchRuns } from "../Runs.ts"
import * as Limits from "./limits.ts"
import type { RunRow } from "./migrations.ts"
import type { Reading, RunRecord } from "./runs-read.ts"
import { orderRuns, whereRuns } from "./search/plan.ts"
import type { Store } from "./store.ts"

type Runs = Effect.Effect<Page.Page<RunRecord>, Database.DatabaseError | RegistryError>

/** Reads runs page by page. */
export interface Paging {
  readonly list: (experiment: string, page: Page.PageRequest) => Runs
  readonly search: (experimentIds: ReadonlyArray<string>, search: SearchRuns) => Runs
}

/** Most values of one statement; SQLite takes 32766 parameters. */
const maxParameters = 32_000

/** A part of a search that is not understood, with where and why as the cause. */
const refused =
  (field: "filter" | "orderBy") =>
  (cause: Filter.FilterError): RegistryError =>
    new RegistryError({ reason: "InvalidInput", field, message: cause.message, cause })

/** How many runs the pages before a token had. An ordered search has no other position. */
const offsetOf = (token: string | undefined): Effect.Effect<number, RegistryError> => {
  if (token === undefined) return Effect.succeed(0)
  const [offset, ...rest] = Page.decodeToken(token) ?? []
  return typeof offset === "number" &&
    Number.isSafeInteger(offset) &&
    offset > 0 &&
    rest.length === 0
    ? Effect.succeed(offset)
    : Effect.fail(
        invalid("token", "the page token is not one this ordered search gave: start again"),
      )
}

/** Pages of a store's runs. */
export const make = ({ db, build }: Store, views: Reading["views"]): Paging => {
  const pageOf = Effect.fnUntraced(function* (rows: ReadonlyArray<RunRow>, limit: number) {
    const last = rows.at(-1)
    return {
      items: yield* views(rows),
      ...(rows.length === limit && last !== undefined
        ? { next: Page.encodeToken([last.started, last.id]) }
        : {}),
    }
  })

  return {
    list: Effect.fnUntraced(function* (experiment, page) {
      const limit = Math.min(Math.max(page.limit ?? 100, 1), 1000)
      const position = yield* Limits.token(page.token)
      const query = build
        .selectFrom("registry_run")
        .innerJoin("registry_experiment", "registry_experiment.id", "registry_run.experiment")
        .selectAll("registry_run")
        .where("registry_experiment.name", "=", experiment)
        .orderBy("registry_run.started", "desc")
        .orderBy("registry_run.id", "desc")
        .limit(limit)
      const rows = yield* db.all(
        position === undefined
          ? query
          : query.where((where) =>
              where.or([
                where("registry_run.started", "<", position.time),
                where.and([
                  where("registry_run.started", "=", position.time),
                  where("registry_run.id", "<", position.id),
                ]),
              ]),
            ),
      )
      return yield* pageOf(rows, limit)
    }),
    search: Effect.fnUntraced(function* (experimentIds, { filter = "", orderBy = [], ...page }) {
      const parsed = yield* Effect.mapError(
        Filter.parse(filter, { entity: "runs" }),
        refused("filter"),
      )
      const orders = yield* Effect.mapError(
        Filter.parseOrderBy(orderBy, { entity: "runs" }),
        refused("orderBy"),
      )
      const limit = Math.min(Math.max(page.limit ?? 1000, 1), 50_000)
      const ordered = orderBy.length > 0
      const offset = ordered ? yield* offsetOf(page.token) : 0
      const position = ordered ? undefined : yield* Limits.token(page.token)
      if (experimentIds.length === 0) return { items: [] }
      const found = build
        .selectFrom("registry_run")
        .selectAll("registry_run")
        .where("registry_run.experiment", "in", [...experimentIds])
        .where(whereRuns(parsed, db.dialect))
        .limit(limit)
      const latest = found.orderBy("registry_run.started", "desc").orderBy("registry_run.id")
      const query = ordered
        ? orderRuns(found, orders, db.dialect).offset(offset)
        : position === undefined
          ? latest
          : latest.where((where) =>
              where.or([
                where("registry_run.started", "<", position.time),
                where.and([
                  where("registry_run.started", "=", position.time),
                  where("registry_run.id", ">", position.id),
                ]),
              ]),
            )
      if (query.compile().parameters.length > maxParameters) {
        return yield* invalid(
          "filter",
          `the search names more than ${maxParameters} values: name fewer experiments or values of lists`,
        )
      }
      const rows = yield* db.all(query)
      if (!ordered) return yield* pageOf(rows, limit)
      return {
        items: yield* views(rows),
        ...(rows.length === limit ? { next: Page.encodeToken([offset + limit]) } : {}),
      }
    }),
  }
}
