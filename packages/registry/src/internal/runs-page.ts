import { type Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql, type SqlBool } from "kysely"
import * as Filter from "../Filter.ts"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { CountRuns, SearchRuns } from "../Runs.ts"
import * as Limits from "./limits.ts"
import type { RunRow } from "./migrations.ts"
import type { Reading, RunRecord } from "./runs-read.ts"
import { whereRuns } from "./search/plan.ts"
import { candidates, ofView } from "./search/plan-scope.ts"
import { type Found, sorted } from "./search/plan-sort.ts"
import * as Token from "./search/plan-token.ts"
import * as Walk from "./search/plan-walk.ts"
import * as Lists from "./series/lists.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError
type Runs = Effect.Effect<Page.Page<RunRecord>, Failure>

/** Reads runs page by page. */
export interface Paging {
  readonly list: (experiment: string, page: Page.PageRequest) => Runs
  readonly search: (experimentIds: ReadonlyArray<string>, search: SearchRuns) => Runs
  readonly count: (
    experimentIds: ReadonlyArray<string>,
    which: CountRuns,
  ) => Effect.Effect<number, Failure>
}

/** Most values of a condition; SQLite takes 32766 parameters. */
const maxValues = 30_000

/** A part of a search that is not understood, with where and why as the cause. */
const refused =
  (field: "filter" | "orderBy") =>
  (cause: Filter.FilterError): RegistryError =>
    new RegistryError({ reason: "InvalidInput", field, message: cause.message, cause })

/** A filter of runs. */
export const parsed = (filter: string): Effect.Effect<Filter.Filter, RegistryError> =>
  Effect.mapError(Filter.parse(filter, { entity: "runs" }), refused("filter"))

const isField = (order: Filter.Order | undefined, type: string, key: string): boolean =>
  order?.field.type === type && order.field.key === key

/** The index whose walk gives an order, ties included; undefined where there is none. */
const walkOf = (orders: ReadonlyArray<Filter.Order>) => {
  const [first, second, third] = orders
  if (first === undefined) return undefined
  if (isField(first, "attribute", "start_time")) {
    return isField(second, "attribute", "run_id") && second?.direction === "asc"
      ? ({ by: "start", direction: first.direction } as const)
      : undefined
  }
  const ties =
    isField(second, "attribute", "start_time") &&
    second?.direction === "desc" &&
    isField(third, "attribute", "run_id") &&
    third?.direction === "asc"
  return first.field.type === "metric" && ties
    ? ({ by: "metric", key: first.field.key, direction: first.direction } as const)
    : undefined
}

/** How many values a position has, whichever way its page was found. */
const positionLength = (orders: ReadonlyArray<Filter.Order>): number =>
  orders.reduce(
    (sum, { field }) => sum + (field.type === "attribute" && field.key !== "end_time" ? 1 : 2),
    0,
  )

/** Pages of a store's runs. */
export const make = ({ db, build }: Store, { views, rows: rowsOf }: Reading): Paging => {
  const pageOf = Effect.fnUntraced(function* (rows: ReadonlyArray<RunRow>, limit: number) {
    const last = rows.at(-1)
    return {
      items: yield* views(rows),
      ...(rows.length === limit && last !== undefined
        ? { next: Page.encodeToken([last.started, last.id]) }
        : {}),
    }
  })

  /** How many values a condition has, which are not too many. */
  const bounded = (condition: RawBuilder<SqlBool>): Effect.Effect<number, RegistryError> =>
    Effect.suspend(() => {
      const values = condition.compile(build).parameters.length
      return values <= maxValues
        ? Effect.succeed(values)
        : Effect.fail(
            invalid(
              "filter",
              `the filter has ${values} values: name at most ${maxValues} of them in its lists`,
            ),
          )
    })

  /** One run more than the page has, to know whether there is another page. */
  const find = Effect.fnUntraced(function* (
    asked: Token.Asked,
    filter: Filter.Filter,
    orders: ReadonlyArray<Filter.Order>,
    limit: number,
    after: Token.Position | undefined,
  ): Effect.fn.Return<ReadonlyArray<Found>, Failure> {
    const experiments = Lists.texts(asked.experiments, db.dialect)
    const condition = sql<SqlBool>`${ofView(viewOf(asked.view))} and ${whereRuns(filter.expression, db.dialect)}`
    const values = yield* bounded(condition)
    const few = yield* candidates(db, experiments, filter.expression)
    const walk = walkOf(orders)
    // Each walk has the whole condition.
    const walks = asked.experiments.length
    if (
      walk === undefined ||
      few !== undefined ||
      walks > Walk.maxWalks ||
      walks * values > maxValues
    ) {
      return yield* sorted(
        db,
        { experiments, condition, candidates: few, limit: limit + 1, after },
        orders,
      )
    }
    const scope = { experiments: asked.experiments, condition, limit: limit + 1, after }
    return walk.by === "start"
      ? yield* Walk.byStart(db, scope, walk.direction)
      : yield* Walk.byMetric(db, scope, walk.key, walk.direction)
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
        .where("registry_run.deleted", "is", null)
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
    search: Effect.fnUntraced(function* (experimentIds, options) {
      const { filter = "", orderBy = [], view = "active", fields, token } = options
      const read = yield* parsed(filter)
      const orders = yield* Effect.mapError(
        Filter.parseOrderBy(orderBy, { entity: "runs" }),
        refused("orderBy"),
      )
      const experiments = [...new Set(experimentIds)]
      const asked = { experiments, filter, orderBy, view }
      const after = yield* Token.decode(asked, token, positionLength(orders))
      const limit = Math.min(Math.max(options.limit ?? 1000, 1), 50_000)
      if (experiments.length === 0) return { items: [] }
      const found = yield* find(asked, read, orders, limit, after)
      const page = found.slice(0, limit)
      const last = page.at(-1)
      return {
        items: yield* views(yield* rowsOf(page.map(({ id }) => id)), fields),
        ...(found.length > limit && last !== undefined
          ? { next: Token.encode(asked, last.position) }
          : {}),
      }
    }),
    count: Effect.fnUntraced(function* (experimentIds, { filter = "", view = "active" }) {
      const { expression } = yield* parsed(filter)
      if (experimentIds.length === 0) return 0
      const experiments = Lists.texts(experimentIds, db.dialect)
      const condition = whereRuns(expression, db.dialect)
      yield* bounded(condition)
      const few = yield* candidates(db, experiments, expression)
      const chosen =
        few === undefined
          ? sql<SqlBool>`(1 = 1)`
          : Lists.among("registry_run.id", Lists.texts(few, db.dialect), "text", db.dialect)
      const counted = yield* db.first(
        sql<{ readonly count: number }>`select count(*) as count from registry_run
          where ${Lists.among("experiment", experiments, "text", db.dialect)} and ${chosen}
            and ${ofView(view)} and ${condition}`,
      )
      return Number(counted?.count ?? 0)
    }),
  }
}

const viewOf = (view: string) => (view === "deleted" || view === "all" ? view : "active")
