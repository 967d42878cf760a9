/**
 * References to registered models: `models:/name/3`, `models:/name@champion`.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { Name } from "./Name.ts"

/** Schema of a reference: a name with a version, an alias, or neither (the newest version). */
export const ModelRef = Schema.Struct({
  name: Name,
  version: Schema.optionalKey(Schema.Int),
  alias: Schema.optionalKey(Name),
})

/** A reference to a registered model. */
export type ModelRef = typeof ModelRef.Type

const pattern = /^models:\/([^/@]+)(?:\/(\d{1,9})|@([^/@]+))?$/

/**
 * Parses `models:/name`, `models:/name/3` or `models:/name@alias`; `undefined` when malformed.
 *
 * @example
 * ```ts
 * import { ModelRef } from "@ashlar/core"
 *
 * ModelRef.parse("models:/flights@champion") // => { name: "flights", alias: "champion" }
 * ```
 */
export const parse = (uri: string): ModelRef | undefined => {
  const match = pattern.exec(uri)
  if (match === null) return undefined
  const [, name, version, alias] = match
  const ref = {
    name,
    ...(version === undefined ? {} : { version: Number(version) }),
    ...(alias === undefined ? {} : { alias }),
  }
  return Schema.is(ModelRef)(ref) ? ref : undefined
}

/** The URI of a reference. */
export const format = (ref: ModelRef): string =>
  ref.version !== undefined
    ? `models:/${ref.name}/${ref.version}`
    : ref.alias !== undefined
      ? `models:/${ref.name}@${ref.alias}`
      : `models:/${ref.name}`
