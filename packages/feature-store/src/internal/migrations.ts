/** Tables of the feature store. */
import type { Database } from "@ashlar/core"

/** Row types of the tables. */
export interface Tables {
  readonly feature_definition: {
    readonly kind: string
    readonly name: string
    readonly version: number
    readonly digest: string
    readonly body: string
    readonly applied: number
  }
  readonly feature_ingest: {
    readonly source: string
    readonly ingest_key: string
    readonly sequence: number
    readonly digest: string
    readonly rows: number
    readonly ingested: number
  }
  readonly feature_part: {
    readonly source: string
    readonly sequence: number
    readonly part: number
    readonly blob: string
    readonly rows: number
  }
  readonly feature_materialization: {
    readonly view: string
    readonly as_of: number
    readonly revision: number
    readonly rows: number
    readonly finished: number
  }
}

/** Forward migrations. */
export const migrations: ReadonlyArray<Database.Migration> = [
  {
    id: "0001-feature-store",
    up: ({ schema }) => [
      schema
        .createTable("feature_definition")
        .addColumn("kind", "text", (column) => column.notNull())
        .addColumn("name", "text", (column) => column.notNull())
        .addColumn("version", "bigint", (column) => column.notNull())
        .addColumn("digest", "text", (column) => column.notNull())
        .addColumn("body", "text", (column) => column.notNull())
        .addColumn("applied", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("feature_definition_key", ["kind", "name", "version"]),
      schema
        .createTable("feature_ingest")
        .addColumn("source", "text", (column) => column.notNull())
        .addColumn("ingest_key", "text", (column) => column.notNull())
        .addColumn("sequence", "bigint", (column) => column.notNull())
        .addColumn("digest", "text", (column) => column.notNull())
        .addColumn("rows", "bigint", (column) => column.notNull())
        .addColumn("ingested", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("feature_ingest_key", ["source", "ingest_key"])
        .addUniqueConstraint("feature_ingest_sequence", ["source", "sequence"]),
      schema
        .createTable("feature_part")
        .addColumn("source", "text", (column) => column.notNull())
        .addColumn("sequence", "bigint", (column) => column.notNull())
        .addColumn("part", "bigint", (column) => column.notNull())
        .addColumn("blob", "text", (column) => column.notNull())
        .addColumn("rows", "bigint", (column) => column.notNull())
        .addPrimaryKeyConstraint("feature_part_key", ["source", "sequence", "part"]),
      schema
        .createTable("feature_materialization")
        .addColumn("view", "text", (column) => column.primaryKey())
        .addColumn("as_of", "bigint", (column) => column.notNull())
        .addColumn("revision", "bigint", (column) => column.notNull())
        .addColumn("rows", "bigint", (column) => column.notNull())
        .addColumn("finished", "bigint", (column) => column.notNull()),
    ],
  },
]
