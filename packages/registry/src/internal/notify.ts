import { type Database, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Store } from "./store.ts"
import { delivery } from "./webhooks/delivery.ts"
import { bodyOf } from "./webhooks/events.ts"
import { wake } from "./webhooks/wake.ts"

/** What happened to a model, a version or a prompt, in the words of MLflow's webhooks. */
export type RegistryEvent =
  | {
      readonly type: "registered_model.created" | "prompt.created"
      readonly payload: {
        readonly name: string
        readonly tags: Readonly<Record<string, string>>
        readonly description: string
      }
    }
  | {
      readonly type: "model_version.created"
      readonly payload: {
        readonly name: string
        readonly version: string
        readonly source: string
        readonly run_id: string | null
        readonly tags: Readonly<Record<string, string>>
        readonly description: string | null
      }
    }
  | {
      readonly type: "prompt_version.created"
      readonly payload: {
        readonly name: string
        readonly version: string
        readonly template: string | null
        readonly tags: Readonly<Record<string, string>>
        readonly description: string | null
      }
    }
  | {
      readonly type: "prompt_tag.set"
      readonly payload: { readonly name: string; readonly key: string; readonly value: string }
    }
  | {
      readonly type: "prompt_tag.deleted"
      readonly payload: { readonly name: string; readonly key: string }
    }
  | {
      readonly type: "model_version_tag.set" | "prompt_version_tag.set"
      readonly payload: {
        readonly name: string
        readonly version: string
        readonly key: string
        readonly value: string
      }
    }
  | {
      readonly type: "model_version_tag.deleted" | "prompt_version_tag.deleted"
      readonly payload: { readonly name: string; readonly version: string; readonly key: string }
    }
  | {
      readonly type: "model_version_alias.created" | "prompt_alias.created"
      readonly payload: { readonly name: string; readonly alias: string; readonly version: string }
    }
  | {
      readonly type: "model_version_alias.deleted" | "prompt_alias.deleted"
      readonly payload: { readonly name: string; readonly alias: string }
    }

/**
 * Tells of an event, inside the transaction of what it tells of: it is delivered if and only if
 * that commits. Each webhook gets a delivery of its own, so that a slow one delays no other.
 */
export const notify: (
  store: Store,
  event: RegistryEvent,
) => Effect.Effect<void, Database.DatabaseError> = Effect.fnUntraced(function* (
  { db, build },
  event,
) {
  const told = yield* db.all(
    build
      .selectFrom("registry_webhook_event")
      .innerJoin("registry_webhook", "registry_webhook.id", "registry_webhook_event.webhook")
      .select("registry_webhook.id")
      .where("registry_webhook_event.event", "=", event.type)
      .where("registry_webhook.status", "=", "ACTIVE"),
  )
  if (told.length === 0) return
  const now = Timestamp.now()
  const body = bodyOf(event.type, event.payload, Timestamp.toIso(now))
  yield* db.insertMany(
    "registry_delivery",
    told.map(({ id }) => delivery({ webhook: id, event: event.type, body, now })),
  )
  yield* db.onCommit(Effect.sync(() => wake(db)))
})
