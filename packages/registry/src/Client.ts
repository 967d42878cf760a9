/**
 * Clients of experiments and runs: the service `Tracking` over the registry of this process or over
 * a server that speaks MLflow's REST API (Ashlar's, or MLflow's own), with batching, back-pressure,
 * retries, and a journal for hours without a connection.
 *
 * A journal makes delivery exactly-once in effect: every operation is delivered until the store has
 * answered, in order for each run, and a second delivery changes nothing. A run is started under a
 * key; the points of a metric are a set, and their times are fixed when they are logged; a parameter
 * never changes its value; a tag and a status are set again to what they were, which only matters
 * where another client set them in between.
 *
 * @module
 */
import { RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Experiments } from "./Experiments.ts"
import * as Buffered from "./internal/client/buffered.ts"
import * as InProcess from "./internal/client/inProcess.ts"
import * as Journaled from "./internal/client/journaled.ts"
import * as Remote from "./internal/client/remote.ts"
import type { RemoteOptions } from "./internal/client/rest.ts"
import type { Transport } from "./internal/client/transport.ts"
import { toTrackerError } from "./internal/trackerError.ts"
import type { RegistryError } from "./RegistryError.ts"
import type { Runs } from "./Runs.ts"
import { type Shape, Tracking } from "./Tracking.ts"

export type { BufferOptions } from "./internal/client/buffered.ts"
export type { JournalOptions } from "./internal/client/journaled.ts"
export type { RemoteOptions } from "./internal/client/rest.ts"

/** How a client keeps what it was given until the store has it. */
export interface ClientOptions extends Buffered.BufferOptions {
  /**
   * Keep it in a journal on the disk, from where it is delivered when the store can be reached, also
   * by a later process. Then `log`, `logArtifact` and `finish` return once the journal has it.
   */
  readonly journal?: Journaled.JournalOptions
}

const open = (
  transport: Transport,
  options: ClientOptions,
): Effect.Effect<Shape, RegistryError, Scope.Scope> =>
  options.journal === undefined
    ? Buffered.make(transport, options)
    : Journaled.make(transport, options.journal)

/** A client of the registry in this process; needs no server. */
export const local = (
  options: ClientOptions = {},
): Layer.Layer<Tracking, RegistryError, Runs | Experiments> =>
  Layer.effect(
    Tracking,
    Effect.flatMap(InProcess.make, (transport) => open(transport, options)),
  )

/** A client of a server. */
export const remote = (
  options: RemoteOptions & ClientOptions,
): Layer.Layer<Tracking, RegistryError> =>
  Layer.effect(
    Tracking,
    Effect.flatMap(
      // The journal waits for the server; a request need not.
      Remote.make(options.journal === undefined ? options : { retries: 1, ...options }),
      (transport) => open(transport, options),
    ),
  )

/** The port `RunTracker` on {@link Tracking}: training and workflows log through a client. */
export const trackerLayer: Layer.Layer<RunTracker.RunTracker, never, Tracking> = Layer.effect(
  RunTracker.RunTracker,
  Effect.map(Tracking, (tracking) =>
    RunTracker.RunTracker.of({
      startRun: (run) => Effect.mapError(tracking.startRun(run), toTrackerError),
      log: (runId, batch) => Effect.mapError(tracking.log(runId, batch), toTrackerError),
      logArtifact: (runId, artifact) =>
        Effect.mapError(tracking.logArtifact(runId, artifact), toTrackerError),
      finishRun: (runId, status) => Effect.mapError(tracking.finish(runId, status), toTrackerError),
      getRun: (runId) => Effect.mapError(tracking.get(runId), toTrackerError),
      findRun: (experiment, key) => Effect.mapError(tracking.find(experiment, key), toTrackerError),
    }),
  ),
)
