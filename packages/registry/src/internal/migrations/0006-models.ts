import type { Database } from "@ashlar/core"
import { sql } from "kysely"

/** Versions with a source, a stage and files that need not be a package; tags that can be searched. */
export const migration: Database.Migration = {
  id: "0006-models",
  up: (build, dialect) => [
    build.schema
      .createTable("registry_model_tag")
      .addColumn("model", "text", (c) => c.notNull().references("registry_model.name"))
      .addColumn("key", "text", (c) => c.notNull())
      .addColumn("value", "text", (c) => c.notNull())
      .addPrimaryKeyConstraint("registry_model_tag_pk", ["model", "key"]),
    sql`insert into registry_model_tag (model, key, value)
      select m.name, t.key, t.value
      from registry_model m, ${pairs(dialect, "m")}`,
    build.schema.alterTable("registry_model").dropColumn("tags"),
    // Columns that must hold something now may be empty, which takes a new table on SQLite.
    build.schema
      .createTable("registry_version_new")
      .addColumn("model", "text", (c) => c.notNull().references("registry_model.name"))
      .addColumn("version", "bigint", (c) => c.notNull())
      .addColumn("key", "text", (c) => c.notNull())
      .addColumn("run", "text")
      .addColumn("digest", "text", (c) => c.notNull())
      .addColumn("manifest", "text")
      .addColumn("files", "text", (c) => c.notNull())
      .addColumn("description", "text")
      .addColumn("source", "text", (c) => c.notNull())
      .addColumn("storage", "text", (c) => c.notNull())
      .addColumn("run_link", "text")
      .addColumn("logged_model", "text")
      .addColumn("stage", "text", (c) => c.notNull())
      .addColumn("format", "text")
      .addColumn("fault", "text")
      .addColumn("created", "bigint", (c) => c.notNull())
      .addColumn("updated", "bigint", (c) => c.notNull())
      .addColumn("deleted", "bigint")
      .addPrimaryKeyConstraint("registry_version_number", ["model", "version"]),
    sql`insert into registry_version_new (model, version, key, run, digest, manifest, files,
        description, source, storage, stage, created, updated)
      select model, version, key, run, digest, manifest, files, description, place, place, 'None',
        created, created
      from (
        select v.*, 'mlflow-artifacts:/registered-models/' || model || '/' || version as place
        from registry_version v
      ) as placed`,
    build.schema
      .createTable("registry_version_tag")
      .addColumn("model", "text", (c) => c.notNull().references("registry_model.name"))
      .addColumn("version", "bigint", (c) => c.notNull())
      .addColumn("key", "text", (c) => c.notNull())
      .addColumn("value", "text", (c) => c.notNull())
      .addPrimaryKeyConstraint("registry_version_tag_pk", ["model", "version", "key"]),
    // Whether any version of a model is a prompt.
    build.schema
      .createIndex("registry_version_tag_key")
      .on("registry_version_tag")
      .columns(["model", "key"]),
    sql`insert into registry_version_tag (model, version, key, value)
      select v.model, v.version, t.key, t.value
      from registry_version v, ${pairs(dialect, "v")}`,
    build.schema.dropTable("registry_version"),
    build.schema.alterTable("registry_version_new").renameTo("registry_version"),
    build.schema
      .createIndex("registry_version_key")
      .unique()
      .on("registry_version")
      .columns(["model", "key"]),
    // Versions as they are listed: the last changed first, by MLflow's milliseconds.
    sql`create index registry_version_changed on registry_version
      ((updated / 1000) desc, model ${sql.raw(dialect === "sqlite" ? "" : 'collate "C"')}, version desc)
      where deleted is null`,
  ],
}

/** Tags that were JSON, one a row. */
const pairs = (dialect: Database.Dialect, table: "m" | "v") =>
  dialect === "sqlite"
    ? sql`json_each(${sql.ref(`${table}.tags`)}) t`
    : sql`json_each_text(${sql.ref(`${table}.tags`)}::json) t`

/** A row of `registry_version`. */
export interface VersionRow {
  readonly model: string
  readonly version: number
  readonly key: string
  readonly run: string | null
  /** Of the content; where the files are elsewhere, of what is known of them. */
  readonly digest: string
  /** JSON of the package's manifest; null where the version cannot be served. */
  readonly manifest: string | null
  /** JSON of `{path, digest, size}`: the files that this registry holds, all of them. */
  readonly files: string
  readonly description: string | null
  /** As it was given. */
  readonly source: string
  /** URI of the files. */
  readonly storage: string
  readonly run_link: string | null
  /** Id of the model that a run logged. */
  readonly logged_model: string | null
  readonly stage: Stage | "Deleted_Internal"
  /** Format that was recognised. */
  readonly format: string | null
  /** Why the version cannot be served. */
  readonly fault: string | null
  readonly created: number
  readonly updated: number
  readonly deleted: number | null
}

/** Stages of MLflow. */
export type Stage = "None" | "Staging" | "Production" | "Archived"

/** The tables of this migration. */
export interface ModelTables {
  readonly registry_model: {
    name: string
    created: number
    /** 0 until it is first changed. */
    updated: number
    description: string
  }
  readonly registry_model_tag: { model: string; key: string; value: string }
  readonly registry_version: VersionRow
  readonly registry_version_tag: { model: string; version: number; key: string; value: string }
}
