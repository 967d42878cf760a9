/**
 * SPI: run jobs somewhere. Backends: `process` (child processes), `worker` (worker threads).
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as Failure from "./Failure.ts"
import type { JobSpec, JobStatus, LogLine } from "./Job.ts"
import type { Page, PageRequest } from "./Page.ts"

/** A job could not be submitted, watched or cancelled. */
export class ComputeError extends Schema.TaggedError<ComputeError>()(
  "ComputeError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "Conflict",
    "NotSupported",
    "OutOfSpace",
    "Unavailable",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** What a backend can do. Undeclared operations fail with `NotSupported`. */
export interface ComputeCapabilities {
  /** Kinds of task it runs. */
  readonly tasks: ReadonlyArray<"Command" | "Call">
  /** Jobs and logs outlive the submitting process, and `status` finds them again. */
  readonly adopt: boolean
  /** A memory limit is enforced. */
  readonly memoryLimit: boolean
}

/** Runs jobs, keeps their logs, and stops whole process trees. */
export class Compute extends Context.Service<
  Compute,
  {
    readonly name: string
    readonly capabilities: ComputeCapabilities
    /** Queues a job. An id that is known returns that job's status and starts nothing. */
    readonly submit: (job: JobSpec) => Effect.Effect<JobStatus, ComputeError>
    readonly status: (id: string) => Effect.Effect<JobStatus, ComputeError>
    /** The final status, once there is one. */
    readonly wait: (id: string) => Effect.Effect<JobStatus, ComputeError>
    /** Lines kept so far, then (with `follow`) new ones until the job ends. */
    readonly logs: (
      id: string,
      options?: { readonly follow?: boolean },
    ) => Stream.Stream<LogLine, ComputeError>
    /** SIGTERM, the job's grace, then SIGKILL, to everything it started. */
    readonly cancel: (id: string) => Effect.Effect<JobStatus, ComputeError>
    /** Jobs, newest first. */
    readonly list: (page?: PageRequest) => Effect.Effect<Page<JobStatus>, ComputeError>
  }
>()("@ashlar/core/Compute/v1") {}
