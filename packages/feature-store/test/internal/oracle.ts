/** Slow, obvious versions of what the kernels compute. */
import type { Operation } from "../../src/Aggregate.ts"

export interface Event {
  readonly key: number
  readonly event: number
  /** NaN: never became known. */
  readonly created: number
  readonly value: number
}

export interface Label {
  readonly key: number
  readonly time: number
}

/** Row of the record a point-in-time join picks, -1 on a miss. */
export const latest = (events: ReadonlyArray<Event>, label: Label): number => {
  let best = -1
  events.forEach((e, row) => {
    if (e.key !== label.key || !(e.created <= label.time) || e.event > label.time) return
    const b = events[best]
    if (b === undefined || e.event > b.event || (e.event === b.event && e.created >= b.created)) {
      best = row
    }
  })
  return best
}

/** Events of the window `[T - w, T)` known at `T`, in tie-break order. */
const inWindow = (events: ReadonlyArray<Event>, label: Label, window: number) =>
  events
    .map((e, row) => ({ ...e, row }))
    .filter(
      (e) =>
        e.key === label.key &&
        e.event >= label.time - window &&
        e.event < label.time &&
        e.created <= label.time,
    )
    .sort((a, b) => a.event - b.event || a.created - b.created || a.row - b.row)

export const aggregate = (
  events: ReadonlyArray<Event>,
  label: Label,
  window: number,
  operation: Operation,
  countAll: boolean,
): number => {
  const rows = inWindow(events, label, window)
  const values = rows.map((e) => e.value).filter((x) => !Number.isNaN(x))
  if (operation === "count") return countAll ? rows.length : values.length
  if (values.length === 0) return Number.NaN
  const mean = values.reduce((a, b) => a + b, 0) / values.length
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length
  switch (operation) {
    case "sum":
      return values.reduce((a, b) => a + b, 0)
    case "mean":
    case "rate":
      return mean
    case "min":
      return Math.min(...values)
    case "max":
      return Math.max(...values)
    case "variance":
      return variance
    case "std":
      return Math.sqrt(variance)
    case "last":
      return values[values.length - 1] as number
  }
}
