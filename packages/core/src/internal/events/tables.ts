import type { DatabaseError, Migration } from "../../Database.ts"
import { EventsError } from "../../Events.ts"

/** The tables of the outbox. */
export interface Tables {
  /** One row a topic; its lock puts publishers in the order of their commits. */
  readonly ashlar_topic: { readonly topic: string; readonly position: number }
  readonly ashlar_event: {
    readonly topic: string
    readonly position: number
    readonly key: string
    readonly time: number
    readonly payload: string
  }
  readonly ashlar_consumer: {
    readonly topic: string
    readonly consumer_group: string
    readonly position: number
    /** Who feeds the group; empty when nobody does. */
    readonly owner: string
    readonly leased_until: number
  }
}

/** The outbox's migrations. */
export const migrations: ReadonlyArray<Migration> = [
  {
    id: "0001-outbox",
    up: (build) => [
      build.schema
        .createTable("ashlar_topic")
        .addColumn("topic", "text", (c) => c.primaryKey())
        .addColumn("position", "bigint", (c) => c.notNull()),
      build.schema
        .createTable("ashlar_event")
        .addColumn("topic", "text", (c) => c.notNull())
        .addColumn("position", "bigint", (c) => c.notNull())
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("time", "bigint", (c) => c.notNull())
        .addColumn("payload", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint("ashlar_event_pk", ["topic", "position"])
        .addUniqueConstraint("ashlar_event_key", ["topic", "key"]),
      build.schema
        .createTable("ashlar_consumer")
        .addColumn("topic", "text", (c) => c.notNull())
        .addColumn("consumer_group", "text", (c) => c.notNull())
        .addColumn("position", "bigint", (c) => c.notNull())
        .addColumn("owner", "text", (c) => c.notNull())
        .addColumn("leased_until", "bigint", (c) => c.notNull())
        .addPrimaryKeyConstraint("ashlar_consumer_pk", ["topic", "consumer_group"]),
    ],
  },
]

/** What a database failure means to whoever publishes or consumes. */
export const fromDatabase = (error: DatabaseError): EventsError =>
  new EventsError({
    reason:
      error.reason === "InvalidInput" ||
      error.reason === "Internal" ||
      error.reason === "Corrupt" ||
      error.reason === "AlreadyExists"
        ? "Internal"
        : "Unavailable",
    message: `The outbox's database failed. ${error.message}`,
    cause: error,
  })
