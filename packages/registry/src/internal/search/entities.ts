import type { Entity, Field } from "./types.ts"

/** What the grammar knows of an entity. */
export interface Spec {
  /** Prefixes of keys and what they mean. */
  readonly prefixes: Readonly<Record<string, Field["type"]>>
  readonly text: ReadonlyArray<string>
  readonly numeric: ReadonlyArray<string>
  /** Attributes of the superset alone. */
  readonly more: ReadonlyArray<string>
  readonly aliases: Readonly<Record<string, string>>
  /** Text attributes that MLflow compares with a list. */
  readonly lists: ReadonlyArray<string>
  /** Where MLflow takes IS NULL. */
  readonly nullable: ReadonlyArray<Field["type"]>
  readonly order: {
    readonly types: ReadonlyArray<Field["type"]>
    readonly attributes: ReadonlyArray<string>
    readonly aliases: Readonly<Record<string, string>>
    /** Settles what the clauses leave equal. */
    readonly ties: ReadonlyArray<readonly [string, "asc" | "desc"]>
  }
}

const all: Spec["prefixes"] = {
  metric: "metric",
  metrics: "metric",
  param: "param",
  params: "param",
  parameter: "param",
  parameters: "param",
  tag: "tag",
  tags: "tag",
  attribute: "attribute",
  attributes: "attribute",
  attr: "attribute",
  run: "attribute",
}
const few: Spec["prefixes"] = { attribute: "attribute", tag: "tag", tags: "tag" }
const runTimes = { created: "start_time", Created: "start_time" }
const modelTimes = {
  creation_time: "creation_timestamp",
  last_updated_time: "last_updated_timestamp",
}

/** What each entity understands. */
export const specs: Readonly<Record<Entity, Spec>> = {
  runs: {
    prefixes: { ...all, dataset: "dataset", datasets: "dataset" },
    text: ["run_id", "run_name", "status", "artifact_uri", "user_id"],
    numeric: ["start_time", "end_time"],
    more: ["experiment_id", "experiment_name"],
    aliases: {
      ...runTimes,
      "run name": "run_name",
      "Run name": "run_name",
      "Run Name": "run_name",
    },
    lists: ["run_id"],
    nullable: ["tag", "param"],
    order: {
      types: ["attribute", "metric", "param", "tag"],
      attributes: [
        "run_id",
        "run_name",
        "status",
        "artifact_uri",
        "user_id",
        "start_time",
        "end_time",
      ],
      aliases: runTimes,
      ties: [
        ["start_time", "desc"],
        ["run_id", "asc"],
      ],
    },
  },
  experiments: {
    prefixes: few,
    text: ["name", "experiment_id"],
    numeric: ["creation_time", "last_update_time"],
    more: [],
    aliases: {},
    lists: ["experiment_id"],
    nullable: ["tag"],
    order: {
      types: ["attribute"],
      attributes: ["name", "experiment_id", "creation_time", "last_update_time"],
      aliases: {},
      ties: [["experiment_id", "desc"]],
    },
  },
  "registered-models": {
    prefixes: few,
    text: ["name"],
    numeric: [],
    more: [],
    aliases: {},
    lists: ["name"],
    nullable: [],
    order: {
      types: ["attribute"],
      attributes: ["name", "creation_timestamp", "last_updated_timestamp"],
      aliases: { timestamp: "last_updated_timestamp" },
      ties: [["name", "asc"]],
    },
  },
  "model-versions": {
    prefixes: few,
    text: ["name", "run_id", "source_path"],
    numeric: ["version_number"],
    more: [],
    aliases: {},
    lists: ["name", "run_id"],
    nullable: [],
    order: {
      types: ["attribute"],
      attributes: ["name", "version_number", "creation_timestamp", "last_updated_timestamp"],
      aliases: {},
      ties: [
        ["name", "asc"],
        ["version_number", "desc"],
      ],
    },
  },
  "logged-models": {
    prefixes: all,
    text: ["name", "model_id", "model_type", "status", "source_run_id"],
    numeric: ["creation_timestamp", "last_updated_timestamp"],
    more: [],
    aliases: modelTimes,
    lists: ["name", "model_id", "model_type", "status", "source_run_id"],
    nullable: [],
    order: {
      types: ["attribute", "metric"],
      attributes: [
        "name",
        "model_id",
        "model_type",
        "status",
        "source_run_id",
        "creation_timestamp",
        "last_updated_timestamp",
      ],
      aliases: modelTimes,
      ties: [
        ["creation_timestamp", "desc"],
        ["model_id", "asc"],
      ],
    },
  },
}
