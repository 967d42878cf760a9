/**
 * Calendar windows in UTC; weeks start on Monday (ISO 8601).
 *
 * @module
 */
import * as Schema from "effect/Schema"

/** How time is cut; `all` is one window. */
export const By = Schema.Literals(["day", "week", "month", "all"])

/** How time is cut. */
export type By = typeof By.Type

/** From `from` (inclusive) to `to` (exclusive), microseconds UTC. */
export interface Window {
  readonly from: number
  readonly to: number
}

const day = 86_400_000_000

/** The calendar window that holds an instant; `all` needs none and gives the given bounds. */
export const of = (
  time: number,
  by: By,
  all: Window = { from: -Infinity, to: Infinity },
): Window => {
  if (by === "all") return all
  const days = Math.floor(time / day)
  if (by === "day") return { from: days * day, to: (days + 1) * day }
  if (by === "week") {
    // 1970-01-01 was a Thursday.
    const monday = Math.floor((days + 3) / 7) * 7 - 3
    return { from: monday * day, to: (monday + 7) * day }
  }
  const date = new Date(days * 86_400_000)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  return { from: Date.UTC(year, month) * 1000, to: Date.UTC(year, month + 1) * 1000 }
}

/**
 * The window before one.
 *
 * @example
 * ```ts
 * import { Window } from "@ashlar/monitoring"
 * import { Timestamp } from "@ashlar/core"
 *
 * const june = Window.of(Timestamp.fromIso("2001-06-17") ?? 0, "month")
 * Timestamp.toIso(Window.before(june, "month").from) // => "2001-05-01T00:00:00Z"
 * ```
 */
export const before = (window: Window, by: By): Window => of(window.from - 1, by, window)
