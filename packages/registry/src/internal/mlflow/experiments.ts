import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Experiments } from "../../Experiments.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

const ById = Schema.Struct({ experiment_id: Request.Id })
const Search = Schema.Struct({
  view_type: Schema.optionalKey(Request.ViewType),
  max_results: Schema.optionalKey(Request.Int64),
  order_by: Schema.optionalKey(Request.Texts),
  filter: Schema.optionalKey(Schema.String),
  page_token: Schema.optionalKey(Schema.String),
})

const search = Effect.fnUntraced(function* (input: typeof Search.Type) {
  const limit = yield* Request.maxResults(input.max_results, 1000, 50_000)
  const experiments = yield* Experiments
  const { items, next } = yield* experiments.list({
    limit,
    view: Request.viewOf(input.view_type),
    filter: input.filter ?? "",
    orderBy: Request.textsOf(input.order_by),
    ...Request.tokenOf(input),
  })
  return Render.page("experiments", items.map(Render.experiment), next)
})

/** Experiments over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/experiments/create",
    "write",
    Schema.Struct({
      name: Schema.NonEmptyString,
      artifact_location: Schema.optionalKey(Schema.String),
      tags: Schema.optionalKey(Request.Pairs),
    }),
    Effect.fnUntraced(function* ({ name, artifact_location = "", tags }) {
      const experiments = yield* Experiments
      const { id } = yield* experiments.create({
        name,
        artifactLocation: artifact_location,
        tags: Request.recordOf(tags),
      })
      return { experiment_id: id }
    }),
  ),
  endpoint(
    ["GET"],
    "/experiments/get",
    "read",
    ById,
    Effect.fnUntraced(function* ({ experiment_id }) {
      const experiments = yield* Experiments
      return { experiment: Render.experiment(yield* experiments.get(String(experiment_id))) }
    }),
  ),
  endpoint(
    ["GET"],
    "/experiments/get-by-name",
    "read",
    Schema.Struct({ experiment_name: Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ experiment_name }) {
      const experiments = yield* Experiments
      return { experiment: Render.experiment(yield* experiments.getByName(experiment_name)) }
    }),
  ),
  endpoint(["GET", "POST"], "/experiments/search", "read", Search, search),
  // MLflow 3 has no such path, but older clients ask it.
  endpoint(["GET"], "/experiments/list", "read", Search, search),
  endpoint(
    ["POST"],
    "/experiments/delete",
    "write",
    ById,
    Effect.fnUntraced(function* ({ experiment_id }) {
      const experiments = yield* Experiments
      yield* experiments.remove(String(experiment_id))
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/experiments/restore",
    "write",
    ById,
    Effect.fnUntraced(function* ({ experiment_id }) {
      const experiments = yield* Experiments
      yield* experiments.restore(String(experiment_id))
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/experiments/update",
    "write",
    Schema.Struct({ ...ById.fields, new_name: Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ experiment_id, new_name }) {
      const experiments = yield* Experiments
      yield* experiments.rename(String(experiment_id), new_name)
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/experiments/set-experiment-tag",
    "write",
    Schema.Struct({
      ...ById.fields,
      key: Schema.NonEmptyString,
      value: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* ({ experiment_id, key, value = "" }) {
      const experiments = yield* Experiments
      yield* experiments.setTag(String(experiment_id), key, value)
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/experiments/delete-experiment-tag",
    "write",
    Schema.Struct({ ...ById.fields, key: Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ experiment_id, key }) {
      const experiments = yield* Experiments
      yield* experiments.deleteTag(String(experiment_id), key)
      return {}
    }),
  ),
]
