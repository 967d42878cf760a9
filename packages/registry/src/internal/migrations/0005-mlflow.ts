import { type Database, Timestamp } from "@ashlar/core"
import { sql } from "kysely"

/** Experiments that go and come back, what datasets and models runs read and wrote, logged models. */
export const migration: Database.Migration = {
  id: "0005-mlflow",
  up: (build) => [
    build.schema.alterTable("registry_experiment").addColumn("artifact_location", "text"),
    build.schema.alterTable("registry_experiment").addColumn("deleted", "bigint"),
    build.schema.alterTable("registry_run").addColumn("artifact_uri", "text"),
    // The experiment of the migration before had no time.
    sql`update registry_experiment set created = ${Timestamp.now()} where id = '0' and created = 0`,
    // Schemas and profiles are large and the same for all runs of an experiment.
    build.schema
      .createTable("registry_dataset")
      .addColumn("experiment", "text", (c) => c.notNull().references("registry_experiment.id"))
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("digest", "text", (c) => c.notNull())
      .addColumn("source_type", "text", (c) => c.notNull())
      .addColumn("source", "text", (c) => c.notNull())
      .addColumn("schema", "text")
      .addColumn("profile", "text")
      .addPrimaryKeyConstraint("registry_dataset_pk", ["experiment", "name", "digest"]),
    build.schema
      .createTable("registry_input_tag")
      .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("digest", "text", (c) => c.notNull())
      .addColumn("key", "text", (c) => c.notNull())
      .addColumn("value", "text", (c) => c.notNull())
      .addPrimaryKeyConstraint("registry_input_tag_pk", ["run", "name", "digest", "key"]),
    build.schema
      .createTable("registry_run_model")
      .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
      .addColumn("role", "text", (c) => c.notNull())
      .addColumn("model", "text", (c) => c.notNull())
      .addColumn("step", "bigint", (c) => c.notNull())
      .addPrimaryKeyConstraint("registry_run_model_pk", ["run", "role", "model"]),
    build.schema
      .createTable("registry_logged_model")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("experiment", "text", (c) => c.notNull().references("registry_experiment.id"))
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("artifact_uri", "text", (c) => c.notNull())
      .addColumn("created", "bigint", (c) => c.notNull())
      .addColumn("updated", "bigint", (c) => c.notNull())
      .addColumn("status", "text", (c) => c.notNull())
      .addColumn("model_type", "text")
      .addColumn("source_run", "text")
      .addColumn("deleted", "bigint"),
    build.schema
      .createIndex("registry_logged_model_created")
      .on("registry_logged_model")
      .columns(["experiment", "created", "id"]),
    ...(["param", "tag"] as const).map((kind) =>
      build.schema
        .createTable(`registry_logged_model_${kind}`)
        .addColumn("model", "text", (c) => c.notNull().references("registry_logged_model.id"))
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint(`registry_logged_model_${kind}_pk`, ["model", "key"]),
    ),
    build.schema
      .createTable("registry_logged_model_metric")
      .addColumn("model", "text", (c) => c.notNull().references("registry_logged_model.id"))
      .addColumn("key", "text", (c) => c.notNull())
      .addColumn("time", "bigint", (c) => c.notNull())
      .addColumn("step", "bigint", (c) => c.notNull())
      .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
      .addColumn("dataset_name", "text", (c) => c.notNull())
      .addColumn("dataset_digest", "text", (c) => c.notNull())
      .addColumn("value", "double precision", (c) => c.notNull())
      .addColumn("nan", "bigint", (c) => c.notNull())
      // The values of a metric are a set, as those of a run are.
      .addPrimaryKeyConstraint("registry_logged_model_metric_pk", [
        ...(["model", "key", "time", "step", "run"] as const),
        ...(["dataset_name", "dataset_digest", "value", "nan"] as const),
      ]),
  ],
}

/** A row of `registry_dataset`. */
export interface DatasetRow {
  readonly experiment: string
  readonly name: string
  readonly digest: string
  readonly source_type: string
  readonly source: string
  readonly schema: string | null
  readonly profile: string | null
}

/** A row of `registry_logged_model`. */
export interface LoggedModelRow {
  readonly id: string
  readonly experiment: string
  readonly name: string
  readonly artifact_uri: string
  readonly created: number
  readonly updated: number
  readonly status: "UNSPECIFIED" | "PENDING" | "READY" | "FAILED"
  readonly model_type: string | null
  readonly source_run: string | null
  readonly deleted: number | null
}

/** A row of `registry_logged_model_metric`. */
export interface LoggedModelMetricRow {
  readonly model: string
  readonly key: string
  readonly time: number
  readonly step: number
  readonly run: string
  /** Empty: none was named. */
  readonly dataset_name: string
  readonly dataset_digest: string
  /** 0 where `nan` is 1. */
  readonly value: number
  readonly nan: 0 | 1
}

/** The tables of this migration. */
export interface MlflowTables {
  readonly registry_dataset: DatasetRow
  readonly registry_input_tag: {
    run: string
    name: string
    digest: string
    key: string
    value: string
  }
  readonly registry_run_model: {
    run: string
    role: "input" | "output"
    model: string
    step: number
  }
  readonly registry_logged_model: LoggedModelRow
  readonly registry_logged_model_param: { model: string; key: string; value: string }
  readonly registry_logged_model_tag: { model: string; key: string; value: string }
  readonly registry_logged_model_metric: LoggedModelMetricRow
}
