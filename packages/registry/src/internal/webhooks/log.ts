import { type Database, type Page, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Delivery } from "../../Webhooks.ts"
import type { DeliveryRow } from "../migrations/0009-webhooks.ts"
import type { RegistryError } from "../../RegistryError.ts"
import type { Store } from "../store.ts"
import { newestFirst } from "./newestFirst.ts"
import { wake } from "./wake.ts"

/** What was sent. */
export interface Log {
  readonly list: (
    webhook: string,
    page?: Page.PageRequest,
  ) => Effect.Effect<Page.Page<Delivery>, Database.DatabaseError | RegistryError>
  /** Makes a finished delivery due again; false when there is none of this id. */
  readonly again: (id: string) => Effect.Effect<boolean, Database.DatabaseError>
}

const fromRow = (row: Omit<DeliveryRow, "body" | "webhook">): Delivery => {
  const { finished, response_status, response_body, error, ...rest } = row
  return {
    ...rest,
    ...(finished === null ? {} : { finished }),
    ...(response_status === null ? {} : { responseStatus: response_status }),
    ...(response_body === null ? {} : { responseBody: response_body }),
    ...(error === null ? {} : { error }),
  }
}

/** Reads deliveries from a store. */
export const make = ({ db, build }: Store): Log => ({
  list: (webhook, request = {}) =>
    Effect.map(
      newestFirst(
        db,
        build
          .selectFrom("registry_delivery")
          .select(["id", "event", "state", "attempts", "due", "created", "finished"])
          .select(["response_status", "response_body", "error"])
          .where("webhook", "=", webhook),
        request,
      ),
      ({ items, ...rest }) => ({ items: items.map(fromRow), ...rest }),
    ),
  again: (id) =>
    Effect.map(
      db.run(
        build
          .updateTable("registry_delivery")
          .set({ state: "pending", attempts: 0, due: Timestamp.now(), finished: null })
          .where("id", "=", id)
          .where("state", "!=", "pending"),
      ),
      ({ rows }) => {
        wake(db)
        return rows > 0
      },
    ),
})
