import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Experiments } from "../../Experiments.ts"
import { invalid } from "../../RegistryError.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

const maxExperiments = 20

/** Datasets of experiments over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/experiments/search-datasets",
    "read",
    Schema.Struct({ experiment_ids: Schema.optionalKey(Schema.Array(Request.Id)) }),
    Effect.fnUntraced(function* ({ experiment_ids: ids = [] }) {
      if (ids.length === 0) {
        return yield* invalid(
          "experiment_ids",
          "SearchDatasets request must specify at least one experiment_id.",
        )
      }
      if (ids.length > maxExperiments) {
        return yield* invalid(
          "experiment_ids",
          `SearchDatasets request cannot specify more than ${maxExperiments} experiment_ids. Received ${ids.length} experiment_ids.`,
        )
      }
      const experiments = yield* Experiments
      const found = yield* experiments.datasets(ids.map(String))
      return Render.page(
        "dataset_summaries",
        found.map(({ experimentId, ...rest }) => ({ experiment_id: experimentId, ...rest })),
        undefined,
      )
    }),
  ),
]
