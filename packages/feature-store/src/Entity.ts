/**
 * What features are about: a customer, an airport, a route.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { decode, FeatureName, invalid } from "./internal/define.ts"

/** Types of join keys; an `int64` key is a whole number within 2^53. */
export type KeyType = "string" | "int64"

/** Join keys by name, in order. Their names are the columns of sources, labels and requests. */
export type JoinKeys = Readonly<Record<string, KeyType>>

/** An entity. */
export interface Entity<Keys extends JoinKeys = JoinKeys> {
  readonly kind: "entity"
  readonly name: string
  readonly joinKeys: Keys
}

const Fields = Schema.Struct({
  name: FeatureName,
  joinKeys: Schema.Record(FeatureName, Schema.Literals(["string", "int64"])),
})

/**
 * Defines an entity. Throws `DefinitionError`.
 *
 * @example
 * ```ts
 * import { Entity } from "@ashlar/feature-store"
 *
 * const route = Entity.make({ name: "route", joinKeys: { origin: "string", destination: "string" } })
 * Object.keys(route.joinKeys) // => ["origin", "destination"]
 * ```
 */
export const make = <const Keys extends JoinKeys>(definition: {
  readonly name: string
  readonly joinKeys: Keys
}): Entity<Keys> => {
  decode(`entity '${definition.name}'`, Fields, definition)
  if (Object.keys(definition.joinKeys).length === 0) {
    throw invalid("joinKeys", `entity '${definition.name}' has no join keys; name at least one`)
  }
  return { kind: "entity", name: definition.name, joinKeys: { ...definition.joinKeys } }
}
