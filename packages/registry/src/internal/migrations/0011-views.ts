import type { Database } from "@ashlar/core"

/** Saved views of the pages. */
export const migration: Database.Migration = {
  id: "0011-views",
  up: (build) => [
    build.schema
      .createTable("registry_view")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("page", "text", (c) => c.notNull())
      .addColumn("scope", "text", (c) => c.notNull())
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("state", "text", (c) => c.notNull())
      .addColumn("owner", "text", (c) => c.notNull())
      .addColumn("created", "bigint", (c) => c.notNull())
      .addColumn("updated", "bigint", (c) => c.notNull()),
    build.schema
      .createIndex("registry_view_name")
      .unique()
      .on("registry_view")
      .columns(["page", "scope", "name"]),
  ],
}

/** A row of `registry_view`. */
export interface ViewRow {
  readonly id: string
  /** Which page it is a view of. */
  readonly page: string
  /** What the page shows, e.g. the id of an experiment. */
  readonly scope: string
  readonly name: string
  /** The page's part of the URL. */
  readonly state: string
  /** Principal that saved it last. */
  readonly owner: string
  readonly created: number
  readonly updated: number
}
