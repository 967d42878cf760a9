import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Request from "./request.ts"
import * as Validate from "./validate.ts"

const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

const DatasetInput = Schema.Struct({
  tags: Schema.optionalKey(Request.Pairs),
  dataset: Schema.Struct({
    name: Schema.NonEmptyString,
    digest: Schema.NonEmptyString,
    source_type: Schema.optionalKey(Schema.String),
    source: Schema.optionalKey(Schema.String),
    schema: Schema.optionalKey(Schema.String),
    profile: Schema.optionalKey(Schema.String),
  }),
})

const datasetOf = ({ tags, dataset }: typeof DatasetInput.Type) => ({
  name: dataset.name,
  digest: dataset.digest,
  sourceType: dataset.source_type ?? "",
  source: dataset.source ?? "",
  ...(dataset.schema === undefined ? {} : { schema: dataset.schema }),
  ...(dataset.profile === undefined ? {} : { profile: dataset.profile }),
  tags: Request.recordOf(tags),
})

const loggedModels = "mlflow.log-model.history"
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** JSON as Python writes it, so that a tag reads the same whichever server wrote it. */
const python = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`
  if (!isObject(value)) return Validate.json(value)
  const members = Object.entries(value).map(
    ([key, item]) => `${Validate.json(key)}: ${python(item)}`,
  )
  return `{${members.join(", ")}}`
}

const mandatory = ["artifact_path", "flavors", "utc_time_created", "run_id"] as const
/** What of a model's description its run's tag keeps. */
const kept = ["run_id", "artifact_path", "utc_time_created", "model_uuid"] as const

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A model's description without the configuration of its flavors. */
const summaryOf = (model: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> => {
  const { flavors } = model
  return {
    ...Object.fromEntries(kept.map((key) => [key, model[key] ?? null])),
    flavors: isObject(flavors)
      ? Object.fromEntries(
          Object.entries(flavors).map(([name, flavor]) => {
            if (!isObject(flavor)) return [name, flavor]
            const { config: _, ...rest } = flavor
            return [name, rest]
          }),
        )
      : {},
  }
}

/** What runs read and write besides metrics, over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/runs/log-inputs",
    "write",
    Schema.Struct({
      ...RunId.fields,
      datasets: Schema.optionalKey(Schema.Array(DatasetInput)),
      models: Schema.optionalKey(Schema.Array(Schema.Struct({ model_id: Schema.NonEmptyString }))),
    }),
    Effect.fnUntraced(function* ({ run_id, datasets = [], models = [] }) {
      const wrong = Validate.run(run_id)
      if (wrong !== undefined) return yield* wrong
      const runs = yield* Runs
      yield* runs.logInputs(run_id, {
        datasets: datasets.map(datasetOf),
        models: models.map(({ model_id }) => model_id),
      })
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/outputs",
    "write",
    Schema.Struct({
      ...RunId.fields,
      models: Schema.Array(
        Schema.Struct({
          model_id: Schema.NonEmptyString,
          step: Schema.optionalKey(Request.Int64),
        }),
      ),
    }),
    Effect.fnUntraced(function* ({ run_id, models }) {
      const runs = yield* Runs
      yield* runs.logOutputs(
        run_id,
        models.map(({ model_id, step }) => ({ modelId: model_id, step: Number(step ?? 0) })),
      )
      return {}
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/log-model",
    "write",
    Schema.Struct({ ...RunId.fields, model_json: Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ run_id, model_json }) {
      const model = parsed(model_json)
      if (!isObject(model)) {
        return yield* invalid(
          "model_json",
          `Malformed model info. \n ${model_json.slice(0, 1000)} \n is not a valid JSON.`,
        )
      }
      const missing = mandatory.filter((field) => !Object.hasOwn(model, field))
      if (missing.length > 0) {
        return yield* invalid(
          "model_json",
          `Model json is missing mandatory fields: {${missing.map(Validate.shown).join(", ")}}`,
        )
      }
      const runs = yield* Runs
      yield* runs.amendTag(run_id, loggedModels, (before) => {
        const known = before === undefined ? [] : parsed(before)
        return python([...(Array.isArray(known) ? known : []), summaryOf(model)])
      })
      return {}
    }),
  ),
]
