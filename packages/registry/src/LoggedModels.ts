/**
 * Logged models: what runs train before anything is registered, with the parameters, metrics and
 * files of each, as MLflow 3 keeps them.
 *
 * @module
 */
import { type BlobStore, type Database, Id, type Page, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metrics from "./internal/logged-models/metrics.ts"
import * as Search from "./internal/logged-models/search.ts"
import * as Validate from "./internal/mlflow/validate.ts"
import { invented } from "./internal/names.ts"
import * as Store from "./internal/store.ts"
import { invalid, RegistryError } from "./RegistryError.ts"

/** How far a logged model is. */
export type LoggedModelStatus = "UNSPECIFIED" | "PENDING" | "READY" | "FAILED"

/** One value of a metric of a logged model. */
export interface LoggedModelMetric {
  readonly key: string
  readonly value: number
  readonly step: number
  readonly time: Timestamp.Timestamp
  /** The run that measured it. */
  readonly runId: string
  /** What it was measured on. */
  readonly datasetName?: string
  readonly datasetDigest?: string
}

/** A logged model. */
export interface LoggedModel {
  /** `m-` and 32 hexadecimal digits. */
  readonly modelId: string
  readonly experimentId: string
  readonly name: string
  /** URI of its files. */
  readonly artifactUri: string
  readonly created: Timestamp.Timestamp
  readonly updated: Timestamp.Timestamp
  readonly status: LoggedModelStatus
  readonly modelType?: string
  readonly sourceRunId?: string
  readonly deleted?: Timestamp.Timestamp
  readonly tags: Readonly<Record<string, string>>
  readonly params: Readonly<Record<string, string>>
  /** All values, by key, time, step and run. */
  readonly metrics: ReadonlyArray<LoggedModelMetric>
}

/** A model to log. */
export interface CreateLoggedModel {
  readonly experimentId: string
  /** Without `/ : . % " '`; default an invented one. Names need not be unique. */
  readonly name?: string
  readonly modelType?: string
  readonly sourceRunId?: string
  readonly params?: Readonly<Record<string, string>>
  readonly tags?: Readonly<Record<string, string>>
}

/** A dataset that metrics were measured on. */
export interface DatasetName {
  readonly name: string
  readonly digest?: string
}

/** A sort key: an attribute, or `metrics.<key>` with the newest value on a dataset. */
export interface LoggedModelOrder {
  readonly field: string
  readonly direction?: "asc" | "desc"
  readonly dataset?: Partial<DatasetName>
}

/** Which logged models to find, in which order, and which page of them. */
export interface SearchLoggedModels extends Page.PageRequest {
  /** A condition in the language of `Filter`; a metric holds when any of its values does. */
  readonly filter?: string
  /** Only values measured on these count for the filter; alone, models with any value on them. */
  readonly datasets?: ReadonlyArray<DatasetName>
  /** Default the newest first; missing values come last. */
  readonly orderBy?: ReadonlyArray<LoggedModelOrder>
}

/** Creates and finds logged models. */
export class LoggedModels extends Context.Service<
  LoggedModels,
  {
    readonly create: (model: CreateLoggedModel) => Effect.Effect<LoggedModel, RegistryError>
    /** Fails with `NotFound` for a deleted one, unless `deleted` allows it. */
    readonly get: (
      modelId: string,
      options?: { readonly deleted?: "allow" | "refuse" },
    ) => Effect.Effect<LoggedModel, RegistryError>
    /** Models of experiments, default 50 a page; a token serves the search that gave it. */
    readonly search: (
      experimentIds: ReadonlyArray<string>,
      search?: SearchLoggedModels,
    ) => Effect.Effect<Page.Page<LoggedModel>, RegistryError>
    /** Says that its files are complete, or that they never will be. */
    readonly finalize: (
      modelId: string,
      status: LoggedModelStatus,
    ) => Effect.Effect<LoggedModel, RegistryError>
    readonly remove: (modelId: string) => Effect.Effect<void, RegistryError>
    readonly setTags: (
      modelId: string,
      tags: Readonly<Record<string, string>>,
    ) => Effect.Effect<void, RegistryError>
    readonly deleteTag: (modelId: string, key: string) => Effect.Effect<void, RegistryError>
    /** A parameter never changes its value. */
    readonly logParams: (
      modelId: string,
      params: Readonly<Record<string, string>>,
    ) => Effect.Effect<void, RegistryError>
    /** Adds values that a run measured; one that is there already stays as it is. */
    readonly logMetrics: (
      modelId: string,
      metrics: ReadonlyArray<LoggedModelMetric>,
    ) => Effect.Effect<void, RegistryError>
  }
>()("@ashlar/registry/LoggedModels/v1") {}

const missing = (message: string) => new RegistryError({ reason: "NotFound", message })
const unknown = (modelId: string) =>
  missing(`Logged model with ID '${modelId.slice(0, 300)}' not found.`)

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { db, build, wrap } = store
  const { views, search } = Search.make(store)
  const writeMetrics = Metrics.make(store)

  const row = Effect.fnUntraced(function* (modelId: string) {
    const found = yield* db.first(
      build.selectFrom("registry_logged_model").selectAll().where("id", "=", modelId),
    )
    return found ?? (yield* unknown(modelId))
  })

  const get = Effect.fnUntraced(function* (modelId: string, deleted: "allow" | "refuse") {
    const found = yield* row(modelId)
    const [model] = found.deleted === null || deleted === "allow" ? yield* views([found]) : []
    return model ?? (yield* unknown(modelId))
  })

  const create = Effect.fnUntraced(function* (model: CreateLoggedModel) {
    const wrong = model.name === undefined ? undefined : Validate.loggedModelName(model.name)
    if (wrong !== undefined) return yield* wrong
    const query = build
      .selectFrom("registry_experiment")
      .selectAll()
      .where("id", "=", model.experimentId)
    // Whoever deletes the experiment now waits. SQLite has one writer at a time.
    const experiment = yield* db.first(db.dialect === "postgres" ? query.forShare() : query)
    if (experiment === undefined) {
      return yield* missing(`No Experiment with id=${model.experimentId.slice(0, 300)} exists`)
    }
    if (experiment.deleted !== null) {
      return yield* invalid(
        "experiment_id",
        `The experiment ${experiment.id} must be in the 'active' state. Current state is deleted.`,
      )
    }
    const id = `m-${Id.make().replaceAll("-", "")}`
    const now = Timestamp.now()
    const root = experiment.artifact_location ?? `mlflow-artifacts:/${experiment.id}`
    yield* db.run(
      build.insertInto("registry_logged_model").values({
        id,
        experiment: experiment.id,
        name: model.name ?? invented(),
        artifact_uri: `${root.replace(/\/+$/, "")}/models/${id}/artifacts`,
        created: now,
        updated: now,
        status: "PENDING",
        model_type: model.modelType ?? null,
        source_run: model.sourceRunId ?? null,
        deleted: null,
      }),
    )
    yield* writePairs("param", id, model.params ?? {})
    yield* writePairs("tag", id, model.tags ?? {})
    return yield* get(id, "refuse")
  })

  const writePairs = (
    kind: "param" | "tag",
    model: string,
    pairs: Readonly<Record<string, string>>,
  ) =>
    db.insertMany(
      `registry_logged_model_${kind}`,
      Object.entries(pairs).map(([key, value]) => ({ model, key, value })),
      { onConflict: "ignore" },
    )

  const logParams = Effect.fnUntraced(function* (
    modelId: string,
    params: Readonly<Record<string, string>>,
  ) {
    yield* row(modelId)
    yield* writePairs("param", modelId, params)
    const stored = yield* db.all(
      build.selectFrom("registry_logged_model_param").selectAll().where("model", "=", modelId),
    )
    const changed = stored.find(
      ({ key, value }) => Object.hasOwn(params, key) && params[key] !== value,
    )
    if (changed === undefined) return
    return yield* invalid(
      `params.${changed.key}`,
      `Changing param values is not allowed. Param with key='${changed.key}' was already logged with value='${changed.value.slice(0, 200)}' for model ID='${modelId}'.`,
    )
  })

  const setTags = Effect.fnUntraced(function* (
    modelId: string,
    tags: Readonly<Record<string, string>>,
  ) {
    yield* row(modelId)
    // In one order, so that two writers do not wait for each other.
    for (const [key, value] of Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1))) {
      yield* db.run(
        build
          .insertInto("registry_logged_model_tag")
          .values({ model: modelId, key, value })
          .onConflict((c) => c.columns(["model", "key"]).doUpdateSet({ value })),
      )
    }
  })

  const deleteTag = Effect.fnUntraced(function* (modelId: string, key: string) {
    yield* row(modelId)
    const { rows } = yield* db.run(
      build
        .deleteFrom("registry_logged_model_tag")
        .where("model", "=", modelId)
        .where("key", "=", key),
    )
    if (rows > 0) return
    return yield* missing(
      `No tag with key ${Validate.shown(key.slice(0, 300))} found for model with ID ${Validate.shown(modelId)}.`,
    )
  })

  const change = Effect.fnUntraced(function* (
    modelId: string,
    set: { readonly status: LoggedModelStatus } | { readonly deleted: number },
  ) {
    yield* row(modelId)
    yield* db.run(
      build
        .updateTable("registry_logged_model")
        .set({ ...set, updated: Timestamp.now() })
        .where("id", "=", modelId),
    )
  })

  return LoggedModels.of({
    create: (model) => wrap(db.transaction(create(model))),
    get: (modelId, { deleted = "refuse" } = {}) => wrap(get(modelId, deleted)),
    search: (experimentIds, options = {}) => wrap(search(experimentIds, options)),
    finalize: (modelId, status) =>
      wrap(db.transaction(Effect.andThen(change(modelId, { status }), get(modelId, "allow")))),
    remove: (modelId) =>
      wrap(db.transaction(Effect.suspend(() => change(modelId, { deleted: Timestamp.now() })))),
    setTags: (modelId, tags) => wrap(db.transaction(setTags(modelId, tags))),
    deleteTag: (modelId, key) => wrap(db.transaction(deleteTag(modelId, key))),
    logParams: (modelId, params) => wrap(db.transaction(logParams(modelId, params))),
    logMetrics: (modelId, metrics) =>
      wrap(db.transaction(writeMetrics(metrics.map((metric) => ({ ...metric, modelId }))))),
  })
})

/** Logged models on a Database. */
export const layer: Layer.Layer<
  LoggedModels,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.effect(LoggedModels, make)
