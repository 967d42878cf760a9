import * as Effect from "effect/Effect"
import type { OrchestratorError } from "../Workflow.ts"
import type { Journal } from "./journal.ts"
import type { StepRow } from "./migrations.ts"

/** This process's right to work on a run, as far as it knows. */
export interface Lease {
  /** Renews until the run is lost to another process or cancelled; then fails with `Conflict`. */
  readonly heartbeat: Effect.Effect<never, OrchestratorError>
  /** Fails when this process slept past its lease and another one has the run now. */
  readonly check: Effect.Effect<void, OrchestratorError>
  /** Journals a step, provided the run is still this process's; renews the lease with it. */
  readonly write: (row: StepRow) => Effect.Effect<void, OrchestratorError>
}

/** The lease on a run that was claimed at `since`, milliseconds since 1970. */
export const make = (
  journal: Journal,
  run: string,
  epoch: number,
  leaseMs: number,
  since: number,
): Lease => {
  let confirmed = since
  const confirming = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      // Read before the write: the lease in the database is no older than this.
      const asked = Date.now()
      return Effect.tap(effect, () =>
        Effect.sync(() => {
          confirmed = Math.max(confirmed, asked)
        }),
      )
    })
  const renew = confirming(journal.renew(run, epoch, leaseMs))
  return {
    heartbeat: Effect.forever(
      Effect.andThen(
        Effect.sleep(leaseMs / 3),
        // A database that is away for a while takes nothing from this run: the fence of each
        // write decides.
        Effect.catchIf(
          renew,
          (error) => error.reason !== "Conflict",
          (error) => Effect.logWarning(`run ${run}: lease not renewed: ${error.message}`),
        ),
      ),
    ),
    check: Effect.suspend(() => (Date.now() - confirmed < leaseMs ? Effect.void : renew)),
    write: (row) => confirming(journal.writeStep(row, leaseMs)),
  }
}
