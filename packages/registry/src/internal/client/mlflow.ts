/** MLflow's JSON as the registry's records. */
import * as Schema from "effect/Schema"
import type { MetricPoint, RunInput, RunRecord } from "../../Runs.ts"

const Double = Schema.Union([Schema.Number, Schema.Literals(["NaN", "Infinity", "-Infinity"])])
/** protobuf's JSON spells 64-bit integers as text; MLflow's does not. */
const Int64 = Schema.Union([Schema.Number, Schema.String.check(Schema.isPattern(/^-?\d{1,19}$/))])

const Metric = Schema.Struct({
  key: Schema.String,
  value: Schema.optionalKey(Double),
  timestamp: Schema.optionalKey(Int64),
  step: Schema.optionalKey(Int64),
})
const Pairs = Schema.Array(
  Schema.Struct({ key: Schema.String, value: Schema.optionalKey(Schema.String) }),
)

const Status = Schema.Literals(["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"])

/** A `Run`. */
export const Run = Schema.Struct({
  info: Schema.Struct({
    run_id: Schema.NonEmptyString,
    run_name: Schema.optionalKey(Schema.String),
    experiment_id: Schema.String,
    user_id: Schema.optionalKey(Schema.String),
    status: Schema.optionalKey(Status),
    start_time: Schema.optionalKey(Int64),
    end_time: Schema.optionalKey(Int64),
    artifact_uri: Schema.optionalKey(Schema.String),
  }),
  data: Schema.optionalKey(
    Schema.Struct({
      metrics: Schema.optionalKey(Schema.Array(Metric)),
      params: Schema.optionalKey(Pairs),
      tags: Schema.optionalKey(Pairs),
    }),
  ),
  inputs: Schema.optionalKey(
    Schema.Struct({
      dataset_inputs: Schema.optionalKey(
        Schema.Array(
          Schema.Struct({
            tags: Schema.optionalKey(Pairs),
            dataset: Schema.Struct({
              name: Schema.String,
              digest: Schema.optionalKey(Schema.String),
              source: Schema.optionalKey(Schema.String),
            }),
          }),
        ),
      ),
    }),
  ),
})

/** Answers with a run. */
export const OneRun = Schema.Struct({ run: Run })

/** Answers with runs. */
export const Runs = Schema.Struct({
  runs: Schema.optionalKey(Schema.Array(Run)),
  next_page_token: Schema.optionalKey(Schema.String),
})

/** Answers with a metric's history. */
export const History = Schema.Struct({
  metrics: Schema.optionalKey(Schema.Array(Metric)),
  next_page_token: Schema.optionalKey(Schema.String),
})

/** Answers with files. */
export const Files = Schema.Struct({
  root_uri: Schema.optionalKey(Schema.String),
  files: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        path: Schema.NonEmptyString,
        is_dir: Schema.optionalKey(Schema.Boolean),
        file_size: Schema.optionalKey(Int64),
      }),
    ),
  ),
  next_page_token: Schema.optionalKey(Schema.String),
})

/** A point of a history. */
export const pointOf = ({
  value = 0,
  timestamp = 0,
  step = 0,
}: typeof Metric.Type): MetricPoint => ({
  value: Number(value),
  time: Number(timestamp) * 1000,
  step: Number(step),
})

const recordOf = (pairs: typeof Pairs.Type = []): Readonly<Record<string, string>> =>
  Object.fromEntries(pairs.map(({ key, value = "" }) => [key, value]))

/** A run. */
export const runOf = ({ info, data = {} }: typeof Run.Type): RunRecord => {
  const latest = Object.fromEntries(
    (data.metrics ?? []).map((metric) => [metric.key, pointOf(metric)] as const),
  )
  return {
    runId: info.run_id,
    experimentId: info.experiment_id,
    name: info.run_name ?? "",
    status: info.status ?? "RUNNING",
    started: Number(info.start_time ?? 0) * 1000,
    ...(info.end_time === undefined ? {} : { ended: Number(info.end_time) * 1000 }),
    user: info.user_id ?? "",
    params: recordOf(data.params),
    tags: recordOf(data.tags),
    metrics: Object.fromEntries(Object.entries(latest).map(([key, { value }]) => [key, value])),
    latest,
  }
}

/** MLflow's digests have 36 characters at most: ours is whole in the source. */
const Source = Schema.fromJsonString(
  Schema.Struct({
    uri: Schema.String,
    digest: Schema.optionalKey(Schema.String),
    rows: Schema.optionalKey(Schema.Int),
  }),
)
const decodeSource = Schema.decodeUnknownOption(Source)

/** The datasets of a run. */
export const inputsOf = ({ inputs = {} }: typeof Run.Type): ReadonlyArray<RunInput> =>
  (inputs.dataset_inputs ?? []).map(({ dataset, tags }) => {
    const own = decodeSource(dataset.source)
    const source = own._tag === "Some" ? own.value : { uri: dataset.source ?? "" }
    return {
      name: dataset.name,
      digest: source.digest ?? dataset.digest ?? "",
      uri: source.uri,
      context: recordOf(tags)["mlflow.data.context"] ?? "",
      ...(source.rows === undefined ? {} : { rows: source.rows }),
    }
  })

/** A dataset as `runs/log-inputs` takes it. */
export const datasetOf = ({
  name,
  digest,
  uri,
  context,
  rows,
}: Omit<RunInput, "digest" | "context"> & {
  readonly digest?: string
  readonly context?: string
}) => ({
  dataset: {
    name,
    digest: (digest ?? "").replace(/^sha256:/, "").slice(0, 36) || "unknown",
    source_type: "ashlar",
    source: JSON.stringify({
      uri,
      ...(digest === undefined ? {} : { digest }),
      ...(rows === undefined ? {} : { rows }),
    }),
  },
  tags: context === undefined ? [] : [{ key: "mlflow.data.context", value: context }],
})
