/**
 * SPI: at-least-once events with a transactional outbox. Backend: the Database.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Failure from "./Failure.ts"
import type { Timestamp } from "./Timestamp.ts"

/** Events could not be published or consumed. */
export class EventsError extends Schema.TaggedError<EventsError>()(
  "EventsError",
  Failure.fields(["InvalidInput", "TooLarge", "Unavailable", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** An event to publish. The same (topic, key) is published once. */
export interface NewEvent {
  readonly topic: string
  readonly key: string
  readonly payload: Schema.Json
}

/** A published event. Positions of a topic increase in the order of commit. */
export interface Event extends NewEvent {
  readonly position: number
  readonly time: Timestamp
}

/** Publishes and consumes events. */
export class Events extends Context.Service<
  Events,
  {
    /** Inside a Database transaction, the events become visible with its commit. */
    readonly publish: (events: ReadonlyArray<NewEvent>) => Effect.Effect<void, EventsError>
    /**
     * Feeds a consumer group from its stored position until the scope closes. Events of a topic
     * come in order; the position advances after the handler succeeds, so after a crash an event
     * may come again. A failing handler is retried with backoff.
     */
    readonly consume: <E, R>(
      subscription: { readonly topic: string; readonly group: string; readonly batch?: number },
      handler: (events: ReadonlyArray<Event>) => Effect.Effect<void, E, R>,
    ) => Effect.Effect<void, EventsError, R | Scope.Scope>
    /** Events after a position, oldest first, at most `limit`. */
    readonly read: (
      topic: string,
      after: number,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Event>, EventsError>
  }
>()("@ashlar/core/Events/v1") {}
