/**
 * Distributions of hyper-parameters, as Optuna writes them in JSON.
 *
 * @module
 */
import * as Schema from "effect/Schema"

const range = { low: Schema.Finite, high: Schema.Finite, log: Schema.Boolean }

const isUsable = (a: {
  readonly low: number
  readonly high: number
  readonly log: boolean
  readonly step: number | null
}) => {
  if (a.low > a.high) return `low ${a.low} is above high ${a.high}`
  if (a.step !== null && a.step <= 0) return `step ${a.step} is not above 0`
  if (a.log && a.low <= 0) return `a log distribution needs low above 0, not ${a.low}`
  return undefined
}

/** Real numbers in [low, high], uniform or log-uniform, or on a grid of `step`. */
export const FloatDistribution = Schema.Struct({
  name: Schema.Literal("FloatDistribution"),
  attributes: Schema.Struct({ ...range, step: Schema.NullOr(Schema.Finite) })
    .check(Schema.makeFilter(isUsable))
    .check(
      Schema.makeFilter((a) =>
        a.log && a.step !== null ? "log and step exclude each other" : undefined,
      ),
    ),
})

/** Whole numbers in [low, high], uniform or log-uniform, `step` apart. */
export const IntDistribution = Schema.Struct({
  name: Schema.Literal("IntDistribution"),
  attributes: Schema.Struct({
    low: Schema.Int,
    high: Schema.Int,
    log: Schema.Boolean,
    step: Schema.Int,
  })
    .check(Schema.makeFilter(isUsable))
    .check(
      Schema.makeFilter((a) =>
        a.log && a.step !== 1 ? "a log distribution of integers has step 1" : undefined,
      ),
    ),
})

/** One of several values. */
export const CategoricalDistribution = Schema.Struct({
  name: Schema.Literal("CategoricalDistribution"),
  attributes: Schema.Struct({
    choices: Schema.NonEmptyArray(Schema.Union([Schema.String, Schema.Finite, Schema.Boolean])),
  }),
})

/** Schema of a distribution. */
export const Distribution = Schema.Union([
  FloatDistribution,
  IntDistribution,
  CategoricalDistribution,
])

/** A distribution of one hyper-parameter. */
export type Distribution = typeof Distribution.Type

/** Schema of a search space. */
export const Space = Schema.Record(Schema.NonEmptyString, Distribution)

/** Distributions by parameter name. */
export type Space = typeof Space.Type

/** Real numbers in [low, high]. */
export const float = (
  low: number,
  high: number,
  options: { readonly log?: boolean; readonly step?: number } = {},
): Distribution => ({
  name: "FloatDistribution",
  attributes: { step: options.step ?? null, low, high, log: options.log ?? false },
})

/**
 * Whole numbers in [low, high].
 *
 * @example
 * ```ts
 * import { Distribution } from "@ashlar/training"
 *
 * Distribution.int(15, 63).attributes // => { log: false, step: 1, low: 15, high: 63 }
 * ```
 */
export const int = (
  low: number,
  high: number,
  options: { readonly log?: boolean; readonly step?: number } = {},
): Distribution => ({
  name: "IntDistribution",
  attributes: { log: options.log ?? false, step: options.step ?? 1, low, high },
})

/** One of the choices. */
export const categorical = (
  choices: readonly [string | number | boolean, ...ReadonlyArray<string | number | boolean>],
): Distribution => ({ name: "CategoricalDistribution", attributes: { choices } })
