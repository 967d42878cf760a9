/**
 * Port: record what a training run did. Implemented by the registry.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { DatasetRef } from "./Dataset.ts"
import * as Failure from "./Failure.ts"
import type { Timestamp } from "./Timestamp.ts"

/** A run could not be recorded. */
export class RunTrackerError extends Schema.TaggedError<RunTrackerError>()(
  "RunTrackerError",
  Failure.fields(["InvalidInput", "NotFound", "Conflict", "Unavailable", "Internal"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** A run to start. Starting again with the same `key` returns the run that exists. */
export interface StartRun {
  readonly experiment: string
  readonly name?: string
  /** Idempotency key, unique within the experiment. */
  readonly key?: string
  readonly parentRunId?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly params?: Readonly<Record<string, string | number | boolean>>
  readonly inputs?: ReadonlyArray<DatasetRef & { readonly context?: string }>
  /** Version of the code, e.g. a git commit. */
  readonly codeVersion?: string
  readonly seed?: number
}

/** Status of a run, with MLflow's names. */
export type RunStatus = "RUNNING" | "SCHEDULED" | "FINISHED" | "FAILED" | "KILLED"

/** A run as recorded. Metrics hold the last value of each series. */
export interface Run {
  readonly runId: string
  readonly experimentId: string
  readonly name: string
  readonly status: RunStatus
  readonly started: Timestamp
  readonly ended?: Timestamp
  readonly params: Readonly<Record<string, string>>
  readonly metrics: Readonly<Record<string, number>>
  readonly tags: Readonly<Record<string, string>>
}

/** One point of a metric series. */
export interface Metric {
  readonly key: string
  readonly value: number
  readonly step?: number
  readonly time?: Timestamp
}

/** Facts to add to a run; all of a batch is recorded, or nothing. */
export interface RunBatch {
  readonly metrics?: ReadonlyArray<Metric>
  readonly params?: Readonly<Record<string, string | number | boolean>>
  readonly tags?: Readonly<Record<string, string>>
}

/** Records runs, their parameters, metrics and artifacts. */
export class RunTracker extends Context.Service<
  RunTracker,
  {
    readonly startRun: (run: StartRun) => Effect.Effect<Run, RunTrackerError>
    readonly log: (runId: string, batch: RunBatch) => Effect.Effect<void, RunTrackerError>
    /** Stores a local file or directory under `path` of the run's artifacts. */
    readonly logArtifact: (
      runId: string,
      artifact: { readonly path: string; readonly file: string },
    ) => Effect.Effect<void, RunTrackerError>
    readonly finishRun: (
      runId: string,
      status: "FINISHED" | "FAILED" | "KILLED",
    ) => Effect.Effect<Run, RunTrackerError>
    readonly getRun: (runId: string) => Effect.Effect<Run, RunTrackerError>
    /** The run started with this key, if any. */
    readonly findRun: (
      experiment: string,
      key: string,
    ) => Effect.Effect<Run | undefined, RunTrackerError>
  }
>()("@ashlar/core/RunTracker/v1") {}
