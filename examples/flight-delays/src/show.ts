import { Progress } from "@ashlar/core"
import * as Effect from "effect/Effect"

/** Tells how far a task is. */
export type Report = (done: number, total: number, note: string) => void

/** Runs work as a task that a person can follow. */
export const task = <A, E, R>(
  name: string,
  work: (report: Report) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> =>
  Progress.withTask(name, {}, (progress) =>
    work((done, total, note) => progress.update(done, note, total)),
  ) as Effect.Effect<A, E, R>

/** A number for people: `1,234,567`. */
export const count = (value: number): string => Math.round(value).toLocaleString("en-US")

/** `62.3 %` of 0.623. */
export const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`
