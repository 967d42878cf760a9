import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type { LoadedModel } from "./LoadedModel.ts"
import type { Statistics } from "./Queue.ts"

const failures = Metric.counter("nv_inference_request_failure", {
  description: "Number of failed inference requests",
})

const byStatistic: ReadonlyArray<readonly [keyof Statistics, Metric.Counter<number>]> = [
  ["requests", "nv_inference_request_success", "Number of successful inference requests"],
  ["rows", "nv_inference_count", "Number of inferences performed: rows, not requests"],
  ["runs", "nv_inference_exec_count", "Number of model executions: batches"],
  ["requestMicros", "nv_inference_request_duration_us", "Cumulative time in requests"],
  ["queueMicros", "nv_inference_queue_duration_us", "Cumulative time requests waited"],
  ["computeMicros", "nv_inference_compute_infer_duration_us", "Cumulative time in the model"],
].map(([key, name, description]) => [
  key as keyof Statistics,
  Metric.counter(name ?? "", { description: description ?? "" }),
])

const failuresBy: ReadonlyArray<readonly [keyof Statistics, string]> = [
  ["rejected", "REJECTED"],
  ["cancelled", "CANCELED"],
  ["backendFailures", "BACKEND"],
]

const pending = Metric.gauge("nv_inference_pending_request_count", {
  description: "Requests that wait or run",
})

const ignore = (): void => {}

/**
 * Shows a loaded version's totals under Triton's metric names. They are read when somebody asks,
 * so that a request pays nothing for them. Returns what takes them away again.
 */
export const register = (
  { model, statistics, depth }: LoadedModel,
  context: Context.Context<never>,
): (() => void) => {
  const labels = { model: model.name, version: String(model.version) }
  const counters = [
    ...byStatistic.map(([key, metric]) => ({ key, metric, labels })),
    ...failuresBy.map(([key, reason]) => ({
      key,
      metric: failures,
      labels: { ...labels, reason },
    })),
  ]
  const registrations = counters.map(({ key, metric, labels: own }) =>
    Metric.registerUnsafe(Metric.withAttributes(metric, own), context, {
      get: () => ({ count: Math.round(statistics[key]), incremental: true }),
      update: ignore,
      modify: ignore,
    }),
  )
  registrations.push(
    Metric.registerUnsafe(Metric.withAttributes(pending, labels), context, {
      get: () => ({ value: depth() }),
      update: ignore,
      modify: ignore,
    }),
  )
  return () => {
    for (const registration of registrations) registration.remove()
  }
}
