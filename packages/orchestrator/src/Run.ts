/**
 * Runs and steps as they are stored and shown.
 *
 * @module
 */
import * as Schema from "effect/Schema"

/** Schema of a run's state; `pending`: waits for a process to work on it. */
export const RunState = Schema.Literals(["pending", "running", "succeeded", "failed", "cancelled"])

/** State of a run; `pending`: waits for a process to work on it. */
export type RunState = typeof RunState.Type

/** Schema of a run. Times are microseconds since 1970, UTC. */
export const RunInfo = Schema.Struct({
  id: Schema.String,
  workflow: Schema.String,
  key: Schema.String,
  version: Schema.String,
  state: RunState,
  created: Schema.Number,
  finished: Schema.optionalKey(Schema.Number),
  /** Why it failed. */
  error: Schema.optionalKey(Schema.String),
})

/** A run as stored. */
export type RunInfo = typeof RunInfo.Type

/** Schema of a step. Times are microseconds since 1970, UTC. */
export const StepInfo = Schema.Struct({
  name: Schema.String,
  state: Schema.Literals(["running", "succeeded", "failed"]),
  /** 1 for the first; counts on over restarts. */
  attempt: Schema.Number,
  started: Schema.Number,
  finished: Schema.optionalKey(Schema.Number),
  /** Why the last attempt failed. */
  error: Schema.optionalKey(Schema.String),
})

/** A step as stored. */
export type StepInfo = typeof StepInfo.Type

/** What happens to a step while a run goes on. */
export interface StepEvent {
  readonly runId: string
  readonly workflow: string
  readonly step: string
  /** `replayed`: it had succeeded before, and its journaled result is used. */
  readonly state: "replayed" | "running" | "succeeded" | "failed"
  readonly attempt: number
  /** Why the attempt failed. */
  readonly message?: string
}
