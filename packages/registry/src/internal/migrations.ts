import type { Database } from "@ashlar/core"
import { sql } from "kysely"
import * as Tracking from "./migrations/0004-tracking.ts"
import * as Mlflow from "./migrations/0005-mlflow.ts"
import * as Models from "./migrations/0006-models.ts"
import * as Governance from "./migrations/0007-governance.ts"
import * as Files from "./migrations/0008-files.ts"
import * as Webhooks from "./migrations/0009-webhooks.ts"
import * as Views from "./migrations/0011-views.ts"
import * as Traces from "./migrations/0012-traces.ts"

/** Forward migrations of the registry's tables. Never edit one that was released. */
export const migrations: ReadonlyArray<Database.Migration> = [
  {
    id: "0001-runs",
    up: (build) => [
      build.schema
        .createTable("registry_experiment")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("name", "text", (c) => c.notNull().unique())
        .addColumn("created", "bigint", (c) => c.notNull()),
      build.schema
        .createTable("registry_run")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("experiment", "text", (c) => c.notNull().references("registry_experiment.id"))
        .addColumn("name", "text", (c) => c.notNull())
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("parent", "text")
        .addColumn("status", "text", (c) => c.notNull())
        .addColumn("started", "bigint", (c) => c.notNull())
        .addColumn("ended", "bigint"),
      build.schema
        .createIndex("registry_run_key")
        .unique()
        .on("registry_run")
        .columns(["experiment", "key"]),
      build.schema
        .createIndex("registry_run_started")
        .on("registry_run")
        .columns(["experiment", "started", "id"]),
      build.schema
        .createTable("registry_param")
        .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_param_pk", ["run", "key"]),
      build.schema
        .createTable("registry_tag")
        .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_tag_pk", ["run", "key"]),
      build.schema
        .createTable("registry_metric")
        .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("step", "bigint", (c) => c.notNull())
        .addColumn("time", "bigint", (c) => c.notNull())
        // Text keeps NaN and infinities apart, which SQLite's numbers cannot.
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_metric_pk", ["run", "key", "step", "time", "value"]),
      build.schema
        .createTable("registry_input")
        .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
        .addColumn("name", "text", (c) => c.notNull())
        .addColumn("digest", "text", (c) => c.notNull())
        .addColumn("uri", "text", (c) => c.notNull())
        .addColumn("context", "text", (c) => c.notNull())
        .addColumn("rows", "bigint")
        .addPrimaryKeyConstraint("registry_input_pk", ["run", "name", "digest", "context"]),
      build.schema
        .createTable("registry_artifact")
        .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
        .addColumn("path", "text", (c) => c.notNull())
        .addColumn("digest", "text", (c) => c.notNull())
        .addColumn("size", "bigint", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_artifact_pk", ["run", "path"]),
    ],
  },
  {
    id: "0002-models",
    up: (build) => [
      build.schema
        .createTable("registry_model")
        .addColumn("name", "text", (c) => c.primaryKey())
        .addColumn("created", "bigint", (c) => c.notNull()),
      build.schema
        .createTable("registry_version")
        .addColumn("model", "text", (c) => c.notNull().references("registry_model.name"))
        .addColumn("version", "bigint", (c) => c.notNull())
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("run", "text")
        .addColumn("digest", "text", (c) => c.notNull())
        .addColumn("manifest", "text", (c) => c.notNull())
        .addColumn("files", "text", (c) => c.notNull())
        .addColumn("description", "text", (c) => c.notNull())
        .addColumn("tags", "text", (c) => c.notNull())
        .addColumn("created", "bigint", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_version_pk", ["model", "version"]),
      build.schema
        .createIndex("registry_version_key")
        .unique()
        .on("registry_version")
        .columns(["model", "key"]),
      build.schema
        .createTable("registry_alias")
        .addColumn("model", "text", (c) => c.notNull().references("registry_model.name"))
        .addColumn("alias", "text", (c) => c.notNull())
        .addColumn("version", "bigint", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_alias_pk", ["model", "alias"]),
      build.schema
        .createTable("registry_policy")
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("alias", "text", (c) => c.notNull())
        .addColumn("policy", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_policy_pk", ["model", "alias"]),
      build.schema
        .createTable("registry_promotion")
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("result", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_promotion_pk", ["model", "key"]),
      build.schema
        .createTable("registry_audit")
        .addColumn("position", "bigint", (c) => c.primaryKey())
        .addColumn("time", "bigint", (c) => c.notNull())
        .addColumn("action", "text", (c) => c.notNull())
        .addColumn("subject", "text", (c) => c.notNull())
        .addColumn("detail", "text", (c) => c.notNull())
        .addColumn("previous", "text", (c) => c.notNull())
        .addColumn("hash", "text", (c) => c.notNull()),
      build.schema
        .createTable("registry_audit_head")
        .addColumn("id", "bigint", (c) => c.primaryKey())
        .addColumn("position", "bigint", (c) => c.notNull())
        .addColumn("hash", "text", (c) => c.notNull()),
      build.schema
        .createIndex("registry_audit_subject")
        .on("registry_audit")
        .columns(["subject", "position"]),
      build.schema
        .createTable("registry_lineage")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("run", "text", (c) => c.notNull())
        .addColumn("job", "text", (c) => c.notNull())
        .addColumn("time", "bigint", (c) => c.notNull())
        .addColumn("event", "text", (c) => c.notNull()),
      build.schema
        .createIndex("registry_lineage_job")
        .on("registry_lineage")
        .columns(["job", "id"]),
    ],
  },
  {
    id: "0003-mlflow",
    up: (build) => [
      build.schema
        .alterTable("registry_experiment")
        .addColumn("updated", "bigint", (c) => c.notNull().defaultTo(0)),
      build.schema
        .createTable("registry_experiment_tag")
        .addColumn("experiment", "text", (c) => c.notNull().references("registry_experiment.id"))
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_experiment_tag_pk", ["experiment", "key"]),
      // MLflow's clients log to experiment 0 when they are told no other.
      sql`insert into registry_experiment (id, name, created)
        values ('0', 'Default', 0) on conflict do nothing`,
      build.schema
        .alterTable("registry_run")
        .addColumn("user_id", "text", (c) => c.notNull().defaultTo("")),
      // The last point of each series, so that a list of runs does not read their histories.
      build.schema
        .createTable("registry_latest")
        .addColumn("run", "text", (c) => c.notNull().references("registry_run.id"))
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("step", "bigint", (c) => c.notNull())
        .addColumn("time", "bigint", (c) => c.notNull())
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("registry_latest_pk", ["run", "key"]),
      sql`insert into registry_latest (run, key, step, time, value)
        select run, key, step, time, value from (
          select run, key, step, time, value, row_number() over (
            partition by run, key
            order by step desc, time desc, cast(value as double precision) desc
          ) as place from registry_metric
        ) as ranked where place = 1`,
      build.schema
        .alterTable("registry_model")
        .addColumn("updated", "bigint", (c) => c.notNull().defaultTo(0)),
      build.schema
        .alterTable("registry_model")
        .addColumn("description", "text", (c) => c.notNull().defaultTo("")),
      build.schema
        .alterTable("registry_model")
        .addColumn("tags", "text", (c) => c.notNull().defaultTo("{}")),
    ],
  },
  Tracking.migration,
  Mlflow.migration,
  Models.migration,
  Governance.migration,
  Files.migration,
  Webhooks.migration,
  Views.migration,
  Traces.migration,
]

/** The registry's tables. */
export interface Tables
  extends
    Tracking.TrackingTables,
    Mlflow.MlflowTables,
    Models.ModelTables,
    Governance.GovernanceTables,
    Files.FileTables,
    Webhooks.WebhookTables,
    Traces.TraceTables {
  readonly registry_experiment: {
    id: string
    name: string
    created: number
    updated: number
    /** NULL: the default place. */
    artifact_location: string | null
    /** When it was deleted. */
    deleted: number | null
  }
  readonly registry_experiment_tag: { experiment: string; key: string; value: string }
  readonly registry_run: RunRow
  readonly registry_param: { run: string; key: string; value: string }
  readonly registry_tag: { run: string; key: string; value: string }
  readonly registry_input: {
    run: string
    name: string
    digest: string
    uri: string
    context: string
    rows: number | null
  }
  readonly registry_alias: { model: string; alias: string; version: number }
  readonly registry_policy: { model: string; alias: string; policy: string }
  readonly registry_promotion: { model: string; key: string; result: string }
  readonly registry_audit: AuditRow
  readonly registry_audit_head: { id: number; position: number; hash: string }
  readonly registry_view: Views.ViewRow
  readonly registry_lineage: { id: string; run: string; job: string; time: number; event: string }
}

/** A row of `registry_run`. */
export interface RunRow {
  readonly id: string
  readonly experiment: string
  readonly name: string
  readonly key: string
  readonly parent: string | null
  readonly status: "RUNNING" | "SCHEDULED" | "FINISHED" | "FAILED" | "KILLED"
  readonly started: number
  readonly ended: number | null
  readonly user_id: string
  /** NULL: the default place. */
  readonly artifact_uri: string | null
  /** When it was deleted. */
  readonly deleted: number | null
}

/** A row of `registry_audit`. */
export interface AuditRow {
  readonly position: number
  readonly time: number
  readonly action: string
  readonly subject: string
  readonly detail: string
  readonly previous: string
  readonly hash: string
}
