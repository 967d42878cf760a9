/**
 * Work for a {@link Compute} backend, and what became of it.
 *
 * @module
 */
import * as Schema from "effect/Schema"
import { Name } from "./Name.ts"
import { Timestamp } from "./Timestamp.ts"

/** What a job may use. A backend grants no more, and tells children through the environment. */
export const Resources = Schema.Struct({
  /** CPU threads; default 1. */
  cpus: Schema.optionalKey(Schema.Finite),
  memoryMb: Schema.optionalKey(Schema.Int),
  gpus: Schema.optionalKey(Schema.Int),
})

/** Retry after a failed attempt. */
export const RetryPolicy = Schema.Struct({
  /** Attempts in all; 1 means no retry. */
  attempts: Schema.Int,
  /** Wait before the second attempt, doubled for each further one; milliseconds, default 1000. */
  backoffMs: Schema.optionalKey(Schema.Int),
  /** Longest wait between attempts, milliseconds; default 60000. */
  maxBackoffMs: Schema.optionalKey(Schema.Int),
  /** Retry only for these exit codes; absent means any failure. */
  exitCodes: Schema.optionalKey(Schema.Array(Schema.Int)),
})

/** A program with arguments, run without a shell. */
export const Command = Schema.Struct({
  _tag: Schema.tag("Command"),
  argv: Schema.NonEmptyArray(Schema.String),
  cwd: Schema.optionalKey(Schema.String),
  /** Added to the (small) inherited environment. */
  env: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})

/** An exported function of a module: `(input, { signal, log }) => output`, both JSON. */
export const Call = Schema.Struct({
  _tag: Schema.tag("Call"),
  /** `file:` URL of the module. */
  module: Schema.String,
  /** Name of the exported function. */
  function: Schema.String,
  input: Schema.Json,
})

/** Schema of a job. */
export const JobSpec = Schema.Struct({
  /** Idempotency key: submitting the same id again returns the same job. */
  id: Schema.NonEmptyString,
  name: Name,
  task: Schema.Union([Command, Call]),
  resources: Schema.optionalKey(Resources),
  /** Wall time of one attempt in milliseconds; the job is then stopped and counts as failed. */
  timeoutMs: Schema.optionalKey(Schema.Int),
  /** Time between SIGTERM and SIGKILL in milliseconds; default 10000. */
  graceMs: Schema.optionalKey(Schema.Int),
  retry: Schema.optionalKey(RetryPolicy),
  labels: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
})

/** Work to run. */
export type JobSpec = typeof JobSpec.Type

/** State of a job; the last five are final. `lost`: its process vanished without a result. */
export const JobState = Schema.Literals([
  "queued",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "timed_out",
  "lost",
])

/** State of a job. */
export type JobState = typeof JobState.Type

/** Schema of a job's status. */
export const JobStatus = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  state: JobState,
  attempt: Schema.Int,
  submitted: Timestamp,
  started: Schema.optionalKey(Timestamp),
  finished: Schema.optionalKey(Timestamp),
  exitCode: Schema.optionalKey(Schema.Int),
  signal: Schema.optionalKey(Schema.String),
  /** Why it did not succeed, for a person. */
  message: Schema.optionalKey(Schema.String),
  /** What a `Call` returned. */
  output: Schema.optionalKey(Schema.Json),
  pid: Schema.optionalKey(Schema.Int),
})

/** What became of a job. */
export type JobStatus = typeof JobStatus.Type

/** One line of a job's output. */
export interface LogLine {
  readonly time: Timestamp
  readonly stream: "stdout" | "stderr"
  readonly line: string
  readonly attempt: number
}

/** True once a state cannot change any more. */
export const isFinal = (state: JobState): boolean => state !== "queued" && state !== "running"
