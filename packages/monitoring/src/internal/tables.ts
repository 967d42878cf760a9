/**
 * Tables. Predictions lie in chunks of up to some ten thousand rows, by column, so that a million of
 * them are a few hundred rows; a chunk's parts are apart because most questions need one of them.
 *
 * @module
 */
import type { Database } from "@ashlar/core"

/** Row types. */
export interface Tables {
  readonly monitoring_model: {
    readonly name: string
    readonly salt: number
    /** Last chunk of predictions, and of labels. */
    readonly predictions: number
    readonly labels: number
    /** `number` or `text`, once known. */
    readonly label_kind: string | null
  }
  readonly monitoring_chunk: {
    readonly model: string
    readonly seq: number
    readonly part: number
    readonly version: string
    readonly rows: number
    readonly min_time: number
    readonly max_time: number
  }
  readonly monitoring_chunk_data: {
    readonly model: string
    readonly seq: number
    readonly part: number
    /** `score` (keys, times, outputs, segments), `feature` or `id`. */
    readonly kind: string
    readonly data: Uint8Array
  }
  readonly monitoring_label_chunk: {
    readonly model: string
    readonly seq: number
    readonly rows: number
    readonly digest: string
    readonly data: Uint8Array
  }
  readonly monitoring_reference: {
    readonly model: string
    readonly name: string
    readonly created: number
    readonly profile: string
  }
  readonly monitoring_rule: {
    readonly name: string
    readonly model: string
    readonly created: number
    readonly rule: string
  }
  readonly monitoring_alert: {
    readonly id: string
    readonly rule: string
    readonly model: string
    readonly window_start: number
    readonly window_end: number
    readonly value: number
    readonly threshold: number
    readonly fired: number
    readonly reason: string
    readonly trigger_id: string | null
  }
}

/** All migrations of this module. */
export const migrations: ReadonlyArray<Database.Migration> = [
  {
    id: "0001-monitoring",
    up: (build) => [
      build.schema
        .createTable("monitoring_model")
        .addColumn("name", "text", (c) => c.primaryKey())
        .addColumn("salt", "bigint", (c) => c.notNull())
        .addColumn("predictions", "bigint", (c) => c.notNull())
        .addColumn("labels", "bigint", (c) => c.notNull())
        .addColumn("label_kind", "text"),
      build.schema
        .createTable("monitoring_chunk")
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("seq", "bigint", (c) => c.notNull())
        .addColumn("part", "bigint", (c) => c.notNull())
        .addColumn("version", "text", (c) => c.notNull())
        .addColumn("rows", "bigint", (c) => c.notNull())
        .addColumn("min_time", "bigint", (c) => c.notNull())
        .addColumn("max_time", "bigint", (c) => c.notNull())
        .addPrimaryKeyConstraint("monitoring_chunk_key", ["model", "seq", "part"]),
      build.schema
        .createTable("monitoring_chunk_data")
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("seq", "bigint", (c) => c.notNull())
        .addColumn("part", "bigint", (c) => c.notNull())
        .addColumn("kind", "text", (c) => c.notNull())
        .addColumn("data", "blob", (c) => c.notNull())
        .addPrimaryKeyConstraint("monitoring_chunk_data_key", ["model", "kind", "seq", "part"]),
      build.schema
        .createTable("monitoring_label_chunk")
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("seq", "bigint", (c) => c.notNull())
        .addColumn("rows", "bigint", (c) => c.notNull())
        .addColumn("digest", "text", (c) => c.notNull())
        .addColumn("data", "blob", (c) => c.notNull())
        .addPrimaryKeyConstraint("monitoring_label_chunk_key", ["model", "seq"]),
      build.schema
        .createIndex("monitoring_label_chunk_digest")
        .unique()
        .on("monitoring_label_chunk")
        .columns(["model", "digest"]),
      build.schema
        .createTable("monitoring_reference")
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("name", "text", (c) => c.notNull())
        .addColumn("created", "bigint", (c) => c.notNull())
        .addColumn("profile", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("monitoring_reference_key", ["model", "name"]),
      build.schema
        .createTable("monitoring_rule")
        .addColumn("name", "text", (c) => c.primaryKey())
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("created", "bigint", (c) => c.notNull())
        .addColumn("rule", "text", (c) => c.notNull()),
      build.schema
        .createTable("monitoring_alert")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("rule", "text", (c) => c.notNull())
        .addColumn("model", "text", (c) => c.notNull())
        .addColumn("window_start", "bigint", (c) => c.notNull())
        .addColumn("window_end", "bigint", (c) => c.notNull())
        .addColumn("value", "double precision", (c) => c.notNull())
        .addColumn("threshold", "double precision", (c) => c.notNull())
        .addColumn("fired", "bigint", (c) => c.notNull())
        .addColumn("reason", "text", (c) => c.notNull())
        .addColumn("trigger_id", "text")
        .addUniqueConstraint("monitoring_alert_once", ["rule", "window_start"]),
    ],
  },
]
