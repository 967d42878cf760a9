import { Database, Id, Keyset, type Page, Timestamp, type Trigger } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { sql } from "kysely"
import { OrchestratorError } from "../Workflow.ts"
import { migrations, type RunRow, type Tables } from "./migrations.ts"
import * as StepWriter from "./stepWriter.ts"

/** A run's outcome to write. */
export interface Outcome {
  readonly state: "succeeded" | "failed" | "pending"
  readonly output?: string
  readonly error?: string
}

const refused = (error: Database.DatabaseError): OrchestratorError =>
  error.reason === "InvalidInput" && error.field !== undefined
    ? new OrchestratorError({
        reason: "InvalidInput",
        field: error.field,
        message: error.message,
        cause: error,
      })
    : new OrchestratorError({
        reason: error.reason === "Corrupt" ? "Corrupt" : "Unavailable",
        message: `the orchestrator's database failed: ${error.message}`,
        cause: error,
      })

/** Which runs to list. */
export interface RunFilter {
  readonly workflow?: string
  readonly state?: RunRow["state"]
}

const lost = (run: string) =>
  new OrchestratorError({
    reason: "Conflict",
    message: `run ${run} was cancelled or taken over by another process; this one stops`,
  })

/** All reads and writes of the orchestrator's tables. Every write by a runner checks its epoch. */
export const make = Effect.gen(function* () {
  const db = yield* Database.Database
  yield* Effect.mapError(db.migrate("orchestrator", migrations), refused)
  const build = db.build<Tables>()
  const wrap = <A>(effect: Effect.Effect<A, Database.DatabaseError | OrchestratorError>) =>
    Effect.mapError(effect, (error) => (error._tag === "DatabaseError" ? refused(error) : error))

  const findRun = (workflow: string, key: string) =>
    wrap(
      db.first(
        build
          .selectFrom("orchestrator_run")
          .selectAll()
          .where("workflow", "=", workflow)
          .where("key", "=", key),
      ),
    )

  const getRun = (id: string) =>
    wrap(db.first(build.selectFrom("orchestrator_run").selectAll().where("id", "=", id)))

  const insertRun = (run: { workflow: string; key: string; version: string; input: string }) =>
    wrap(
      db.run(
        build
          .insertInto("orchestrator_run")
          .values({
            ...run,
            id: Id.make(),
            state: "pending",
            output: null,
            error: null,
            owner: null,
            epoch: 0,
            lease: 0,
            created: Timestamp.now(),
            finished: null,
          })
          .onConflict((c) => c.columns(["workflow", "key"]).doNothing()),
      ),
    )

  /** Takes a run over if it still is as it was read; returns the new epoch. */
  const claim = (run: RunRow, owner: string, leaseMs: number) =>
    wrap(
      db.run(
        build
          .updateTable("orchestrator_run")
          .set({
            state: "running",
            owner,
            epoch: run.epoch + 1,
            lease: Timestamp.now() + leaseMs * 1000,
            error: null,
            finished: null,
          })
          .where("id", "=", run.id)
          .where("epoch", "=", run.epoch)
          .where("state", "=", run.state),
      ),
    ).pipe(Effect.map((changes) => (changes.rows === 1 ? run.epoch + 1 : undefined)))

  /** Extends the lease; fails when another process holds the run. */
  const renew = (id: string, epoch: number, leaseMs: number) =>
    wrap(
      db.run(
        build
          .updateTable("orchestrator_run")
          .set({ lease: Timestamp.now() + leaseMs * 1000 })
          .where("id", "=", id)
          .where("epoch", "=", epoch)
          .where("state", "=", "running"),
      ),
    ).pipe(Effect.flatMap((changes) => (changes.rows === 1 ? Effect.void : Effect.fail(lost(id)))))

  const finish = (id: string, epoch: number, outcome: Outcome) =>
    wrap(
      db.run(
        build
          .updateTable("orchestrator_run")
          .set({
            state: outcome.state,
            output: outcome.output ?? null,
            error: outcome.error ?? null,
            owner: null,
            lease: 0,
            finished: outcome.state === "pending" ? null : Timestamp.now(),
          })
          .where("id", "=", id)
          .where("epoch", "=", epoch)
          .where("state", "=", "running"),
      ),
    ).pipe(Effect.map((changes) => changes.rows === 1))

  const cancel = (id: string) =>
    wrap(
      db.run(
        build
          .updateTable("orchestrator_run")
          .set({ state: "cancelled", epoch: sql<number>`epoch + 1`, finished: Timestamp.now() })
          .where("id", "=", id)
          .where("state", "in", ["pending", "running", "failed"]),
      ),
    ).pipe(Effect.map((changes) => changes.rows === 1))

  const steps = (run: string) =>
    wrap(
      db.all(
        build
          .selectFrom("orchestrator_step")
          .selectAll()
          .where("run", "=", run)
          .orderBy("started")
          .orderBy("name"),
      ),
    )

  const writeStep = yield* StepWriter.make(db, lost, refused)

  /**
   * Runs of a workflow that some process may take: waiting ones first, then those whose lease ends
   * or ended soonest, so that many healthy runs never hide a forgotten one.
   */
  const runnable = (workflow: string, version: string, limit: number) =>
    wrap(
      db.all(
        build
          .selectFrom("orchestrator_run")
          .selectAll()
          .where("workflow", "=", workflow)
          .where("version", "=", version)
          .where("state", "in", ["pending", "running"])
          .orderBy("lease")
          .orderBy("created")
          .limit(limit),
      ),
    )

  const listRuns = (filter: RunFilter, request: Page.PageRequest) => {
    let query = build.selectFrom("orchestrator_run").selectAll()
    if (filter.workflow !== undefined) query = query.where("workflow", "=", filter.workflow)
    if (filter.state !== undefined) query = query.where("state", "=", filter.state)
    return wrap(
      Keyset.page(db, query, request, {
        keys: [
          { column: "created", direction: "desc" },
          { column: "id", direction: "desc" },
        ],
        defaultLimit: 50,
      }),
    )
  }

  const fireTrigger = (event: Trigger.TriggerEvent) =>
    wrap(
      db.transaction(
        Effect.gen(function* () {
          const changes = yield* db.run(
            build
              .insertInto("orchestrator_trigger")
              .values({
                id: Id.make(),
                key: event.key,
                kind: event.kind,
                subject: event.subject,
                reason: event.reason,
                payload: JSON.stringify(event.payload ?? null),
                fired: Timestamp.now(),
                run: null,
                error: null,
              })
              .onConflict((c) => c.column("key").doNothing()),
          )
          const row = yield* db.first(
            build.selectFrom("orchestrator_trigger").selectAll().where("key", "=", event.key),
          )
          return { triggerId: row?.id ?? "", duplicate: changes.rows === 0 }
        }),
      ),
    )

  const pendingTriggers = (kind: string) =>
    wrap(
      db.all(
        build
          .selectFrom("orchestrator_trigger")
          .selectAll()
          .where("run", "is", null)
          .where("error", "is", null)
          .where("kind", "=", kind)
          .orderBy("fired")
          .limit(100),
      ),
    )

  /** Starts the run of a trigger and marks the trigger as handled, both or neither. */
  const handleTrigger = (
    trigger: string,
    run: { workflow: string; key: string; version: string; input: string },
  ) =>
    wrap(
      db.transaction(
        Effect.gen(function* () {
          yield* insertRun(run)
          const started = yield* findRun(run.workflow, run.key)
          yield* db.run(
            build
              .updateTable("orchestrator_trigger")
              .set({ run: started?.id ?? "" })
              .where("id", "=", trigger),
          )
        }),
      ),
    )

  const refuseTrigger = (trigger: string, error: string) =>
    wrap(db.run(build.updateTable("orchestrator_trigger").set({ error }).where("id", "=", trigger)))

  return {
    findRun,
    getRun,
    insertRun,
    claim,
    renew,
    finish,
    cancel,
    steps,
    writeStep,
    runnable,
    listRuns,
    fireTrigger,
    pendingTriggers,
    handleTrigger,
    refuseTrigger,
  }
})

/** The orchestrator's tables behind functions. */
export interface Journal extends Effect.Success<typeof make> {}
