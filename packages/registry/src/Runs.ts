/**
 * Experiments and runs: parameters, metric series, tags, inputs and artifacts. Implements the port
 * `RunTracker`.
 *
 * @module
 */
import { type BlobStore, type Database, Id, Page, RunTracker, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Files from "./internal/files.ts"
import type { RunRow } from "./internal/migrations.ts"
import * as Limits from "./internal/limits.ts"
import * as Store from "./internal/store.ts"
import { RegistryError, invalid, notFound } from "./RegistryError.ts"

/** One point of a metric's history. */
export interface MetricPoint {
  readonly step: number
  readonly time: Timestamp.Timestamp
  readonly value: number
}

/** A file of a run. */
export interface Artifact {
  readonly path: string
  readonly digest: string
  readonly size: number
}

/** A dataset a run read. */
export interface RunInput {
  readonly name: string
  readonly digest: string
  readonly uri: string
  readonly context: string
  readonly rows?: number
}

/** Records and reads runs. */
export class Runs extends Context.Service<
  Runs,
  {
    readonly start: (run: RunTracker.StartRun) => Effect.Effect<RunTracker.Run, RegistryError>
    /** Writes a batch in one transaction. A parameter cannot change its value. */
    readonly log: (
      runId: string,
      batch: RunTracker.RunBatch,
    ) => Effect.Effect<void, RegistryError>
    readonly logArtifact: (
      runId: string,
      artifact: { readonly path: string; readonly file: string },
    ) => Effect.Effect<void, RegistryError>
    readonly finish: (
      runId: string,
      status: "FINISHED" | "FAILED" | "KILLED",
    ) => Effect.Effect<RunTracker.Run, RegistryError>
    readonly get: (runId: string) => Effect.Effect<RunTracker.Run, RegistryError>
    readonly find: (
      experiment: string,
      key: string,
    ) => Effect.Effect<RunTracker.Run | undefined, RegistryError>
    /** Runs of an experiment, newest first. */
    readonly list: (
      experiment: string,
      page?: Page.PageRequest,
    ) => Effect.Effect<Page.Page<RunTracker.Run>, RegistryError>
    /** All points of a metric, by step and time. */
    readonly history: (
      runId: string,
      metric: string,
    ) => Effect.Effect<ReadonlyArray<MetricPoint>, RegistryError>
    readonly artifacts: (runId: string) => Effect.Effect<ReadonlyArray<Artifact>, RegistryError>
    readonly inputs: (runId: string) => Effect.Effect<ReadonlyArray<RunInput>, RegistryError>
  }
>()("@ashlar/registry/Runs/v1") {}

const make = Effect.gen(function* () {
  const { db, blobs, build, wrap } = yield* Store.make

  const experimentId = Effect.fnUntraced(function* (name: string) {
    yield* Limits.name("experiment", name)
    yield* db.run(
      build
        .insertInto("registry_experiment")
        .values({ id: Id.make(), name, created: Timestamp.now() })
        .onConflict((c) => c.column("name").doNothing()),
    )
    const row = yield* db.first(
      build.selectFrom("registry_experiment").selectAll().where("name", "=", name),
    )
    return row?.id ?? (yield* notFound(`experiment ${name}`))
  })

  const row = Effect.fnUntraced(function* (runId: string) {
    const found = yield* db.first(
      build.selectFrom("registry_run").selectAll().where("id", "=", runId),
    )
    return found ?? (yield* notFound(`run ${JSON.stringify(runId)}`))
  })

  const view = Effect.fnUntraced(function* (run: RunRow) {
    const params = yield* db.all(
      build.selectFrom("registry_param").selectAll().where("run", "=", run.id),
    )
    const tags = yield* db.all(
      build.selectFrom("registry_tag").selectAll().where("run", "=", run.id),
    )
    // The last value is the one of the greatest step, then time: later rows overwrite earlier ones.
    const metrics = yield* db.all(
      build
        .selectFrom("registry_metric")
        .selectAll()
        .where("run", "=", run.id)
        .orderBy("key")
        .orderBy("step")
        .orderBy("time"),
    )
    return {
      runId: run.id,
      experimentId: run.experiment,
      name: run.name,
      status: run.status,
      started: run.started,
      ...(run.ended === null ? {} : { ended: run.ended }),
      params: Object.fromEntries(params.map(({ key, value }) => [key, value])),
      tags: Object.fromEntries(tags.map(({ key, value }) => [key, value])),
      metrics: Object.fromEntries(metrics.map(({ key, value }) => [key, Number(value)])),
    } satisfies RunTracker.Run
  })

  const write = Effect.fnUntraced(function* (runId: string, batch: RunTracker.RunBatch) {
    const now = Timestamp.now()
    const params = Object.entries(batch.params ?? {}).map(([key, value]) => ({
      run: runId,
      key,
      value: String(value),
    }))
    yield* db.insertMany("registry_param", params, { onConflict: "ignore" })
    if (params.length > 0) {
      const stored = yield* db.all(
        build.selectFrom("registry_param").selectAll().where("run", "=", runId),
      )
      const valueOf = new Map(stored.map(({ key, value }) => [key, value]))
      const changed = params.find(({ key, value }) => valueOf.get(key) !== value)
      if (changed !== undefined) {
        return yield* invalid(
          `params.${changed.key}`,
          `param ${changed.key} of run ${runId} is ${JSON.stringify(valueOf.get(changed.key))} and cannot become ${JSON.stringify(changed.value)}: log it under another key, or start another run`,
        )
      }
    }
    for (const [key, value] of Object.entries(batch.tags ?? {})) {
      yield* db.run(
        build
          .insertInto("registry_tag")
          .values({ run: runId, key, value })
          .onConflict((c) => c.columns(["run", "key"]).doUpdateSet({ value })),
      )
    }
    yield* db.insertMany(
      "registry_metric",
      (batch.metrics ?? []).map(({ key, value, step = 0, time = now }) => ({
        run: runId,
        key,
        step,
        time,
        value: String(value),
      })),
      { onConflict: "ignore" },
    )
  })

  const active = Effect.fnUntraced(function* (runId: string) {
    const run = yield* row(runId)
    if (run.status === "RUNNING" || run.status === "SCHEDULED") return run
    return yield* new RegistryError({
      reason: "Conflict",
      message: `run ${runId} is ${run.status} and takes no more data: start another run`,
    })
  })

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
    const experiment = yield* experimentId(run.experiment)
    const id = Id.make()
    const key = run.key ?? id
    const changes = yield* db.run(
      build
        .insertInto("registry_run")
        .values({
          id,
          experiment,
          name: run.name ?? `${run.experiment}-${id.slice(-6)}`,
          key,
          parent: run.parentRunId ?? null,
          status: "RUNNING",
          started: Timestamp.now(),
          ended: null,
        })
        .onConflict((c) => c.columns(["experiment", "key"]).doNothing()),
    )
    if (changes.rows === 1) {
      yield* write(id, {
        params: run.params ?? {},
        tags: {
          ...run.tags,
          ...(run.codeVersion === undefined
            ? {}
            : { "mlflow.source.git.commit": run.codeVersion }),
          ...(run.seed === undefined ? {} : { "ashlar.seed": String(run.seed) }),
          ...(run.parentRunId === undefined ? {} : { "mlflow.parentRunId": run.parentRunId }),
        },
      })
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

  return Runs.of({
    start: (run) => wrap(db.transaction(start(run))),
    log: (runId, batch) =>
      wrap(
        db.transaction(
          Effect.gen(function* () {
            yield* Limits.batch(batch)
            yield* active(runId)
            yield* write(runId, batch)
          }),
        ),
      ),
    logArtifact: (runId, { path, file }) =>
      wrap(
        Effect.gen(function* () {
          yield* Limits.path("path", path)
          yield* active(runId)
          // Blobs first: a row never points to content that is not there.
          for (const local of yield* Files.walk(file, path)) {
            const { digest, size } = yield* Files.store(blobs, local.file)
            yield* db.run(
              build
                .insertInto("registry_artifact")
                .values({ run: runId, path: local.path, digest, size })
                .onConflict((c) => c.columns(["run", "path"]).doUpdateSet({ digest, size })),
            )
          }
        }),
      ),
    finish: (runId, status) =>
      wrap(
        Effect.gen(function* () {
          yield* db.run(
            build
              .updateTable("registry_run")
              .set({ status, ended: Timestamp.now() })
              .where("id", "=", runId)
              .where("status", "in", ["RUNNING", "SCHEDULED"]),
          )
          return yield* view(yield* row(runId))
        }),
      ),
    get: (runId) => wrap(Effect.flatMap(row(runId), view)),
    find: (experiment, key) => wrap(find(experiment, key)),
    list: (experiment, page = {}) =>
      wrap(
        Effect.gen(function* () {
          const limit = Math.min(Math.max(page.limit ?? 100, 1), 1000)
          const position = yield* Limits.token(page.token)
          const query = build
            .selectFrom("registry_run")
            .innerJoin("registry_experiment", "registry_experiment.id", "registry_run.experiment")
            .selectAll("registry_run")
            .where("registry_experiment.name", "=", experiment)
            .orderBy("registry_run.started", "desc")
            .orderBy("registry_run.id", "desc")
            .limit(limit)
          const rows = yield* db.all(
            position === undefined
              ? query
              : query.where((where) =>
                  where.or([
                    where("registry_run.started", "<", position.time),
                    where.and([
                      where("registry_run.started", "=", position.time),
                      where("registry_run.id", "<", position.id),
                    ]),
                  ]),
                ),
          )
          const last = rows.at(-1)
          return {
            items: yield* Effect.forEach(rows, view),
            ...(rows.length === limit && last !== undefined
              ? { next: Page.encodeToken([last.started, last.id]) }
              : {}),
          }
        }),
      ),
    history: (runId, metric) =>
      wrap(
        Effect.map(
          db.all(
            build
              .selectFrom("registry_metric")
              .select(["step", "time", "value"])
              .where("run", "=", runId)
              .where("key", "=", metric)
              .orderBy("step")
              .orderBy("time"),
          ),
          (rows) => rows.map(({ step, time, value }) => ({ step, time, value: Number(value) })),
        ),
      ),
    artifacts: (runId) =>
      wrap(
        db.all(
          build
            .selectFrom("registry_artifact")
            .select(["path", "digest", "size"])
            .where("run", "=", runId)
            .orderBy("path"),
        ),
      ),
    inputs: (runId) =>
      wrap(
        Effect.map(
          db.all(build.selectFrom("registry_input").selectAll().where("run", "=", runId)),
          (rows) =>
            rows.map(({ run: _, rows: count, ...input }) => ({
              ...input,
              ...(count === null ? {} : { rows: count }),
            })),
        ),
      ),
  })
})

/** Runs on a Database and a BlobStore. */
export const layer: Layer.Layer<
  Runs,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.effect(Runs, make)

const toTrackerError = (error: RegistryError): RunTracker.RunTrackerError =>
  new RunTracker.RunTrackerError({
    reason:
      error.reason === "InvalidInput" || error.reason === "NotFound" || error.reason === "Conflict"
        ? error.reason
        : "Unavailable",
    message: error.message,
    ...(error.field === undefined ? {} : { field: error.field }),
    cause: error,
  })

/** The port `RunTracker` on {@link Runs}. */
export const trackerLayer: Layer.Layer<RunTracker.RunTracker, never, Runs> = Layer.effect(
  RunTracker.RunTracker,
  Effect.map(Runs, (runs) =>
    RunTracker.RunTracker.of({
      startRun: (run) => Effect.mapError(runs.start(run), toTrackerError),
      log: (runId, batch) => Effect.mapError(runs.log(runId, batch), toTrackerError),
      logArtifact: (runId, artifact) =>
        Effect.mapError(runs.logArtifact(runId, artifact), toTrackerError),
      finishRun: (runId, status) => Effect.mapError(runs.finish(runId, status), toTrackerError),
      getRun: (runId) => Effect.mapError(runs.get(runId), toTrackerError),
      findRun: (experiment, key) => Effect.mapError(runs.find(experiment, key), toTrackerError),
    }),
  ),
)
