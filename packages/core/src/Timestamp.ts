/**
 * Instants as whole microseconds since 1970-01-01T00:00:00Z in a JS number, exact until the year
 * 2255. Arrow columns hold the same count as `Timestamp<us, UTC>`; JSON holds ISO 8601 with `Z`.
 *
 * @module
 */
import * as Schema from "effect/Schema"

/** Schema of an instant in microseconds. */
export const Timestamp = Schema.Number.check(
  Schema.makeFilter(
    (value: number) =>
      Number.isSafeInteger(value) || "a timestamp is a whole number of microseconds",
  ),
)

/** Microseconds since the epoch. */
export type Timestamp = number

/** The current instant; precise to a millisecond. */
export const now = (): Timestamp => Date.now() * 1000

/** From a JS `Date` or milliseconds. */
export const fromMillis = (millis: number | Date): Timestamp => Math.round(Number(millis) * 1000)

/** To whole milliseconds, rounding down. */
export const toMillis = (timestamp: Timestamp): number => Math.floor(timestamp / 1000)

/**
 * ISO 8601 in UTC, with as many fractional digits as needed (0, 3 or 6).
 *
 * @example
 * ```ts
 * import { Timestamp } from "@ashlar/core"
 *
 * Timestamp.toIso(1_500) // => "1970-01-01T00:00:00.001500Z"
 * Timestamp.fromIso("1970-01-01T00:00:01Z") // => 1_000_000
 * ```
 */
export const toIso = (timestamp: Timestamp): string => {
  const millis = toMillis(timestamp)
  const micros = timestamp - millis * 1000
  const iso = new Date(millis).toISOString()
  if (micros !== 0) return `${iso.slice(0, -1)}${String(micros).padStart(3, "0")}Z`
  return iso.endsWith(".000Z") ? `${iso.slice(0, -5)}Z` : iso
}

const isoPattern =
  /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})?)?$/

/** From ISO 8601; a date or a time without zone counts as UTC. `undefined` when malformed. */
export const fromIso = (iso: string): Timestamp | undefined => {
  const match = isoPattern.exec(iso)
  if (match === null) return undefined
  const [, date = "", time = "00:00:00", fraction = "", zone = "Z"] = match
  // JS reads 30 February as 2 March.
  const day = new Date(`${date}T00:00:00Z`)
  if (Number.isNaN(day.getTime()) || !day.toISOString().startsWith(date)) return undefined
  const millis = Date.parse(`${date}T${time}${zone}`)
  if (Number.isNaN(millis)) return undefined
  return millis * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6))
}
