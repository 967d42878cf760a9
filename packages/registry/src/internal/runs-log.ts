import { type Database, type RunTracker, Timestamp } from "@ashlar/core"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { sql, type SqlBool } from "kysely"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { LogOptions } from "../Runs.ts"
import * as Group from "./group.ts"
import * as Limits from "./limits.ts"
import * as ModelMetrics from "./logged-models/metrics.ts"
import type { Tables } from "./migrations.ts"
import { refuseDeleted, runName } from "./runs-lifecycle.ts"
import type { Reading } from "./runs-read.ts"
import type { Write } from "./runs-write.ts"
import { settle } from "./search/plan-walk.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** Adds to runs. */
export interface Logging {
  readonly log: (
    runId: string,
    batch: RunTracker.RunBatch,
    options: LogOptions,
  ) => Effect.Effect<void, Failure>
  /** Puts a run's metrics where ordered searches find them fastest, once it has ended. */
  readonly settle: (
    runId: string,
    status: RunTracker.RunStatus,
  ) => Effect.Effect<void, Database.DatabaseError>
}

const isOpen = (status: RunTracker.RunStatus): boolean =>
  status === "RUNNING" || status === "SCHEDULED"

/** Adds to the runs of a store. */
export const make = (
  store: Store,
  { locked }: Reading,
  write: Write,
  context: Context.Context<never>,
): Logging => {
  const { db } = store
  const writeModels = ModelMetrics.make(store)
  const grouped = Group.make(db, context)
  const claim = db.prepare<Tables, [string, string, number], { readonly key: string }>(
    (build, [run, key, time]) =>
      build
        .insertInto("registry_batch")
        .values({ run, key, time })
        .onConflict((c) => c.doNothing())
        .returning("key"),
    3,
  )

  const rename = db.prepare<Tables, [string, string], never>(
    (build, [name, run]) =>
      sql<never>`${build.updateTable("registry_run").set({ name }).where("id", "=", run)}`,
    2,
  )

  const inside = Effect.fnUntraced(function* (
    runId: string,
    batch: RunTracker.RunBatch,
    { ended = "refuse", key, models = [] }: LogOptions,
  ) {
    // Writers of a run go one after the other: nothing else is locked in an order of its own, so no
    // two of them ever wait for each other.
    const run = yield* locked(runId)
    const wrong = refuseDeleted(run)
    if (wrong !== undefined) return yield* wrong
    if (key !== undefined && (yield* claim(runId, key, Timestamp.now())).length === 0) return
    if (ended === "refuse" && !isOpen(run.status)) {
      return yield* new RegistryError({
        reason: "Conflict",
        message: `run ${runId} is ${run.status} and takes no more data: start another run`,
      })
    }
    yield* write(run, batch)
    if (models.length > 0) yield* writeModels(models)
    // This tag is the run's name.
    const name = batch.tags?.[runName] ?? ""
    if (name !== "" && name !== run.name) yield* rename(name, runId)
  })

  return {
    log: Effect.fnUntraced(function* (runId, batch, options) {
      yield* Limits.batch(batch)
      const { key } = options
      if (key !== undefined && (key.length === 0 || key.length > 200)) {
        return yield* invalid(
          "key",
          `the key of a batch has ${key.length} characters: use 1 to 200`,
        )
      }
      yield* grouped(inside(runId, batch, options))
    }),
    settle: (runId, status) =>
      isOpen(status) ? Effect.void : settle(db, sql<SqlBool>`run = ${runId}`, 100_000),
  }
}
