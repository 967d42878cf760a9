/**
 * The features of one model: views in a fixed order, trained on and served under one name.
 *
 * @module
 */
import { Digest } from "@ashlar/core"
import * as Schema from "effect/Schema"
import type { FeatureView } from "./FeatureView.ts"
import {
  decode,
  type Description,
  FeatureName,
  invalid,
  unique,
  Version,
} from "./internal/define.ts"
import type { RequestView } from "./RequestView.ts"

/** A view a service can be made of. */
export type View<Name extends string = string, Features extends string = string> =
  | FeatureView<Name, Features>
  | RequestView<Name, Features>

/** Types of numbers in frames and vectors. */
export type Precision = "float64" | "float32"

/** A feature service. */
export interface FeatureService<Features extends string = string> {
  readonly kind: "service"
  readonly name: string
  readonly version: number
  readonly views: ReadonlyArray<View>
  /** Output columns in order. */
  readonly features: ReadonlyArray<Features>
  readonly fullNames: boolean
  /** Type of the numbers in frames and vectors; both round the same float64 values. */
  readonly precision: Precision
  readonly description: Description
  readonly digest: Digest.Digest
}

type FullNames<V> = V extends View<infer Name, infer Features> ? `${Name}__${Features}` : never

/** The output columns of views. */
export type NamesOf<Views extends ReadonlyArray<View>, Full extends boolean> = Full extends true
  ? FullNames<Views[number]>
  : Views[number]["features"][number]

const Fields = Schema.Struct({
  name: FeatureName,
  version: Schema.optional(Version),
  fullNames: Schema.optional(Schema.Boolean),
  precision: Schema.optional(Schema.Literals(["float64", "float32"])),
})

const describe = (service: Omit<FeatureService, "digest" | "description">): Description => ({
  fixed: { fullNames: service.fullNames },
  parts: Object.fromEntries(service.views.map((view) => [view.name, { version: view.version }])),
})

/**
 * Defines a feature service. Its columns come in the order of the views and of their features. With
 * `fullNames` a column is called `<view>__<feature>`, which two views with a feature of the same
 * name need. Throws `DefinitionError`.
 */
export const make = <
  const Views extends ReadonlyArray<View>,
  const Full extends boolean = false,
>(definition: {
  readonly name: string
  /** Default 1. */
  readonly version?: number
  readonly views: Views
  /** Default false. */
  readonly fullNames?: Full
  /** Default `float64`; `float32` halves the memory of training frames. */
  readonly precision?: Precision
}): FeatureService<NamesOf<Views, Full>> => {
  const what = `feature service '${definition.name}'`
  decode(what, Fields, definition)
  const { views } = definition
  const fullNames: boolean = definition.fullNames ?? false
  if (views.length === 0) throw invalid("views", `${what} has no views; give it at least one`)
  unique(
    `views of ${what}`,
    views.map((view) => view.name),
  )
  const features = views.flatMap((view) =>
    view.features.map((feature) => (fullNames ? `${view.name}__${feature}` : feature)),
  )
  const twice = features.find((name, i) => features.indexOf(name) !== i)
  if (twice !== undefined) {
    const owners = views.filter((view) => view.features.includes(twice)).map((view) => view.name)
    throw invalid(
      "views",
      `${what}: the views ${owners.join(" and ")} both have a feature '${twice}'; set fullNames: true`,
    )
  }
  const service = {
    kind: "service" as const,
    name: definition.name,
    version: definition.version ?? 1,
    views,
    features: features as ReadonlyArray<string> as ReadonlyArray<NamesOf<Views, Full>>,
    fullNames,
    precision: definition.precision ?? "float64",
  }
  const description = describe(service)
  const { name, precision, version } = service
  return {
    ...service,
    description,
    digest: Digest.ofJson({ name, version, features, precision, ...description }),
  }
}
