import type { SeriesRow } from "../migrations/0004-tracking.ts"
import { at, compare, type Points } from "./points.ts"

/** What a series keeps of its points. */
export type Rollup = Pick<
  SeriesRow,
  | "count"
  | "numbers"
  | "last_step"
  | "last_time"
  | "last_value"
  | "min_value"
  | "max_value"
  | "sum_value"
  | "mean_value"
>

const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value)

/** A series with sorted points it did not have. */
export const add = (known: Rollup | undefined, points: Points): Rollup => {
  let numbers = 0
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  let sum = known === undefined || known.numbers === 0 ? 0 : (known.sum_value ?? Number.NaN)
  for (const value of points.values) {
    if (Number.isNaN(value)) continue
    numbers += 1
    sum += value
    if (value < low) low = value
    if (value > high) high = value
  }
  const total = numbers + (known?.numbers ?? 0)
  const newest = at(points, points.steps.length - 1)
  const last = known === undefined || compare(newest, lastOf(known)) > 0 ? newest : lastOf(known)
  return {
    count: points.steps.length + (known?.count ?? 0),
    numbers: total,
    last_step: last.step,
    last_time: last.time,
    last_value: orNull(last.value),
    min_value: total === 0 ? null : Math.min(low, known?.min_value ?? low),
    max_value: total === 0 ? null : Math.max(high, known?.max_value ?? high),
    sum_value: total === 0 ? null : orNull(sum),
    mean_value: total === 0 ? null : orNull(sum / total),
  }
}

/** The last point of a series. */
export const lastOf = ({
  last_step,
  last_time,
  last_value,
}: Pick<SeriesRow, "last_step" | "last_time" | "last_value">) => ({
  step: last_step,
  time: last_time,
  value: last_value ?? Number.NaN,
})
