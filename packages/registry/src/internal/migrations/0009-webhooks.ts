import type { Database } from "@ashlar/core"

/** Webhooks, what they are told of, and what was sent. */
export const migration: Database.Migration = {
  id: "0009-webhooks",
  up: (build) => [
    build.schema
      .createTable("registry_webhook")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("url", "text", (c) => c.notNull())
      .addColumn("description", "text", (c) => c.notNull())
      .addColumn("status", "text", (c) => c.notNull())
      .addColumn("secret", "text")
      .addColumn("created", "bigint", (c) => c.notNull())
      .addColumn("updated", "bigint", (c) => c.notNull()),
    build.schema
      .createIndex("registry_webhook_created")
      .on("registry_webhook")
      .columns(["created", "id"]),
    build.schema
      .createTable("registry_webhook_event")
      .addColumn("event", "text", (c) => c.notNull())
      .addColumn("webhook", "text", (c) => c.notNull().references("registry_webhook.id"))
      .addPrimaryKeyConstraint("registry_webhook_event_pk", ["event", "webhook"]),
    build.schema
      .createIndex("registry_webhook_event_webhook")
      .on("registry_webhook_event")
      .columns(["webhook"]),
    build.schema
      .createTable("registry_delivery")
      .addColumn("id", "text", (c) => c.primaryKey())
      // No reference: a webhook that is being removed must not fail what it is told of.
      .addColumn("webhook", "text", (c) => c.notNull())
      .addColumn("event", "text", (c) => c.notNull())
      .addColumn("body", "text", (c) => c.notNull())
      .addColumn("state", "text", (c) => c.notNull())
      .addColumn("attempts", "bigint", (c) => c.notNull())
      .addColumn("due", "bigint", (c) => c.notNull())
      .addColumn("created", "bigint", (c) => c.notNull())
      .addColumn("finished", "bigint")
      .addColumn("response_status", "bigint")
      .addColumn("response_body", "text")
      .addColumn("error", "text"),
    build.schema
      .createIndex("registry_delivery_due")
      .on("registry_delivery")
      .columns(["state", "due"]),
    build.schema
      .createIndex("registry_delivery_webhook")
      .on("registry_delivery")
      .columns(["webhook", "created"]),
  ],
}

/** A row of `registry_webhook`. */
export interface WebhookRow {
  readonly id: string
  readonly name: string
  readonly url: string
  readonly description: string
  readonly status: "ACTIVE" | "DISABLED"
  /** Sealed; NULL: deliveries are not signed. */
  readonly secret: string | null
  readonly created: number
  readonly updated: number
}

/** A row of `registry_delivery`. */
export interface DeliveryRow {
  readonly id: string
  readonly webhook: string
  readonly event: string
  /** The JSON that is sent, byte for byte the same in each attempt. */
  readonly body: string
  readonly state: "pending" | "delivered" | "failed"
  readonly attempts: number
  /** When it is tried next; while it is being tried, when somebody else may try it. */
  readonly due: number
  readonly created: number
  readonly finished: number | null
  readonly response_status: number | null
  readonly response_body: string | null
  readonly error: string | null
}

/** The tables of webhooks. */
export interface WebhookTables {
  readonly registry_webhook: WebhookRow
  readonly registry_webhook_event: { readonly event: string; readonly webhook: string }
  readonly registry_delivery: DeliveryRow
}
