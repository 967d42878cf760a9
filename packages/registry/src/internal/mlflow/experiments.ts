import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Experiments } from "../../Experiments.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

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
      if (artifact_location !== "") {
        return yield* Request.unsupported("artifact_location", "a place of your own for artifacts")
      }
      const experiments = yield* Experiments
      const { id } = yield* experiments.create({ name, tags: Request.recordOf(tags, 5000) })
      return { experiment_id: id }
    }),
  ),
  endpoint(
    ["GET"],
    "/experiments/get",
    "read",
    Schema.Struct({ experiment_id: Request.Id }),
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
  endpoint(
    ["GET", "POST"],
    "/experiments/search",
    "read",
    Schema.Struct({
      max_results: Schema.optionalKey(Request.Int64),
      page_token: Schema.optionalKey(Schema.String),
      filter: Schema.optionalKey(Schema.String),
      order_by: Schema.optionalKey(Request.Texts),
      view_type: Schema.optionalKey(Schema.Literals(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"])),
    }),
    Effect.fnUntraced(function* (input) {
      const limit = yield* Request.maxResults(input.max_results, 1000, 50_000)
      if ((input.filter ?? "") !== "")
        return yield* Request.unsupported("filter", "search by filter")
      if ((input.order_by ?? "").length > 0) {
        return yield* Request.unsupported("order_by", "another order")
      }
      // Nothing is ever deleted here.
      if (input.view_type === "DELETED_ONLY") return {}
      const experiments = yield* Experiments
      const { items, next } = yield* experiments.list({ limit, ...Request.tokenOf(input) })
      return Render.page("experiments", items.map(Render.experiment), next)
    }),
  ),
]
