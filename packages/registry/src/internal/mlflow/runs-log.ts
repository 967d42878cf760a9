import type { RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Request from "./request.ts"

const runName = "mlflow.runName"
const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

const Metric = Schema.Struct({
  key: Schema.NonEmptyString,
  value: Request.Double,
  timestamp: Request.Int64,
  step: Schema.optionalKey(Request.Int64),
})

/** MLflow keeps infinities as the greatest double. */
const clipped = (value: number): number =>
  Number.isNaN(value) ? value : Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value))

const metricOf = ({ key, value, timestamp, step }: typeof Metric.Type): RunTracker.Metric => ({
  key,
  value: clipped(Number(value)),
  time: Number(timestamp) * 1000,
  step: Number(step ?? 0),
})

/** MLflow takes data of a run in any status. */
const log = Effect.fnUntraced(function* (runId: string, batch: RunTracker.RunBatch) {
  const runs = yield* Runs
  yield* runs.log(runId, batch, { ended: "allow" })
  // This tag is the run's name.
  const name = batch.tags?.[runName]
  if (name !== undefined) yield* runs.update(runId, { name })
  return {}
})

const limits = { metrics: 1000, params: 100, tags: 100 } as const

const checkBatch = Effect.fnUntraced(function* (batch: {
  readonly metrics: ReadonlyArray<unknown>
  readonly params: ReadonlyArray<{ readonly key: string }>
  readonly tags: ReadonlyArray<unknown>
}) {
  for (const part of ["metrics", "params", "tags"] as const) {
    const count = batch[part].length
    if (count <= limits[part]) continue
    return yield* invalid(
      part,
      `A batch logging request can contain at most ${limits[part]} ${part}. Got ${count} ${part}. Please split up ${part} across multiple requests and try again.`,
    )
  }
  const total = batch.metrics.length + batch.params.length + batch.tags.length
  if (total > 1000) {
    return yield* invalid(
      "metrics",
      `A batch logging request can contain at most 1000 metrics, params and tags together. Got ${total}. Please split them across multiple requests and try again.`,
    )
  }
  const keys = new Set(batch.params.map(({ key }) => key))
  if (keys.size === batch.params.length) return
  return yield* invalid(
    "params",
    "Duplicate parameter keys have been submitted. Please ensure the request contains only one param value per param key.",
  )
})

/** What runs log, over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/runs/log-metric",
    "write",
    Schema.Struct({ ...RunId.fields, ...Metric.fields }),
    ({ run_id, ...metric }) => log(run_id, { metrics: [metricOf(metric)] }),
  ),
  endpoint(
    ["POST"],
    "/runs/log-parameter",
    "write",
    Schema.Struct({
      ...RunId.fields,
      key: Schema.NonEmptyString,
      value: Schema.optionalKey(Schema.String),
    }),
    ({ run_id, key, value = "" }) =>
      log(run_id, { params: Request.recordOf([{ key, value }], 6000) }),
  ),
  endpoint(
    ["POST"],
    "/runs/set-tag",
    "write",
    Schema.Struct({
      ...RunId.fields,
      key: Schema.NonEmptyString,
      value: Schema.optionalKey(Schema.String),
    }),
    ({ run_id, key, value = "" }) =>
      log(run_id, { tags: Request.recordOf([{ key, value }], 8000) }),
  ),
  endpoint(
    ["POST"],
    "/runs/log-batch",
    "write",
    Schema.Struct({
      ...RunId.fields,
      metrics: Schema.optionalKey(Schema.Array(Metric)),
      params: Schema.optionalKey(Request.Pairs),
      tags: Schema.optionalKey(Request.Pairs),
    }),
    Effect.fnUntraced(function* ({ run_id, metrics = [], params = [], tags = [] }) {
      yield* checkBatch({ metrics, params, tags })
      return yield* log(run_id, {
        metrics: metrics.map(metricOf),
        params: Request.recordOf(params, 6000),
        tags: Request.recordOf(tags, 8000),
      })
    }),
  ),
]
