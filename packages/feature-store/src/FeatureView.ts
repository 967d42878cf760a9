/**
 * Features of one entity from one source: columns of the latest known event, aggregates over
 * trailing windows, or both.
 *
 * @module
 */
import { Digest } from "@ashlar/core"
import * as Schema from "effect/Schema"
import type { Aggregate } from "./Aggregate.ts"
import { type Duration, toMicros } from "./Duration.ts"
import type { Entity } from "./Entity.ts"
import {
  decode,
  type Description,
  FeatureName,
  invalid,
  unique,
  Version,
} from "./internal/define.ts"
import type { Source } from "./Source.ts"

/** Types of column features; `float64` takes any numeric or boolean column. */
export type FeatureType = "float64" | "string"

/** A feature view. */
export interface FeatureView<Name extends string = string, Features extends string = string> {
  readonly kind: "view"
  readonly name: Name
  readonly version: number
  readonly entity: Entity
  readonly source: Source
  /** Columns of the latest event that was known. */
  readonly columns: Readonly<Record<string, FeatureType>>
  readonly aggregates: ReadonlyArray<Aggregate>
  /** Names of all features, in order: columns, then aggregates. */
  readonly features: ReadonlyArray<Features>
  /** Oldest age of the latest event, inclusive, in microseconds; undefined: any age. */
  readonly ttl: number | undefined
  readonly description: Description
  /** Changes whenever the meaning or layout of a feature does. */
  readonly digest: Digest.Digest
}

/** What can be said about a view. */
export interface Definition<
  Name extends string,
  Columns extends Readonly<Record<string, FeatureType>>,
  Aggregates extends ReadonlyArray<Aggregate>,
> {
  readonly name: Name
  /** Default 1. */
  readonly version?: number
  readonly entity: Entity
  readonly source: Source
  /** Source columns to serve as of the latest known event. */
  readonly features?: Columns
  readonly aggregates?: Aggregates
  /**
   * How old the latest known event of an entity may be for its features to count; exactly this age
   * still counts. An entity whose latest event is older has status `OUTSIDE_MAX_AGE`, in training
   * frames and online alike.
   */
  readonly ttl?: Duration
}

/** The names of the features a definition makes. */
export type NamesOf<Columns, Aggregates extends ReadonlyArray<Aggregate>> =
  | Extract<keyof Columns, string>
  | Aggregates[number]["names"][number]

const AggregateFields = Schema.Struct({
  operation: Schema.Literals([
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "variance",
    "std",
    "rate",
    "last",
  ]),
  as: FeatureName,
  column: Schema.UndefinedOr(Schema.NonEmptyString),
  where: Schema.UndefinedOr(
    Schema.Struct({
      column: Schema.NonEmptyString,
      op: Schema.Literals([">", ">=", "<", "<=", "==", "!="]),
      value: Schema.Finite,
    }),
  ),
  windows: Schema.NonEmptyArray(Schema.String),
})

const Fields = Schema.Struct({
  name: FeatureName,
  version: Schema.optional(Version),
  features: Schema.optional(Schema.Record(FeatureName, Schema.Literals(["float64", "string"]))),
  aggregates: Schema.optional(Schema.Array(AggregateFields)),
})

/** The part of a view that decides its values. */
const describe = (view: Omit<FeatureView, "digest" | "description">): Description => ({
  fixed: {
    entity: view.entity.name,
    joinKeys: Object.entries(view.entity.joinKeys),
    source: view.source.name,
    ttl: view.ttl ?? null,
  },
  parts: Object.fromEntries([
    ...Object.entries(view.columns).map(([name, type]) => [name, { type }] as const),
    ...view.aggregates.flatMap(({ column, names, operation, where, windows }) =>
      names.map((name, i) => [name, { operation, column, where, window: windows[i] }] as const),
    ),
  ]),
})

/**
 * Defines a feature view. Throws `DefinitionError`.
 *
 * @example
 * ```ts
 * import { Aggregate, Entity, FeatureView, Source } from "@ashlar/feature-store"
 *
 * const airport = Entity.make({ name: "airport", joinKeys: { origin: "string" } })
 * const flights = Source.make({ name: "flights", timestamp: "departure", created: "arrival" })
 * const delays = FeatureView.make({
 *   name: "origin_delays",
 *   entity: airport,
 *   source: flights,
 *   aggregates: [Aggregate.mean("delay", ["6h", "7d"]), Aggregate.count(["1d"])],
 *   ttl: "30d",
 * })
 * delays.features // => ["delay_mean_6h", "delay_mean_7d", "count_1d"]
 * ```
 */
export const make = <
  const Name extends string,
  const Columns extends Readonly<Record<string, FeatureType>> = {},
  const Aggregates extends ReadonlyArray<Aggregate> = readonly [],
>(
  definition: Definition<Name, Columns, Aggregates>,
): FeatureView<Name, NamesOf<Columns, Aggregates>> => {
  const what = `feature view '${definition.name}'`
  decode(what, Fields, definition)
  const columns: Readonly<Record<string, FeatureType>> = { ...definition.features }
  const aggregates = definition.aggregates ?? []
  const features = [...Object.keys(columns), ...aggregates.flatMap((a) => a.names)]
  if (features.length === 0) {
    throw invalid("features", `${what} has no features; give it columns or aggregates`)
  }
  unique(what, features)
  const { entity, source } = definition
  const clash = features.find((name) => Object.hasOwn(entity.joinKeys, name))
  if (clash !== undefined) {
    throw invalid(
      "features",
      `${what}: '${clash}' is a join key of '${entity.name}', and cannot be a feature`,
    )
  }
  for (const { windows } of aggregates) for (const window of windows) toMicros(window)
  const view = {
    kind: "view" as const,
    name: definition.name,
    version: definition.version ?? 1,
    entity,
    source,
    columns,
    aggregates,
    features: features as ReadonlyArray<NamesOf<Columns, Aggregates>>,
    ttl: definition.ttl === undefined ? undefined : toMicros(definition.ttl),
  }
  const description = describe(view)
  const { name, version } = view
  return {
    ...view,
    description,
    digest: Digest.ofJson({ name, version, features, ...description }),
  }
}
