/**
 * Experiments and runs: parameters, metric series, tags, inputs and artifacts. Implements the port
 * `RunTracker`.
 *
 * @module
 */
import { type BlobStore, type Database, type Page, RunTracker, type Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as RunFiles from "./internal/artifacts/run-files.ts"
import * as Limits from "./internal/limits.ts"
import type { ModelMetric } from "./internal/logged-models/metrics.ts"
import * as Inputs from "./internal/run-inputs.ts"
import type { RunInputs, RunLinks } from "./internal/run-inputs.ts"
import * as Lifecycle from "./internal/runs-lifecycle.ts"
import * as Grouping from "./internal/runs-group.ts"
import * as Histories from "./internal/runs-history.ts"
import * as Logging from "./internal/runs-log.ts"
import * as Paging from "./internal/runs-page.ts"
import * as Reading from "./internal/runs-read.ts"
import type { Fields, MetricPoint, RunRecord } from "./internal/runs-read.ts"
import * as Writing from "./internal/runs-write.ts"
import * as Store from "./internal/store.ts"
import { toTrackerError } from "./internal/trackerError.ts"
import { fromBackend, RegistryError } from "./RegistryError.ts"

export type { Fields, MetricPoint, RunRecord } from "./internal/runs-read.ts"
export type { ModelMetric } from "./internal/logged-models/metrics.ts"
export type { RunDataset, RunInputs, RunLinks } from "./internal/run-inputs.ts"

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

/** A run to create in an experiment that exists, as MLflow's clients ask for it. */
export interface CreateRun {
  readonly experimentId: string
  readonly name?: string
  readonly user?: string
  /** Default now. */
  readonly started?: Timestamp.Timestamp
  readonly tags?: Readonly<Record<string, string>>
}

/** What may change about a run. */
export interface UpdateRun {
  readonly status?: RunTracker.RunStatus
  readonly ended?: Timestamp.Timestamp
  readonly name?: string
}

/** Which runs to count. */
export interface CountRuns {
  /** A condition in the language of `Filter`, such as `metrics.auc > 0.9`; default all runs. */
  readonly filter?: string
  /** Default `active`: runs that are not deleted. */
  readonly view?: "active" | "deleted" | "all"
}

/** Which runs to find, in which order, which page of them, and which of their keys. */
export interface SearchRuns extends CountRuns, Page.PageRequest {
  /** Sort keys such as `metrics.auc DESC`; default the latest start first. */
  readonly orderBy?: ReadonlyArray<string>
  /** Keys to read; a list that is absent is read whole. */
  readonly fields?: Fields
}

/** How to group runs. */
export interface GroupRuns extends CountRuns {
  /** Params, tags and attributes, such as `params.model` and `status`; at most 16 with metrics. */
  readonly by: ReadonlyArray<string>
  readonly metrics?: ReadonlyArray<{
    readonly key: string
    /** What of a run's history counts; default `last`. */
    readonly of?: "last" | "min" | "max" | "avg"
    /** What of the runs' numbers is told; default `mean`, which leaves out beyond 1e290. */
    readonly over?: "min" | "max" | "mean"
  }>
  /** Groups at most, the largest first. Default 1000, at most 10000. */
  readonly limit?: number
}

/** Runs with the same values. */
export interface RunGroup {
  /** A value for each key, `undefined` where the runs have none. */
  readonly values: ReadonlyArray<string | number | undefined>
  readonly runs: number
  /** A number for each metric, `undefined` where no run has one. */
  readonly metrics: ReadonlyArray<number | undefined>
}

/** How to write a batch. */
export interface LogOptions {
  /** Whether a run that has ended takes data; default `refuse`. */
  readonly ended?: "allow" | "refuse"
  /** A batch with the same key is written once, however often it is sent. 1 to 200 characters. */
  readonly key?: string
  /** Values that are also those of logged models, written together with the batch. */
  readonly models?: ReadonlyArray<ModelMetric>
}

/** Which points of a metric of many runs to read. */
export interface AskHistories {
  readonly runIds: ReadonlyArray<string>
  readonly key: string
  /** First and last step, both included; default all. */
  readonly start?: number
  readonly end?: number
  /** Points of a run at most. Default 320, at most 25000. */
  readonly samples?: number
}

/** Points of a run's metric, by step, time and value. */
export interface History {
  readonly runId: string
  readonly points: ReadonlyArray<MetricPoint>
}

/** Records and reads runs. */
export class Runs extends Context.Service<
  Runs,
  {
    readonly start: (run: RunTracker.StartRun) => Effect.Effect<RunRecord, RegistryError>
    /** Creates a run in an experiment that exists. */
    readonly create: (run: CreateRun) => Effect.Effect<RunRecord, RegistryError>
    /** Changes the status, end or name of a run, also of one that has ended. */
    readonly update: (runId: string, change: UpdateRun) => Effect.Effect<RunRecord, RegistryError>
    /**
     * Writes a batch in one transaction. A parameter cannot change its value. A run that has ended
     * takes no more, unless `ended` says so, as MLflow's protocol wants it. A history is a set: the
     * same point twice is one point.
     */
    readonly log: (
      runId: string,
      batch: RunTracker.RunBatch,
      options?: LogOptions,
    ) => Effect.Effect<void, RegistryError>
    readonly logArtifact: (
      runId: string,
      artifact: { readonly path: string; readonly file: string },
    ) => Effect.Effect<void, RegistryError>
    readonly finish: (
      runId: string,
      status: "FINISHED" | "FAILED" | "KILLED",
    ) => Effect.Effect<RunRecord, RegistryError>
    /** Deletes a run: it takes no more data, and searches pass it over until `restore`. */
    readonly remove: (runId: string) => Effect.Effect<void, RegistryError>
    readonly restore: (runId: string) => Effect.Effect<void, RegistryError>
    readonly deleteTag: (runId: string, key: string) => Effect.Effect<void, RegistryError>
    /** Replaces a tag's value by what a function makes of it, while nobody else changes the run. */
    readonly amendTag: (
      runId: string,
      key: string,
      amend: (value: string | undefined) => string,
    ) => Effect.Effect<void, RegistryError>
    /** Records datasets and logged models that the run read. */
    readonly logInputs: (runId: string, inputs: RunInputs) => Effect.Effect<void, RegistryError>
    /** Records logged models that the run wrote. */
    readonly logOutputs: (
      runId: string,
      models: ReadonlyArray<{ readonly modelId: string; readonly step: number }>,
    ) => Effect.Effect<void, RegistryError>
    /** Datasets and logged models of runs by id; runs without any are left out. */
    readonly links: (
      runIds: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyMap<string, RunLinks>, RegistryError>
    readonly get: (runId: string) => Effect.Effect<RunRecord, RegistryError>
    /** Runs by id, in that order, with the keys that are asked for; runs that are gone are left out. */
    readonly getMany: (
      runIds: ReadonlyArray<string>,
      fields?: Fields,
    ) => Effect.Effect<ReadonlyArray<RunRecord>, RegistryError>
    readonly find: (
      experiment: string,
      key: string,
    ) => Effect.Effect<RunRecord | undefined, RegistryError>
    /** Runs of an experiment, newest first. */
    readonly list: (
      experiment: string,
      page?: Page.PageRequest,
    ) => Effect.Effect<Page.Page<RunRecord>, RegistryError>
    /**
     * Runs of experiments by id, the latest start first; at equal starts by id. With `orderBy`,
     * missing values come last and NaN before them. A token says where its page ended and serves the
     * search that gave it alone: pages neither repeat nor skip runs that stay where they are.
     */
    readonly search: (
      experimentIds: ReadonlyArray<string>,
      search?: SearchRuns,
    ) => Effect.Effect<Page.Page<RunRecord>, RegistryError>
    /** How many runs of experiments there are. */
    readonly count: (
      experimentIds: ReadonlyArray<string>,
      which?: CountRuns,
    ) => Effect.Effect<number, RegistryError>
    /** Counts runs by what they have in common, and aggregates their metrics. */
    readonly groupBy: (
      experimentIds: ReadonlyArray<string>,
      groups: GroupRuns,
    ) => Effect.Effect<ReadonlyArray<RunGroup>, RegistryError>
    /** All points of a metric, by step and time. */
    readonly history: (
      runId: string,
      metric: string,
    ) => Effect.Effect<ReadonlyArray<MetricPoint>, RegistryError>
    /**
     * Points of a metric by time, step and value: `limit` of them after the first `offset`, and how
     * many there are.
     */
    readonly historyWindow: (
      runId: string,
      metric: string,
      window: { readonly offset: number; readonly limit: number },
    ) => Effect.Effect<
      { readonly points: ReadonlyArray<MetricPoint>; readonly total: number },
      RegistryError
    >
    /**
     * Points of a metric of many runs, at most `samples` of each: the first of each of so many
     * stretches of equally many points, and the last. Runs without the metric are left out.
     */
    readonly histories: (
      asked: AskHistories,
    ) => Effect.Effect<ReadonlyArray<History>, RegistryError>
    /** The bytes of a file of a run; damaged content fails with `Corrupt` before its last bytes. */
    readonly readArtifact: (runId: string, path: string) => Stream.Stream<Uint8Array, RegistryError>
    readonly artifacts: (runId: string) => Effect.Effect<ReadonlyArray<Artifact>, RegistryError>
    readonly inputs: (runId: string) => Effect.Effect<ReadonlyArray<RunInput>, RegistryError>
  }
>()("@ashlar/registry/Runs/v1") {}

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { db, build, wrap } = store
  const reading = Reading.make(store)
  const { view, row } = reading
  const write = Writing.make(store)
  const files = RunFiles.make(store)
  const { list, search, count } = Paging.make(store, reading)
  const groupBy = Grouping.make(store)
  const series = Histories.make(store)
  const logging = Logging.make(store, reading, write, yield* Effect.context<never>())
  const inputs = Inputs.make(store)
  const lifecycle = Lifecycle.make(store, reading, write)
  const { present, find, start, create, update, finish } = lifecycle

  const active = Effect.fnUntraced(function* (runId: string) {
    const run = yield* present(runId)
    if (run.status === "RUNNING" || run.status === "SCHEDULED") return run
    return yield* new RegistryError({
      reason: "Conflict",
      message: `run ${runId} is ${run.status} and takes no more data: start another run`,
    })
  })

  return Runs.of({
    create: (run) => wrap(db.transaction(create(run))),
    update: (runId, change) =>
      wrap(
        db.transaction(
          Effect.tap(update(runId, change), ({ status }) => logging.settle(runId, status)),
        ),
      ),
    search: (experimentIds, options = {}) => wrap(search(experimentIds, options)),
    start: (run) => wrap(db.transaction(start(run))),
    log: (runId, batch, options = {}) => wrap(logging.log(runId, batch, options)),
    count: (experimentIds, which = {}) => wrap(count(experimentIds, which)),
    groupBy: (experimentIds, groups) => wrap(groupBy(experimentIds, groups)),
    logArtifact: (runId, { path, file }) =>
      wrap(
        Effect.gen(function* () {
          yield* Limits.path("path", path)
          yield* files.log(yield* active(runId), path, file)
        }),
      ),
    finish: (runId, status) =>
      wrap(db.transaction(Effect.tap(finish(runId, status), () => logging.settle(runId, status)))),
    remove: (runId) => wrap(db.transaction(lifecycle.remove(runId))),
    restore: (runId) => wrap(db.transaction(lifecycle.restore(runId))),
    deleteTag: (runId, key) => wrap(db.transaction(lifecycle.deleteTag(runId, key))),
    amendTag: (runId, key, amend) => wrap(db.transaction(lifecycle.amendTag(runId, key, amend))),
    logInputs: (runId, given) =>
      wrap(db.transaction(Effect.flatMap(present(runId), (run) => inputs.logInputs(run, given)))),
    logOutputs: (runId, models) =>
      wrap(db.transaction(Effect.flatMap(present(runId), () => inputs.logOutputs(runId, models)))),
    links: (runIds) => wrap(inputs.links(runIds)),
    get: (runId) => wrap(Effect.flatMap(row(runId), view)),
    getMany: (runIds, fields) =>
      wrap(Effect.flatMap(reading.rows(runIds), (rows) => reading.views(rows, fields))),
    find: (experiment, key) => wrap(find(experiment, key)),
    list: (experiment, page = {}) => wrap(list(experiment, page)),
    history: (runId, metric) => wrap(series.history(runId, metric)),
    historyWindow: (runId, metric, window) => wrap(series.window(runId, metric, window)),
    histories: (asked) => wrap(series.histories(asked)),
    readArtifact: (runId, path) =>
      Stream.unwrap(
        Effect.map(wrap(Effect.flatMap(row(runId), (run) => files.get(run, path))), (file) =>
          Stream.mapError(store.contents.read(file), fromBackend),
        ),
      ),
    artifacts: (runId) => wrap(Effect.flatMap(row(runId), files.list)),
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
export const layer: Layer.Layer<Runs, RegistryError, Database.Database | BlobStore.BlobStore> =
  Layer.effect(Runs, make)

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
