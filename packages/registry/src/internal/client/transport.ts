import type { RunTracker, Timestamp } from "@ashlar/core"
import type * as Effect from "effect/Effect"
import type { RegistryError } from "../../RegistryError.ts"
import type { RunRecord } from "../../Runs.ts"
import type { Shape } from "../../Tracking.ts"

/** How an operation came here. */
export interface Delivery {
  /** The same for every delivery of the same facts. */
  readonly key?: string
  /** It may have been delivered before, so what it did then is not an error. */
  readonly replay?: boolean
}

type Reading = Pick<
  Shape,
  "startRun" | "get" | "find" | "search" | "history" | "inputs" | "artifacts" | "download"
>

/** A store of runs that answers each operation at once. */
export interface Transport extends Reading {
  /** Most facts of one `log`; more would cost a request each. */
  readonly merges: boolean
  readonly log: (
    runId: string,
    batch: RunTracker.RunBatch,
    delivery?: Delivery,
  ) => Effect.Effect<void, RegistryError>
  readonly logArtifact: (
    runId: string,
    artifact: { readonly path: string; readonly file: string },
    delivery?: Delivery,
  ) => Effect.Effect<void, RegistryError>
  readonly finish: (
    runId: string,
    status: "FINISHED" | "FAILED" | "KILLED",
    ended: Timestamp.Timestamp,
  ) => Effect.Effect<RunRecord, RegistryError>
}

/** True where trying again later can help. */
export const isTransient = (error: RegistryError): boolean => error.reason === "Unavailable"
