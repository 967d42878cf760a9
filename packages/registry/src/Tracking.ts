/**
 * One interface to experiments and runs, in this process or on a server that speaks MLflow's REST
 * API. Layers are in `Client`.
 *
 * @module
 */
import type { Page, RunTracker } from "@ashlar/core"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { RegistryError } from "./RegistryError.ts"
import type { MetricPoint, RunInput, RunRecord } from "./Runs.ts"

/** A file of a run. Only a registry in this process knows digests. */
export interface TrackedArtifact {
  readonly path: string
  /** In bytes. */
  readonly size: number
  /** `sha256:<hex>`. */
  readonly digest?: string
}

/** Which runs to find. */
export interface SearchTracked extends Page.PageRequest {
  /** Names of experiments; those that do not exist have no runs. */
  readonly experiments?: ReadonlyArray<string>
  /** Ids of experiments. */
  readonly experimentIds?: ReadonlyArray<string>
  /** A condition in the language of `Filter`; an MLflow server takes MLflow's part of it. */
  readonly filter?: string
  /** Sort keys such as `metrics.auc DESC`; default the latest start first. */
  readonly orderBy?: ReadonlyArray<string>
}

/** What waits to be sent, and how sending goes. */
export interface Backlog {
  /** Batches, files and changes of status that the store has not taken yet. */
  readonly pending: number
  /** What the store refused for good since this client was opened. */
  readonly refused: number
  /** The error of the latest attempt, while attempts fail. */
  readonly failing?: RegistryError
}

/** Records and reads runs, wherever they are kept. */
export class Tracking extends Context.Service<
  Tracking,
  {
    /** Starts a run; the experiment is made when it is not there. A repeated `key` starts none. */
    readonly startRun: (run: RunTracker.StartRun) => Effect.Effect<RunRecord, RegistryError>
    /**
     * Adds facts to a run. Returns when they are safe: stored, or written to the journal and synced
     * to the disk where the client has one. Batches of one run arrive in order.
     */
    readonly log: (runId: string, batch: RunTracker.RunBatch) => Effect.Effect<void, RegistryError>
    /** Stores a local file or directory under `path` of the run's artifacts. */
    readonly logArtifact: (
      runId: string,
      artifact: { readonly path: string; readonly file: string },
    ) => Effect.Effect<void, RegistryError>
    readonly finish: (
      runId: string,
      status: "FINISHED" | "FAILED" | "KILLED",
    ) => Effect.Effect<RunRecord, RegistryError>
    readonly get: (runId: string) => Effect.Effect<RunRecord, RegistryError>
    /** The run started with this key, if any. */
    readonly find: (
      experiment: string,
      key: string,
    ) => Effect.Effect<RunRecord | undefined, RegistryError>
    readonly search: (search: SearchTracked) => Effect.Effect<Page.Page<RunRecord>, RegistryError>
    /** All points of a metric, by step and time. */
    readonly history: (
      runId: string,
      metric: string,
    ) => Effect.Effect<ReadonlyArray<MetricPoint>, RegistryError>
    readonly inputs: (runId: string) => Effect.Effect<ReadonlyArray<RunInput>, RegistryError>
    readonly artifacts: (
      runId: string,
    ) => Effect.Effect<ReadonlyArray<TrackedArtifact>, RegistryError>
    /**
     * Writes a file of a run to a new local file; more than `limit` bytes are refused, and nothing
     * is left behind when it fails.
     */
    readonly download: (
      runId: string,
      path: string,
      file: string,
      options?: { readonly limit?: number },
    ) => Effect.Effect<void, RegistryError>
    /** Sends what waits; fails when the store cannot be reached or refused something. */
    readonly flush: Effect.Effect<void, RegistryError>
    /** What waits to be sent. */
    readonly backlog: Effect.Effect<Backlog>
  }
>()("@ashlar/registry/Tracking/v1") {}

/** The service's shape. */
export type Shape = Tracking["Service"]
