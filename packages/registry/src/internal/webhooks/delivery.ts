import { randomUUID } from "node:crypto"
import type { DeliveryRow } from "../migrations/0009-webhooks.ts"

/** A new delivery, due at once. Receivers know it by its id, whichever attempt reaches them. */
export const delivery = ({
  webhook,
  event,
  body,
  now,
}: {
  readonly webhook: string
  readonly event: string
  readonly body: string
  readonly now: number
}): DeliveryRow => ({
  id: randomUUID(),
  webhook,
  event,
  body,
  state: "pending",
  attempts: 0,
  due: now,
  created: now,
  finished: null,
  response_status: null,
  response_body: null,
  error: null,
})
