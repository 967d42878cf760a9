import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { LoggedModels, type LoggedModelStatus } from "../../LoggedModels.ts"
import { invalid } from "../../RegistryError.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

const ById = Schema.Struct({ model_id: Schema.NonEmptyString })

const statuses: Readonly<Record<string, LoggedModelStatus>> = {
  LOGGED_MODEL_STATUS_UNSPECIFIED: "UNSPECIFIED",
  LOGGED_MODEL_PENDING: "PENDING",
  LOGGED_MODEL_READY: "READY",
  LOGGED_MODEL_UPLOAD_FAILED: "FAILED",
  "0": "UNSPECIFIED",
  "1": "PENDING",
  "2": "READY",
  "3": "FAILED",
}

const Order = Schema.Struct({
  field_name: Schema.NonEmptyString,
  ascending: Schema.optionalKey(Schema.Boolean),
  dataset_name: Schema.optionalKey(Schema.String),
  dataset_digest: Schema.optionalKey(Schema.String),
})

const Dataset = Schema.Struct({
  dataset_name: Schema.optionalKey(Schema.String),
  dataset_digest: Schema.optionalKey(Schema.String),
})

const orderOf = (order: typeof Order.Type) => ({
  field: order.field_name,
  direction: (order.ascending ?? true) ? ("asc" as const) : ("desc" as const),
  dataset: {
    ...((order.dataset_name ?? "") === "" ? {} : { name: order.dataset_name ?? "" }),
    ...((order.dataset_digest ?? "") === "" ? {} : { digest: order.dataset_digest ?? "" }),
  },
})

/** Logged models over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/logged-models/search",
    "read",
    Schema.Struct({
      experiment_ids: Schema.Array(Request.Id),
      filter: Schema.optionalKey(Schema.String),
      datasets: Schema.optionalKey(Schema.Array(Dataset)),
      max_results: Schema.optionalKey(Request.Int64),
      order_by: Schema.optionalKey(Schema.Array(Order)),
      page_token: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* (input) {
      const datasets = input.datasets ?? []
      if (datasets.some(({ dataset_name = "" }) => dataset_name === "")) {
        return yield* invalid(
          "datasets",
          "`dataset_name` in the `datasets` clause must be specified.",
        )
      }
      const given = Number(input.max_results ?? 0)
      const limit = given === 0 ? 50 : yield* Request.maxResults(given, 50, 50_000)
      const models = yield* LoggedModels
      const { items, next } = yield* models.search(input.experiment_ids.map(String), {
        limit,
        filter: input.filter ?? "",
        datasets: datasets.map(({ dataset_name = "", dataset_digest = "" }) => ({
          name: dataset_name,
          ...(dataset_digest === "" ? {} : { digest: dataset_digest }),
        })),
        orderBy: (input.order_by ?? []).map(orderOf),
        ...Request.tokenOf(input),
      })
      return Render.page("models", items.map(Render.loggedModel), next)
    }),
  ),
  endpoint(
    ["POST"],
    "/logged-models",
    "write",
    Schema.Struct({
      experiment_id: Request.Id,
      name: Schema.optionalKey(Schema.String),
      model_type: Schema.optionalKey(Schema.String),
      source_run_id: Schema.optionalKey(Schema.String),
      params: Schema.optionalKey(Request.Pairs),
      tags: Schema.optionalKey(Request.Pairs),
    }),
    Effect.fnUntraced(function* (input) {
      const models = yield* LoggedModels
      const model = yield* models.create({
        experimentId: String(input.experiment_id),
        modelType: input.model_type ?? "",
        sourceRunId: input.source_run_id ?? "",
        params: Request.recordOf(input.params),
        tags: Request.recordOf(input.tags),
        ...((input.name ?? "") === "" ? {} : { name: input.name ?? "" }),
      })
      return { model: Render.loggedModel(model) }
    }),
  ),
  endpoint(
    ["GET"],
    "/logged-models/:model_id",
    "read",
    Schema.Struct({ ...ById.fields, allow_deleted: Schema.optionalKey(Schema.String) }),
    Effect.fnUntraced(function* ({ model_id, allow_deleted = "" }) {
      const models = yield* LoggedModels
      const deleted = allow_deleted.toLowerCase() === "true" ? "allow" : "refuse"
      return { model: Render.loggedModel(yield* models.get(model_id, { deleted })) }
    }),
  ),
  endpoint(
    ["DELETE"],
    "/logged-models/:model_id",
    "write",
    ById,
    Effect.fnUntraced(function* ({ model_id }) {
      const models = yield* LoggedModels
      yield* models.remove(model_id)
      return {}
    }),
  ),
  endpoint(
    ["PATCH"],
    "/logged-models/:model_id",
    "write",
    Schema.Struct({
      ...ById.fields,
      status: Schema.Union([Schema.Literals(Object.keys(statuses)), Schema.Int]),
    }),
    Effect.fnUntraced(function* ({ model_id, status: given }) {
      const status = statuses[String(given)]
      if (status === undefined) {
        return yield* invalid("status", `Unknown model status: ${String(given)}`)
      }
      const models = yield* LoggedModels
      return { model: Render.loggedModel(yield* models.finalize(model_id, status)) }
    }),
  ),
  endpoint(
    ["PATCH"],
    "/logged-models/:model_id/tags",
    "write",
    Schema.Struct({ ...ById.fields, tags: Schema.optionalKey(Request.Pairs) }),
    Effect.fnUntraced(function* ({ model_id, tags }) {
      const models = yield* LoggedModels
      yield* models.setTags(model_id, Request.recordOf(tags))
      return {}
    }),
  ),
  endpoint(
    ["DELETE"],
    "/logged-models/:model_id/tags/*",
    "write",
    Schema.Struct({ ...ById.fields, "*": Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ model_id, "*": key }) {
      const models = yield* LoggedModels
      yield* models.deleteTag(model_id, key)
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/logged-models/:model_id/params",
    "write",
    Schema.Struct({ ...ById.fields, params: Schema.optionalKey(Request.Pairs) }),
    Effect.fnUntraced(function* ({ model_id, params }) {
      const models = yield* LoggedModels
      yield* models.logParams(model_id, Request.recordOf(params))
      return {}
    }),
  ),
]
