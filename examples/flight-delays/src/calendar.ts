import { Timestamp } from "@ashlar/core"

/** Microseconds of a day. */
export const day = 86_400e6

/** How often the online features are brought up to date, microseconds. */
export const refresh = 2 * 3600e6

/** The last refresh before an instant: what the online store then knows. */
export const refreshBefore = (time: Timestamp.Timestamp): Timestamp.Timestamp =>
  Math.floor(time / refresh) * refresh

/** Midnight UTC of a date of 2001. */
export const date = (month: number, dayOfMonth = 1): Timestamp.Timestamp =>
  Date.UTC(2001, month - 1, dayOfMonth) * 1000

/** `2001-06-08` of an instant. */
export const isoDate = (time: Timestamp.Timestamp): string => Timestamp.toIso(time).slice(0, 10)

/** From `from` (inclusive) to `to` (exclusive), microseconds UTC. */
export interface Span {
  readonly from: Timestamp.Timestamp
  readonly to: Timestamp.Timestamp
}

/** A span in pieces of at most this many days. */
export const split = (span: Span, days: number): ReadonlyArray<Span> => {
  const pieces: Array<Span> = []
  for (let from = span.from; from < span.to; from += days * day) {
    pieces.push({ from, to: Math.min(from + days * day, span.to) })
  }
  return pieces
}
