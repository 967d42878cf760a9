/** MLflow's JSON, as far as a transfer reads it. */
import * as Schema from "effect/Schema"

const Double = Schema.Union([Schema.Number, Schema.Literals(["NaN", "Infinity", "-Infinity"])])
/** protobuf's JSON spells 64-bit integers as text; MLflow's does not. */
const Int64 = Schema.Union([Schema.Number, Schema.String.check(Schema.isPattern(/^-?\d{1,19}$/))])
const Text = Schema.optionalKey(Schema.String)
const Token = { next_page_token: Text }
const Pair = Schema.Struct({ key: Schema.String, value: Text })
const Pairs = Schema.optionalKey(Schema.Array(Pair))

const list = <S extends Schema.Constraint>(item: S) => Schema.optionalKey(Schema.Array(item))

/** Pairs as a record. */
export const recordOf = (
  pairs: ReadonlyArray<typeof Pair.Type> = [],
): Readonly<Record<string, string>> =>
  Object.fromEntries(pairs.map(({ key, value = "" }) => [key, value]))

/** Answers with experiments. */
export const Experiments = Schema.Struct({
  experiments: list(
    Schema.Struct({ experiment_id: Schema.String, name: Schema.String, tags: Pairs }),
  ),
  ...Token,
})

/** Answers with one experiment. */
export const OneExperiment = Schema.Struct({
  experiment: Schema.Struct({ experiment_id: Schema.String, lifecycle_stage: Text }),
})

const Dataset = Schema.Struct({
  name: Schema.String,
  digest: Text,
  source_type: Text,
  source: Text,
  schema: Text,
  profile: Text,
})

/** A run. */
export const Run = Schema.Struct({
  info: Schema.Struct({
    run_id: Schema.NonEmptyString,
    run_name: Text,
    experiment_id: Schema.String,
    user_id: Text,
    status: Text,
    start_time: Schema.optionalKey(Int64),
    end_time: Schema.optionalKey(Int64),
    artifact_uri: Text,
  }),
  data: Schema.optionalKey(
    Schema.Struct({
      metrics: list(Schema.Struct({ key: Schema.String })),
      params: Pairs,
      tags: Pairs,
    }),
  ),
  inputs: Schema.optionalKey(
    Schema.Struct({ dataset_inputs: list(Schema.Struct({ tags: Pairs, dataset: Dataset })) }),
  ),
  outputs: Schema.optionalKey(
    Schema.Struct({
      model_outputs: list(
        Schema.Struct({ model_id: Schema.String, step: Schema.optionalKey(Int64) }),
      ),
    }),
  ),
})

/** Answers with runs. */
export const Runs = Schema.Struct({ runs: list(Run), ...Token })

/** Answers with one run. */
export const OneRun = Schema.Struct({ run: Run })

/** Answers with a metric's history. */
export const History = Schema.Struct({
  metrics: list(
    Schema.Struct({
      value: Schema.optionalKey(Double),
      timestamp: Schema.optionalKey(Int64),
      step: Schema.optionalKey(Int64),
    }),
  ),
  ...Token,
})

/** Answers with files. */
export const Files = Schema.Struct({
  files: list(
    Schema.Struct({ path: Schema.NonEmptyString, is_dir: Schema.optionalKey(Schema.Boolean) }),
  ),
  ...Token,
})

/** A logged model. */
export const LoggedModel = Schema.Struct({
  info: Schema.Struct({
    model_id: Schema.NonEmptyString,
    experiment_id: Schema.String,
    name: Text,
    model_type: Text,
    source_run_id: Text,
    status: Schema.optionalKey(Schema.Union([Schema.String, Schema.Number])),
    artifact_uri: Text,
    tags: Pairs,
  }),
  data: Schema.optionalKey(Schema.Struct({ params: Pairs })),
})

/** Answers with logged models. */
export const LoggedModels = Schema.Struct({ models: list(LoggedModel), ...Token })

/** Answers with one logged model. */
export const OneLoggedModel = Schema.Struct({ model: LoggedModel })

/** Answers with registered models. */
export const Models = Schema.Struct({
  registered_models: list(
    Schema.Struct({
      name: Schema.String,
      description: Text,
      tags: Pairs,
      aliases: list(Schema.Struct({ alias: Schema.String, version: Int64 })),
    }),
  ),
  ...Token,
})

/** Answers with versions. */
export const Versions = Schema.Struct({
  model_versions: list(
    Schema.Struct({
      name: Schema.String,
      version: Int64,
      description: Text,
      current_stage: Text,
      source: Text,
      run_id: Text,
      model_id: Text,
      tags: Pairs,
    }),
  ),
  ...Token,
})

/** Answers that a transfer does not read. */
export const Anything = Schema.Unknown
