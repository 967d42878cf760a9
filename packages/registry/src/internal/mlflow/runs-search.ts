import { Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

const byTime = (
  a: { readonly time: number; readonly step: number; readonly value: number },
  b: typeof a,
): number => a.time - b.time || a.step - b.step || a.value - b.value

/** Searches of runs and histories of metrics over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/runs/search",
    "read",
    Schema.Struct({
      experiment_ids: Schema.optionalKey(Schema.Array(Request.Id)),
      filter: Schema.optionalKey(Schema.String),
      run_view_type: Schema.optionalKey(Request.ViewType),
      max_results: Schema.optionalKey(Request.Int64),
      order_by: Schema.optionalKey(Schema.Array(Schema.String)),
      page_token: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* (input) {
      const limit = yield* Request.maxResults(input.max_results, 1000, 50_000)
      const runs = yield* Runs
      const { items, next } = yield* runs.search((input.experiment_ids ?? []).map(String), {
        limit,
        view: Request.viewOf(input.run_view_type),
        ...(input.filter === undefined ? {} : { filter: input.filter }),
        ...(input.order_by === undefined ? {} : { orderBy: input.order_by }),
        ...Request.tokenOf(input),
      })
      const links = yield* runs.links(items.map(({ runId }) => runId))
      return Render.page(
        "runs",
        items.map((run) => Render.run(run, links)),
        next,
      )
    }),
  ),
  endpoint(
    ["GET"],
    "/metrics/get-history",
    "read",
    Schema.Struct({
      ...RunId.fields,
      metric_key: Schema.NonEmptyString,
      page_token: Schema.optionalKey(Schema.String),
      max_results: Schema.optionalKey(Request.Int64),
    }),
    Effect.fnUntraced(function* (input) {
      const runs = yield* Runs
      yield* runs.get(input.run_id)
      const points = yield* runs.history(input.run_id, input.metric_key)
      const [from] =
        (input.page_token ?? "") === "" ? [0] : (Page.decodeToken(input.page_token ?? "") ?? [])
      if (typeof from !== "number" || from < 0) {
        return yield* invalid(
          "page_token",
          "the page token is not one this service gave: start again",
        )
      }
      const limit =
        input.max_results === undefined
          ? points.length
          : yield* Request.maxResults(input.max_results, 25_000, 25_000)
      const to = from + limit
      const rows = points.toSorted(byTime).slice(from, to)
      return Render.page(
        "metrics",
        rows.map((point) => Render.metric(input.metric_key, point)),
        to < points.length ? Page.encodeToken([to]) : undefined,
      )
    }),
  ),
]
