import type { Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Webhook } from "../../Webhooks.ts"
import { invalid, RegistryError } from "../../RegistryError.ts"
import type { WebhookRow } from "../migrations/0009-webhooks.ts"
import type { Store } from "../store.ts"
import { newestFirst } from "./newestFirst.ts"
import { type EventType, isEventType } from "./events.ts"

type Failed = Database.DatabaseError | RegistryError

/** Webhooks as they are stored. */
export interface Subscriptions {
  readonly create: (
    row: WebhookRow,
    events: ReadonlyArray<EventType>,
  ) => Effect.Effect<Webhook, Failed>
  readonly get: (id: string) => Effect.Effect<Webhook, Failed>
  /** With its sealed secret. */
  readonly row: (
    id: string,
  ) => Effect.Effect<
    { readonly row: WebhookRow; readonly events: ReadonlyArray<EventType> },
    Failed
  >
  readonly list: (page?: Page.PageRequest) => Effect.Effect<Page.Page<Webhook>, Failed>
  readonly update: (
    id: string,
    change: Partial<WebhookRow>,
    events: ReadonlyArray<EventType> | undefined,
  ) => Effect.Effect<Webhook, Failed>
  readonly remove: (id: string) => Effect.Effect<void, Failed>
}

const missing = (id: string) =>
  new RegistryError({ reason: "NotFound", message: `Webhook with ID ${id} not found.` })

/** By name, as MLflow lists them. */
const sorted = (events: ReadonlyArray<string>): ReadonlyArray<EventType> =>
  events.filter(isEventType).sort()

const fromRow = ({ secret, ...row }: WebhookRow, events: ReadonlyArray<string>): Webhook => ({
  ...row,
  events: sorted(events),
  isSigned: secret !== null,
})

/** Keeps webhooks in a store. */
export const make = ({ db, build }: Store): Subscriptions => {
  const eventsOf = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
    const found = new Map<string, Array<string>>()
    if (ids.length === 0) return found
    const rows = yield* db.all(
      build.selectFrom("registry_webhook_event").selectAll().where("webhook", "in", ids),
    )
    for (const { webhook, event } of rows) {
      found.set(webhook, [...(found.get(webhook) ?? []), event])
    }
    return found
  })
  const rowOf = Effect.fnUntraced(function* (id: string) {
    const row = yield* db.first(
      build.selectFrom("registry_webhook").selectAll().where("id", "=", id),
    )
    return row === undefined ? yield* missing(id) : row
  })
  const row: Subscriptions["row"] = Effect.fnUntraced(function* (id) {
    const found = yield* rowOf(id)
    return { row: found, events: sorted((yield* eventsOf([id])).get(id) ?? []) }
  })
  const get: Subscriptions["get"] = (id) =>
    Effect.map(row(id), (found) => fromRow(found.row, found.events))
  const subscribe = (id: string, events: ReadonlyArray<EventType>) =>
    db.insertMany(
      "registry_webhook_event",
      events.map((event) => ({ event, webhook: id })),
    )
  const unsubscribe = (id: string) =>
    db.run(build.deleteFrom("registry_webhook_event").where("webhook", "=", id))

  return {
    create: (made, events) =>
      db.transaction(
        Effect.gen(function* () {
          yield* db.run(build.insertInto("registry_webhook").values(made))
          yield* subscribe(made.id, events)
          return fromRow(made, events)
        }),
      ),
    get,
    row,
    list: Effect.fnUntraced(function* (request = {}) {
      const { limit = 100 } = request
      if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
        return yield* invalid("max_results", "max_results must be between 1 and 1000.")
      }
      const { items, ...rest } = yield* newestFirst(
        db,
        build.selectFrom("registry_webhook").selectAll(),
        request,
      )
      const events = yield* eventsOf(items.map(({ id }) => id))
      return { items: items.map((item) => fromRow(item, events.get(item.id) ?? [])), ...rest }
    }),
    update: (id, change, events) =>
      db.transaction(
        Effect.gen(function* () {
          const { rows } = yield* db.run(
            build.updateTable("registry_webhook").set(change).where("id", "=", id),
          )
          if (rows === 0) return yield* missing(id)
          if (events !== undefined) {
            yield* unsubscribe(id)
            yield* subscribe(id, events)
          }
          return yield* get(id)
        }),
      ),
    remove: (id) =>
      db.transaction(
        Effect.gen(function* () {
          yield* rowOf(id)
          yield* db.run(build.deleteFrom("registry_delivery").where("webhook", "=", id))
          yield* unsubscribe(id)
          yield* db.run(build.deleteFrom("registry_webhook").where("id", "=", id))
        }),
      ),
  }
}
