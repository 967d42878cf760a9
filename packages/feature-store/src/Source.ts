/**
 * A log of events that features are computed from; ingested once, read by any number of views.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { decode, FeatureName } from "./internal/define.ts"

/** A source of events. */
export interface Source {
  readonly kind: "source"
  readonly name: string
  /** Column with the time of the event. */
  readonly timestamp: string
  /**
   * Column with the time the event became known; without it, events are known when they happen. An
   * event without a value there never became known and is never used.
   */
  readonly created: string | undefined
}

const Fields = Schema.Struct({
  name: FeatureName,
  timestamp: Schema.NonEmptyString,
  created: Schema.optional(Schema.NonEmptyString),
})

/**
 * Defines a source. Throws `DefinitionError`.
 *
 * @example
 * ```ts
 * import { Source } from "@ashlar/feature-store"
 *
 * const flights = Source.make({ name: "flights", timestamp: "departure", created: "arrival" })
 * flights.created // => "arrival"
 * ```
 */
export const make = (definition: {
  readonly name: string
  readonly timestamp: string
  readonly created?: string
}): Source => {
  decode(`source '${definition.name}'`, Fields, definition)
  const { created, name, timestamp } = definition
  return { kind: "source", name, timestamp, created }
}
