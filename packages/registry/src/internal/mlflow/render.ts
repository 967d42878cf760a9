import type { Timestamp } from "@ashlar/core"
import type { Experiment } from "../../Experiments.ts"
import type { LoggedModel, LoggedModelStatus } from "../../LoggedModels.ts"
import type { RunDataset, RunLinks } from "../run-inputs.ts"
import type { MetricPoint, RunRecord } from "../runs-read.ts"

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>

/** Microseconds as MLflow's milliseconds. */
export const millis = (time: Timestamp.Timestamp): number => Math.floor(time / 1000)

/** JSON has no such numbers, so the protocol spells them. */
const double = (value: number): number | string => (Number.isFinite(value) ? value : String(value))

/** Key and value of each. */
export const pairs = (record: Readonly<Record<string, string>>) =>
  Object.entries(record).map(([key, value]) => ({ key, value }))

/** Empty lists are left out, as protocol buffers do. */
export const list = <A>(name: string, items: ReadonlyArray<A>): Json =>
  items.length === 0 ? {} : { [name]: items }

/** A page of a list. */
export const page = <A>(name: string, items: ReadonlyArray<A>, next: string | undefined): Json => ({
  ...list(name, items),
  ...(next === undefined ? {} : { next_page_token: next }),
})

/** An `Experiment`. */
export const experiment = (given: Experiment): Json => ({
  experiment_id: given.id,
  name: given.name,
  artifact_location: given.artifactLocation,
  lifecycle_stage: stage(given),
  last_update_time: millis(given.updated),
  creation_time: millis(given.created),
  workspace: "default",
  ...list("tags", pairs(given.tags)),
})

const stage = ({ deleted }: { readonly deleted?: Timestamp.Timestamp }): string =>
  deleted === undefined ? "active" : "deleted"

/** Where a run's artifacts are. */
export const artifactUri = (run: RunRecord): string =>
  run.artifactUri ?? `mlflow-artifacts:/${run.experimentId}/${run.runId}/artifacts`

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
  lifecycle_stage: stage(run),
})

const dataset = ({ tags, ...given }: RunDataset): Json => ({
  ...list("tags", pairs(tags)),
  dataset: {
    name: given.name,
    digest: given.digest,
    source_type: given.sourceType,
    source: given.source,
    ...(given.schema === undefined ? {} : { schema: given.schema }),
    ...(given.profile === undefined ? {} : { profile: given.profile }),
  },
})

/** A `Run`. */
export const run = (record: RunRecord, links: ReadonlyMap<string, RunLinks>): Json => {
  const linked = links.get(record.runId)
  return {
    info: runInfo(record),
    data: {
      ...list(
        "metrics",
        Object.entries(record.latest).map(([key, point]) => metric(key, point)),
      ),
      ...list("params", pairs(record.params)),
      ...list("tags", pairs({ ...record.tags, "mlflow.runName": record.name })),
    },
    inputs: {
      ...list("dataset_inputs", (linked?.datasets ?? []).map(dataset)),
      ...list(
        "model_inputs",
        (linked?.modelInputs ?? []).map((id) => ({ model_id: id })),
      ),
    },
    outputs: list(
      "model_outputs",
      (linked?.modelOutputs ?? []).map(({ modelId, step }) => ({ model_id: modelId, step })),
    ),
  }
}

const statuses: Readonly<Record<LoggedModelStatus, string>> = {
  UNSPECIFIED: "LOGGED_MODEL_STATUS_UNSPECIFIED",
  PENDING: "LOGGED_MODEL_PENDING",
  READY: "LOGGED_MODEL_READY",
  FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}

/** A `LoggedModel`. */
export const loggedModel = (model: LoggedModel): Json => ({
  info: {
    model_id: model.modelId,
    experiment_id: model.experimentId,
    name: model.name,
    creation_timestamp_ms: millis(model.created),
    last_updated_timestamp_ms: millis(model.updated),
    artifact_uri: model.artifactUri,
    status: statuses[model.status],
    ...(model.modelType === undefined ? {} : { model_type: model.modelType }),
    ...(model.sourceRunId === undefined ? {} : { source_run_id: model.sourceRunId }),
    ...list("tags", pairs(model.tags)),
  },
  data: {
    ...list("params", pairs(model.params)),
    ...list(
      "metrics",
      model.metrics.map((given) => ({
        ...metric(given.key, given),
        model_id: model.modelId,
        run_id: given.runId,
        ...(given.datasetName === undefined ? {} : { dataset_name: given.datasetName }),
        ...(given.datasetDigest === undefined ? {} : { dataset_digest: given.datasetDigest }),
      })),
    ),
  },
})
