/**
 * Features computed from the request itself by one pure function, the same when training frames are
 * built and when vectors are served.
 *
 * @module
 */
import { Digest } from "@ashlar/core"
import * as Schema from "effect/Schema"
import { decode, type Description, FeatureName, invalid, Version } from "./internal/define.ts"

/** Types of inputs; a `timestamp` is whole microseconds since the epoch. */
export type InputType = "float64" | "string" | "timestamp"

/** Types of outputs. */
export type OutputType = "float64" | "string"

/** Columns as the function gets them; a missing number is NaN, a missing string null. */
export type InputsOf<Inputs extends Readonly<Record<string, InputType>>> = {
  readonly [K in keyof Inputs]: Inputs[K] extends "string"
    ? ReadonlyArray<string | null>
    : Float64Array
}

/** Columns as the function returns them, with one value per row. */
export type OutputsOf<Outputs extends Readonly<Record<string, OutputType>>> = {
  readonly [K in keyof Outputs]: Outputs[K] extends "string"
    ? ReadonlyArray<string | null>
    : Float64Array | Float32Array | Int32Array
}

/** A request view. */
export interface RequestView<Name extends string = string, Features extends string = string> {
  readonly kind: "request"
  readonly name: Name
  readonly version: number
  readonly inputs: Readonly<Record<string, InputType>>
  readonly outputs: Readonly<Record<string, OutputType>>
  /** Names of its features, in order. */
  readonly features: ReadonlyArray<Features>
  readonly compute: (
    columns: Readonly<Record<string, unknown>>,
  ) => Readonly<Record<string, unknown>>
  readonly description: Description
  readonly digest: Digest.Digest
}

const Fields = Schema.Struct({
  name: FeatureName,
  version: Schema.optional(Version),
  inputs: Schema.Record(FeatureName, Schema.Literals(["float64", "string", "timestamp"])),
  features: Schema.Record(FeatureName, Schema.Literals(["float64", "string"])),
})

/**
 * The part of a view that is stored. The text of the function is left out: it differs between a
 * program's sources and its build. Change the version when the function changes meaning.
 */
const describe = (view: Omit<RequestView, "digest" | "description">): Description => ({
  fixed: { inputs: view.inputs },
  parts: view.outputs,
})

/**
 * Defines a request view. `compute` must be pure and give each row a value that depends on that row
 * alone. Throws `DefinitionError`.
 *
 * @example
 * ```ts
 * import { RequestView } from "@ashlar/feature-store"
 *
 * const calendar = RequestView.make({
 *   name: "calendar",
 *   inputs: { time: "timestamp", distance: "float64" },
 *   features: { hour: "float64", distance: "float64" },
 *   compute: ({ distance, time }) => ({ hour: time.map((t) => Math.floor(t / 3600e6) % 24), distance }),
 * })
 * calendar.features // => ["hour", "distance"]
 * ```
 */
export const make = <
  const Name extends string,
  const Inputs extends Readonly<Record<string, InputType>>,
  const Outputs extends Readonly<Record<string, OutputType>>,
>(definition: {
  readonly name: Name
  /** Default 1. */
  readonly version?: number
  readonly inputs: Inputs
  readonly features: Outputs
  readonly compute: (columns: InputsOf<Inputs>) => OutputsOf<Outputs>
}): RequestView<Name, Extract<keyof Outputs, string>> => {
  const what = `request view '${definition.name}'`
  decode(what, Fields, definition)
  const features = Object.keys(definition.features)
  if (features.length === 0) throw invalid("features", `${what} has no features; name at least one`)
  if (Object.keys(definition.inputs).length === 0) {
    throw invalid("inputs", `${what} has no inputs; name the request's columns it is computed from`)
  }
  const view = {
    kind: "request" as const,
    name: definition.name,
    version: definition.version ?? 1,
    inputs: { ...definition.inputs },
    outputs: { ...definition.features },
    features: features as ReadonlyArray<string> as ReadonlyArray<Extract<keyof Outputs, string>>,
    // The columns handed over are made from `inputs`, so they have these types.
    compute: definition.compute as RequestView["compute"],
  }
  const description = describe(view)
  const { name, version } = view
  return {
    ...view,
    description,
    digest: Digest.ofJson({ name, version, features, ...description }),
  }
}
