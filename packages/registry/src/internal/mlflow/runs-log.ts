import type { RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, RegistryError } from "../../RegistryError.ts"
import { type ModelMetric, Runs } from "../../Runs.ts"
import { type Call, type Endpoint, endpoint } from "./endpoint.ts"
import * as Batch from "./runs-batch.ts"
import * as Validate from "./validate.ts"

const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

/** MLflow takes data of a run in any status. */
const log = Effect.fnUntraced(function* (
  runId: string,
  batch: RunTracker.RunBatch,
  models: ReadonlyArray<ModelMetric> = [],
) {
  const runs = yield* Runs
  yield* runs.log(runId, batch, { ended: "allow", models })
  return {}
})

type Metric = typeof Batch.Metric.Type

/** Metrics that name a logged model are its own, too. */
const ofModels = (runId: string, metrics: ReadonlyArray<Metric>): ReadonlyArray<ModelMetric> =>
  metrics.flatMap((metric) => {
    const { model_id: modelId = "", dataset_name = "", dataset_digest = "" } = metric
    if (modelId === "") return []
    const { key, value, time = 0, step = 0 } = Batch.metricOf(metric)
    return [
      {
        modelId,
        runId,
        key,
        value,
        time,
        step,
        ...(dataset_name === "" ? {} : { datasetName: dataset_name }),
        ...(dataset_digest === "" ? {} : { datasetDigest: dataset_digest }),
      },
    ]
  })

const logBatch = Effect.fnUntraced(function* (
  { run_id, metrics = [], params = [], tags = [] }: typeof Batch.Batch.Type,
  call: Call,
) {
  let named = false
  for (const [index, metric] of metrics.entries()) {
    const wrong = Batch.wrongMetric(metric, `metrics[${index}]`)
    if (wrong !== undefined) return yield* wrong
    if (metric.model_id !== undefined) named = true
  }
  const paramRecord = Batch.recordOf("params", params, call)
  if (paramRecord instanceof RegistryError) return yield* paramRecord
  const tagRecord = Batch.recordOf("tags", tags, call)
  if (tagRecord instanceof RegistryError) return yield* tagRecord
  const wrong = Validate.run(run_id) ?? Batch.wrongBatch(metrics.length, params, tags.length)
  if (wrong !== undefined) return yield* wrong
  return yield* log(
    run_id,
    {
      ...(metrics.length === 0 ? {} : { metrics: metrics.map(Batch.metricOf) }),
      ...(params.length === 0 ? {} : { params: paramRecord }),
      ...(tags.length === 0 ? {} : { tags: tagRecord }),
    },
    named ? ofModels(run_id, metrics) : [],
  )
})

const anyBatch = endpoint(["POST"], "/runs/log-batch", "write", Batch.Batch, logBatch)

const Pair = Schema.Struct({
  ...RunId.fields,
  key: Schema.NonEmptyString,
  value: Schema.optionalKey(Schema.String),
})

const changed = (runId: string, key: string, value: string) =>
  Effect.fnUntraced(function* (error: RegistryError) {
    if (!error.message.startsWith("Changing param values")) return yield* error
    const runs = yield* Runs
    const run = yield* runs.get(runId)
    return yield* invalid(
      `params.${key}`,
      `Changing param values is not allowed. Param with key='${key}' was already logged with value='${run.params[key] ?? ""}' for run ID='${runId}'. Attempted logging new value '${value}'.`,
    )
  })

/** What runs log, over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/runs/log-metric",
    "write",
    Schema.Struct({ ...RunId.fields, ...Batch.Metric.fields }),
    Effect.fnUntraced(function* ({ run_id, ...metric }) {
      const wrong = Batch.wrongMetric(metric, "")
      if (wrong !== undefined) return yield* wrong
      return yield* log(run_id, { metrics: [Batch.metricOf(metric)] }, ofModels(run_id, [metric]))
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/log-parameter",
    "write",
    Pair,
    Effect.fnUntraced(function* ({ run_id, ...pair }, call) {
      const params = Batch.recordOf("params", [pair], call, () => "")
      if (params instanceof RegistryError) return yield* params
      return yield* Effect.catch(
        log(run_id, { params }),
        changed(run_id, pair.key, params[pair.key] ?? ""),
      )
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/set-tag",
    "write",
    Pair,
    Effect.fnUntraced(function* ({ run_id, ...pair }, call) {
      const tags = Batch.recordOf("tags", [pair], call, () => "")
      if (tags instanceof RegistryError) return yield* tags
      return yield* log(run_id, { tags })
    }),
  ),
  {
    ...anyBatch,
    run: (raw, call) => {
      const plain = Batch.plainBatch(raw)
      return plain === undefined ? anyBatch.run(raw, call) : logBatch(plain, call)
    },
  },
]
