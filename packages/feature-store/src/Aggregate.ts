/**
 * Aggregates over trailing windows.
 *
 * The window of length `w` at an instant `T` is `[T - w, T)` by event time, of the events that had
 * become known by `T`. Missing values are left out. A window without values has count 0, and no
 * value for the other aggregates.
 *
 * @module
 */
import type { Duration } from "./Duration.ts"

/** What an aggregate computes. `variance` and `std` are those of the population. */
export type Operation =
  | "count"
  | "sum"
  | "mean"
  | "min"
  | "max"
  | "variance"
  | "std"
  | "rate"
  | "last"

/** A comparison of a numeric column with a number; missing where the column is. */
export interface Predicate {
  readonly column: string
  readonly op: ">" | ">=" | "<" | "<=" | "==" | "!="
  readonly value: number
}

/** One aggregate over one or more windows; a feature for each window, `<as>_<window>`. */
export interface Aggregate<Names extends string = string> {
  readonly operation: Operation
  /** Column it is over; undefined for `rate` and for a `count` of events. */
  readonly column: string | undefined
  /** What `rate` is the rate of. */
  readonly where: Predicate | undefined
  readonly windows: ReadonlyArray<Duration>
  /** First part of the feature names. */
  readonly as: string
  /** Names of its features. */
  readonly names: ReadonlyArray<Names>
}

type Names<As extends string, W extends ReadonlyArray<Duration>> = `${As}_${W[number]}`

const build = <As extends string, const W extends ReadonlyArray<Duration>>(
  operation: Operation,
  as: As,
  windows: W,
  column: string | undefined,
  where?: Predicate,
): Aggregate<Names<As, W>> => ({
  operation,
  column,
  where,
  windows,
  as,
  names: windows.map((window): Names<As, W> => `${as}_${window}`),
})

const over =
  <O extends Operation>(operation: O) =>
  <const C extends string, const W extends ReadonlyArray<Duration>>(column: C, windows: W) =>
    build(operation, `${column}_${operation}` as `${C}_${O}`, windows, column)

/** Number of events, whatever their values: `count_<window>`. */
export const count = <const W extends ReadonlyArray<Duration>>(windows: W) =>
  build("count", "count", windows, undefined)

/** Number of events with a value in the column: `<column>_count_<window>`. */
export const countOf = over("count")

/** Sum of a numeric column: `<column>_sum_<window>`. */
export const sum = over("sum")

/** Mean of a numeric column: `<column>_mean_<window>`. */
export const mean = over("mean")

/** Smallest value: `<column>_min_<window>`. */
export const min = over("min")

/** Largest value: `<column>_max_<window>`. */
export const max = over("max")

/** Variance of the population: `<column>_variance_<window>`. */
export const variance = over("variance")

/** Standard deviation of the population: `<column>_std_<window>`. */
export const std = over("std")

/** Value of the latest event that has one: `<column>_last_<window>`. */
export const last = over("last")

/**
 * Share of events for which a comparison holds, of those with a value: `<name>_rate_<window>`.
 *
 * @example
 * ```ts
 * import { Aggregate } from "@ashlar/feature-store"
 *
 * const late = Aggregate.rate("late", { column: "delay", op: ">", value: 15 }, ["6h", "7d"])
 * late.names // => ["late_rate_6h", "late_rate_7d"]
 * ```
 */
export const rate = <const N extends string, const W extends ReadonlyArray<Duration>>(
  name: N,
  where: Predicate,
  windows: W,
) => build("rate", `${name}_rate` as `${N}_rate`, windows, undefined, where)
