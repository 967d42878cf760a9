/**
 * Port: something asks for work: a retrain, a relabel, a rollback. Implemented by the orchestrator.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Failure from "./Failure.ts"
import { Name } from "./Name.ts"

/** A trigger could not be recorded. */
export class TriggerError extends Schema.TaggedError<TriggerError>()(
  "TriggerError",
  Failure.fields(["InvalidInput", "NotFound", "Unavailable", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Schema of a request for work. The same `key` fires once. */
export const TriggerEvent = Schema.Struct({
  key: Schema.NonEmptyString,
  /** What is asked for, e.g. `retrain`. */
  kind: Name,
  /** What it is about, e.g. a model name. */
  subject: Schema.NonEmptyString,
  /** Why, for a person. */
  reason: Schema.String,
  payload: Schema.optionalKey(Schema.Json),
})

/** A request for work. */
export type TriggerEvent = typeof TriggerEvent.Type

/** What a trigger started; `duplicate` when the key had fired before. */
export interface TriggerReceipt {
  readonly triggerId: string
  readonly duplicate: boolean
}

/** Takes requests for work, durably. */
export class Trigger extends Context.Service<
  Trigger,
  {
    readonly fire: (event: TriggerEvent) => Effect.Effect<TriggerReceipt, TriggerError>
  }
>()("@ashlar/core/Trigger/v1") {}
