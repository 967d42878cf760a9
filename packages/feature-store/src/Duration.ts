/**
 * Lengths of time in definitions: a whole number and a unit, such as `"6h"` or `"7d"`.
 *
 * @module
 */
import { invalid } from "./internal/define.ts"

/** A positive whole number of seconds, minutes, hours, days or weeks. */
export type Duration = `${number}${"s" | "m" | "h" | "d" | "w"}`

const micros = { s: 1e6, m: 60e6, h: 3600e6, d: 86_400e6, w: 604_800e6 } as const

/**
 * Length in microseconds.
 *
 * @example
 * ```ts
 * import { Duration } from "@ashlar/feature-store"
 *
 * Duration.toMicros("6h") // => 21_600_000_000
 * ```
 */
export const toMicros = (duration: Duration): number => {
  const match = /^([1-9]\d{0,8})([smhdw])$/.exec(duration)
  const unit = match?.[2] as keyof typeof micros | undefined
  if (match === null || unit === undefined) {
    throw invalid(
      "duration",
      `'${duration}' is no duration; write a positive whole number and one of s, m, h, d, w, such as '6h'`,
    )
  }
  return Number(match[1]) * micros[unit]
}
