import type { Timestamp } from "@ashlar/core"
import type { Experiment } from "../../Experiments.ts"
import type { VersionInfo } from "../../Models.ts"
import type { MetricPoint, RunRecord } from "../runs-read.ts"
import type { ModelInfo } from "../registered.ts"

type Json = Readonly<Record<string, unknown>>

/** Microseconds as MLflow's milliseconds. */
export const millis = (time: Timestamp.Timestamp): number => Math.floor(time / 1000)

/** JSON has no such numbers, so the protocol spells them. */
const double = (value: number): number | string => (Number.isFinite(value) ? value : String(value))

const pairs = (record: Readonly<Record<string, string>>) =>
  Object.entries(record).map(([key, value]) => ({ key, value }))

/** Empty lists are left out, as protocol buffers do. */
const list = <A>(name: string, items: ReadonlyArray<A>): Json =>
  items.length === 0 ? {} : { [name]: items }

/** A page of a list. */
export const page = <A>(name: string, items: ReadonlyArray<A>, next: string | undefined): Json => ({
  ...list(name, items),
  ...(next === undefined ? {} : { next_page_token: next }),
})

/** An `Experiment`. */
export const experiment = ({ id, name, created, updated, tags }: Experiment): Json => ({
  experiment_id: id,
  name,
  artifact_location: `mlflow-artifacts:/${id}`,
  lifecycle_stage: "active",
  last_update_time: millis(updated),
  creation_time: millis(created),
  ...list("tags", pairs(tags)),
})

/** Where a run's artifacts are. */
export const artifactUri = (run: RunRecord): string =>
  `mlflow-artifacts:/${run.experimentId}/${run.runId}/artifacts`

/** A `Metric`. */
export const metric = (key: string, { step, time, value }: MetricPoint): Json => ({
  key,
  value: double(value),
  timestamp: millis(time),
  step,
})

/** A `RunInfo`. */
export const runInfo = (run: RunRecord): Json => ({
  run_id: run.runId,
  run_uuid: run.runId,
  run_name: run.name,
  experiment_id: run.experimentId,
  user_id: run.user,
  status: run.status,
  start_time: millis(run.started),
  ...(run.ended === undefined ? {} : { end_time: millis(run.ended) }),
  artifact_uri: artifactUri(run),
  lifecycle_stage: "active",
})

/** A `Run`. */
export const run = (record: RunRecord): Json => ({
  info: runInfo(record),
  data: {
    ...list(
      "metrics",
      Object.entries(record.latest).map(([key, point]) => metric(key, point)),
    ),
    ...list("params", pairs(record.params)),
    ...list("tags", pairs({ ...record.tags, "mlflow.runName": record.name })),
  },
})

/** A `ModelVersion`. */
export const modelVersion = (version: VersionInfo): Json => ({
  name: version.name,
  version: String(version.version),
  creation_timestamp: millis(version.created),
  last_updated_timestamp: millis(version.created),
  current_stage: "None",
  description: version.description,
  source: `mlflow-artifacts:/registered-models/${version.name}/${version.version}`,
  run_id: version.runId ?? "",
  status: "READY",
  ...list("tags", pairs(version.tags)),
  ...list("aliases", version.aliases),
})

/** A `RegisteredModel`. */
export const registeredModel = (model: ModelInfo, latest: VersionInfo | undefined): Json => ({
  name: model.name,
  creation_timestamp: millis(model.created),
  last_updated_timestamp: millis(model.updated),
  description: model.description,
  ...list("latest_versions", latest === undefined ? [] : [modelVersion(latest)]),
  ...list("tags", pairs(model.tags)),
  ...list(
    "aliases",
    Object.entries(model.aliases).map(([alias, version]) => ({ alias, version: String(version) })),
  ),
})
