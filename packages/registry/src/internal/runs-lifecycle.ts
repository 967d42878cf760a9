import { type Database, Id, type RunTracker, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, notFound, RegistryError } from "../RegistryError.ts"
import type { CreateRun, UpdateRun } from "../Runs.ts"
import * as Limits from "./limits.ts"
import type { RunRow } from "./migrations.ts"
import { invented } from "./names.ts"
import type { Reading, RunRecord } from "./runs-read.ts"
import type { Write } from "./runs-write.ts"
import type { Store } from "./store.ts"

type Failed = Database.DatabaseError | RegistryError
type OneRun = Effect.Effect<RunRecord, Failed>

/** How runs begin, change, end, go and come back; call all but `find` inside a transaction. */
export interface Lifecycle {
  readonly start: (run: RunTracker.StartRun) => OneRun
  readonly create: (run: CreateRun) => OneRun
  readonly update: (runId: string, change: UpdateRun) => OneRun
  readonly finish: (runId: string, status: "FINISHED" | "FAILED" | "KILLED") => OneRun
  readonly remove: (runId: string) => Effect.Effect<void, Failed>
  readonly restore: (runId: string) => Effect.Effect<void, Failed>
  readonly deleteTag: (runId: string, key: string) => Effect.Effect<void, Failed>
  readonly amendTag: (
    runId: string,
    key: string,
    amend: (value: string | undefined) => string,
  ) => Effect.Effect<void, Failed>
  readonly find: (experiment: string, key: string) => Effect.Effect<RunRecord | undefined, Failed>
  /** The row of a run that is not deleted. */
  readonly present: (runId: string) => Effect.Effect<RunRow, Failed>
}

/** The tag that is a run's name. */
export const runName = "mlflow.runName"

/** Why a deleted run takes nothing; undefined for one that is there. */
export const refuseDeleted = (run: RunRow): RegistryError | undefined =>
  typeof run.deleted !== "number"
    ? undefined
    : invalid(
        "run_id",
        `The run ${run.id} must be in the 'active' state. Current state is deleted.`,
      )

/** Lifecycle of a store's runs. */
export const make = ({ db, build }: Store, { row, view }: Reading, write: Write): Lifecycle => {
  const present = Effect.fnUntraced(function* (runId: string) {
    const run = yield* row(runId)
    const wrong = refuseDeleted(run)
    return wrong === undefined ? run : yield* wrong
  })

  /** The experiment that runs go to, which must not be deleted. */
  const open = Effect.fnUntraced(function* (column: "id" | "name", value: string) {
    const query = build.selectFrom("registry_experiment").selectAll().where(column, "=", value)
    // Whoever deletes the experiment now waits, and then deletes what is added here too. SQLite has
    // one writer at a time.
    const found = yield* db.first(db.dialect === "postgres" ? query.forShare() : query)
    if (found === undefined) {
      return yield* new RegistryError({
        reason: "NotFound",
        message: `No Experiment with ${column}=${value.slice(0, 100)} exists`,
      })
    }
    if (found.deleted !== null) {
      return yield* invalid(
        "experiment_id",
        `The experiment ${found.id} must be in the 'active' state. Current state is deleted.`,
      )
    }
    return found
  })

  const ensured = Effect.fnUntraced(function* (name: string) {
    yield* Limits.name("experiment", name)
    yield* db.run(
      build
        .insertInto("registry_experiment")
        .values({ id: Id.make(), name, created: Timestamp.now(), updated: 0 })
        .onConflict((c) => c.column("name").doNothing()),
    )
    return yield* open("name", name)
  })

  /** Where a run's files go when its experiment has a place of its own. */
  const artifacts = (location: string | null, id: string) =>
    location === null ? {} : { artifact_uri: `${location.replace(/\/+$/, "")}/${id}/artifacts` }

  const find = Effect.fnUntraced(function* (experiment: string, key: string) {
    const found = yield* db.first(
      build
        .selectFrom("registry_run")
        .innerJoin("registry_experiment", "registry_experiment.id", "registry_run.experiment")
        .selectAll("registry_run")
        .where("registry_experiment.name", "=", experiment)
        .where("registry_run.key", "=", key),
    )
    return found === undefined ? undefined : yield* view(found)
  })

  const start = Effect.fnUntraced(function* (run: RunTracker.StartRun) {
    yield* Limits.batch(run)
    const experiment = yield* ensured(run.experiment)
    const id = Id.make()
    const key = run.key ?? id
    const changes = yield* db.run(
      build
        .insertInto("registry_run")
        .values({
          id,
          experiment: experiment.id,
          name: run.name ?? `${run.experiment}-${id.slice(-6)}`,
          key,
          parent: run.parentRunId ?? null,
          status: "RUNNING",
          started: Timestamp.now(),
          ended: null,
          user_id: "",
          ...artifacts(experiment.artifact_location, id),
        })
        .onConflict((c) => c.columns(["experiment", "key"]).doNothing()),
    )
    if (changes.rows === 1) {
      yield* write(
        { id, experiment: experiment.id },
        {
          params: run.params ?? {},
          tags: {
            ...run.tags,
            ...(run.codeVersion === undefined
              ? {}
              : { "mlflow.source.git.commit": run.codeVersion }),
            ...(run.seed === undefined ? {} : { "ashlar.seed": String(run.seed) }),
            ...(run.parentRunId === undefined ? {} : { "mlflow.parentRunId": run.parentRunId }),
          },
        },
      )
      yield* db.insertMany(
        "registry_input",
        (run.inputs ?? []).map((input) => ({
          run: id,
          name: input.name,
          digest: input.digest ?? "",
          uri: input.uri,
          context: input.context ?? "",
          rows: input.rows ?? null,
        })),
      )
      return yield* view(yield* row(id))
    }
    return (yield* find(run.experiment, key)) ?? (yield* notFound(`run ${key}`))
  })

  const create = Effect.fnUntraced(function* (run: CreateRun) {
    const { tags = {}, user = "", started = Timestamp.now() } = run
    yield* Limits.batch({ tags })
    const experiment = yield* open("id", run.experimentId)
    const id = Id.make()
    const name = run.name ?? tags[runName] ?? invented()
    yield* db.run(
      build.insertInto("registry_run").values({
        id,
        experiment: experiment.id,
        name,
        key: id,
        parent: tags["mlflow.parentRunId"] ?? null,
        status: "RUNNING",
        started,
        ended: null,
        user_id: user,
        ...artifacts(experiment.artifact_location, id),
      }),
    )
    yield* write({ id, experiment: experiment.id }, { tags: { ...tags, [runName]: name } })
    return yield* view(yield* row(id))
  })

  const update = Effect.fnUntraced(function* (runId: string, change: UpdateRun) {
    const run = yield* present(runId)
    const { status, ended, name } = change
    if (status !== undefined || ended !== undefined || name !== undefined) {
      yield* db.run(
        build
          .updateTable("registry_run")
          .set({
            ...(status === undefined ? {} : { status }),
            ...(ended === undefined ? {} : { ended }),
            ...(name === undefined ? {} : { name }),
          })
          .where("id", "=", runId),
      )
    }
    if (name !== undefined) yield* write(run, { tags: { [runName]: name } })
    return yield* view(yield* row(runId))
  })

  const mark = Effect.fnUntraced(function* (runId: string, deleted: number | null) {
    yield* row(runId)
    yield* db.run(build.updateTable("registry_run").set({ deleted }).where("id", "=", runId))
  })

  return {
    present,
    find,
    start,
    create,
    update,
    finish: Effect.fnUntraced(function* (runId, status) {
      yield* present(runId)
      yield* db.run(
        build
          .updateTable("registry_run")
          .set({ status, ended: Timestamp.now() })
          .where("id", "=", runId)
          .where("status", "in", ["RUNNING", "SCHEDULED"]),
      )
      return yield* view(yield* row(runId))
    }),
    remove: (runId) => Effect.suspend(() => mark(runId, Timestamp.now())),
    restore: (runId) => mark(runId, null),
    amendTag: Effect.fnUntraced(function* (runId, key, amend) {
      const run = yield* present(runId)
      // Holds the run's row until the end, so that of two amendments none is lost.
      yield* db.run(build.updateTable("registry_run").set({ id: runId }).where("id", "=", runId))
      const before = yield* db.first(
        build
          .selectFrom("registry_tag")
          .select("value")
          .where("run", "=", runId)
          .where("key", "=", key),
      )
      yield* write(run, { tags: { [key]: amend(before?.value) } })
    }),
    deleteTag: Effect.fnUntraced(function* (runId, key) {
      yield* present(runId)
      const { rows } = yield* db.run(
        build.deleteFrom("registry_tag").where("run", "=", runId).where("key", "=", key),
      )
      if (rows > 0) return
      return yield* new RegistryError({
        reason: "NotFound",
        field: "key",
        message: `No tag with name: ${key.slice(0, 500)} in run with id ${runId}`,
      })
    }),
  }
}
