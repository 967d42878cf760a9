/**
 * Experiments: the names that runs are filed under.
 *
 * @module
 */
import { type BlobStore, type Database, Id, type Page, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reading from "./internal/experiments-search.ts"
import * as Inputs from "./internal/run-inputs.ts"
import * as Validate from "./internal/mlflow/validate.ts"
import * as Store from "./internal/store.ts"
import { invalid, RegistryError } from "./RegistryError.ts"

/** An experiment. */
export interface Experiment {
  readonly id: string
  readonly name: string
  readonly created: Timestamp.Timestamp
  readonly updated: Timestamp.Timestamp
  /** URI below which its runs keep their files. */
  readonly artifactLocation: string
  /** When it was deleted; a deleted one keeps its name, and its runs are deleted with it. */
  readonly deleted?: Timestamp.Timestamp
  readonly tags: Readonly<Record<string, string>>
}

/** An experiment to create. */
export interface CreateExperiment {
  readonly name: string
  /** Default `mlflow-artifacts:/<id>`, which is this registry. */
  readonly artifactLocation?: string
  readonly tags?: Readonly<Record<string, string>>
}

/** Which experiments to find, in which order, and which page of them. */
export interface SearchExperiments extends Page.PageRequest {
  /** A condition in the language of `Filter`, such as `name LIKE 'flights%'`. */
  readonly filter?: string
  /** Sort keys such as `last_update_time DESC`; default the newest first. */
  readonly orderBy?: ReadonlyArray<string>
  /** Default `active`. */
  readonly view?: "active" | "deleted" | "all"
}

/** A dataset that runs of an experiment read. */
export interface DatasetSummary {
  readonly experimentId: string
  readonly name: string
  readonly digest: string
  /** What it was read for, e.g. `training`. */
  readonly context?: string
}

/** Creates and finds experiments. The experiment "Default" has the id `0` and is always there. */
export class Experiments extends Context.Service<
  Experiments,
  {
    /** Fails with `AlreadyExists` when the name is taken, also by a deleted one; 1 to 500 characters. */
    readonly create: (experiment: CreateExperiment) => Effect.Effect<Experiment, RegistryError>
    /** Also a deleted one. */
    readonly get: (id: string) => Effect.Effect<Experiment, RegistryError>
    /** Also a deleted one. */
    readonly getByName: (name: string) => Effect.Effect<Experiment, RegistryError>
    /** A page of experiments; a token serves the search that gave it. Default 100 a page. */
    readonly list: (
      search?: SearchExperiments,
    ) => Effect.Effect<Page.Page<Experiment>, RegistryError>
    /** Renames an experiment that is not deleted. */
    readonly rename: (id: string, name: string) => Effect.Effect<Experiment, RegistryError>
    /** Deletes an experiment and its runs; `restore` brings both back. */
    readonly remove: (id: string) => Effect.Effect<void, RegistryError>
    readonly restore: (id: string) => Effect.Effect<void, RegistryError>
    /** A key has at most 250 characters, a value 20,000. */
    readonly setTag: (id: string, key: string, value: string) => Effect.Effect<void, RegistryError>
    readonly deleteTag: (id: string, key: string) => Effect.Effect<void, RegistryError>
    /** At most 1000 datasets that runs of the experiments read, by name and digest. */
    readonly datasets: (
      ids: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<DatasetSummary>, RegistryError>
  }
>()("@ashlar/registry/Experiments/v1") {}

const missing = (message: string) => new RegistryError({ reason: "NotFound", message })

/** Saved views of MLflow's pages; each is a tag, and there can be only so many. */
const viewTag = "mlflow.customView.view"
const maxViews = 50

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { db, build, wrap } = store
  const { views, search } = Reading.make(store)

  const find = (column: "id" | "name", value: string) =>
    db.first(build.selectFrom("registry_experiment").selectAll().where(column, "=", value))

  const row = Effect.fnUntraced(function* (id: string) {
    const found = yield* find("id", id)
    return found ?? (yield* missing(`No Experiment with id=${id.slice(0, 500)} exists`))
  })

  const get = Effect.fnUntraced(function* (column: "id" | "name", value: string) {
    const found = column === "id" ? yield* row(value) : yield* find(column, value)
    const [experiment] = found === undefined ? [] : yield* views([found])
    return (
      experiment ?? (yield* missing(`Could not find experiment with name '${value.slice(0, 500)}'`))
    )
  })

  /** A row that may be changed. */
  const active = Effect.fnUntraced(function* (id: string) {
    const found = yield* row(id)
    if (found.deleted === null) return found
    return yield* invalid(
      "experiment_id",
      `The experiment ${id} must be in the 'active' state. Current state is deleted.`,
    )
  })

  const taken = (name: string) =>
    new RegistryError({
      reason: "AlreadyExists",
      field: "name",
      message: `Experiment(name=${name}) already exists, perhaps deleted: choose another name, or restore that one`,
    })

  const checkTags = Effect.fnUntraced(function* (tags: Readonly<Record<string, string>>) {
    for (const [key, value] of Object.entries(tags)) {
      const wrong = Validate.experimentTag(key, value)
      if (wrong !== undefined) return yield* wrong
    }
    if (Object.keys(tags).filter((key) => key.startsWith(viewTag)).length <= maxViews) return
    return yield* invalid(
      "tags",
      `Unable to create another custom view; the maximum number of custom views per experiment is ${maxViews}. Delete an existing custom view before creating a new one.`,
    )
  })

  const create = Effect.fnUntraced(function* (experiment: CreateExperiment) {
    const { name, tags = {}, artifactLocation = "" } = experiment
    const wrong = Validate.artifactLocation(artifactLocation)
    if (wrong !== undefined) return yield* wrong
    yield* checkTags(tags)
    const unnamed = Validate.experimentName(name)
    if (unnamed !== undefined) return yield* unnamed
    const id = Id.make()
    const now = Timestamp.now()
    // Of two that ask for one name at once, one gets it, and the other an answer it can use.
    const { rows } = yield* db.run(
      build
        .insertInto("registry_experiment")
        .values({
          id,
          name,
          created: now,
          updated: now,
          artifact_location: artifactLocation === "" ? null : artifactLocation,
        })
        .onConflict((c) => c.column("name").doNothing()),
    )
    if (rows === 0) return yield* taken(name)
    yield* db.insertMany(
      "registry_experiment_tag",
      Object.entries(tags).map(([key, value]) => ({ experiment: id, key, value })),
    )
    return yield* get("id", id)
  })

  const rename = Effect.fnUntraced(function* (id: string, name: string) {
    const wrong = Validate.experimentName(name)
    if (wrong !== undefined) return yield* wrong
    const found = yield* row(id)
    if (found.deleted !== null) {
      return yield* invalid("experiment_id", "Cannot rename a non-active experiment.")
    }
    yield* Effect.mapError(
      db.run(
        build
          .updateTable("registry_experiment")
          .set({ name, updated: Timestamp.now() })
          .where("id", "=", id),
      ),
      (error) => (error.reason === "AlreadyExists" ? taken(name) : error),
    )
    return yield* get("id", id)
  })

  /** Deletes and restores the runs too, also those that were deleted by themselves, as MLflow does. */
  const mark = Effect.fnUntraced(function* (id: string, state: "deleted" | "active") {
    const found = yield* row(id)
    if ((found.deleted === null) !== (state === "deleted")) {
      return yield* missing(`No Experiment with id=${id.slice(0, 500)} exists`)
    }
    const now = Timestamp.now()
    const deleted = state === "deleted" ? now : null
    yield* db.run(
      build.updateTable("registry_experiment").set({ deleted, updated: now }).where("id", "=", id),
    )
    yield* db.run(build.updateTable("registry_run").set({ deleted }).where("experiment", "=", id))
  })

  const setTag = Effect.fnUntraced(function* (id: string, key: string, value: string) {
    yield* checkTags({ [key]: value })
    yield* active(id)
    if (key.startsWith(viewTag)) {
      const { tags } = yield* get("id", id)
      yield* checkTags({ ...tags, [key]: value })
    }
    yield* db.run(
      build
        .insertInto("registry_experiment_tag")
        .values({ experiment: id, key, value })
        .onConflict((c) => c.columns(["experiment", "key"]).doUpdateSet({ value })),
    )
  })

  const deleteTag = Effect.fnUntraced(function* (id: string, key: string) {
    yield* active(id)
    const { rows } = yield* db.run(
      build
        .deleteFrom("registry_experiment_tag")
        .where("experiment", "=", id)
        .where("key", "=", key),
    )
    if (rows > 0) return
    return yield* missing(
      `No tag with name: ${key.slice(0, 500)} in experiment with id ${id.slice(0, 500)}`,
    )
  })

  return Experiments.of({
    create: (experiment) => wrap(db.transaction(create(experiment))),
    get: (id) => wrap(get("id", id)),
    getByName: (name) => wrap(get("name", name)),
    list: (options = {}) => wrap(search(options)),
    rename: (id, name) => wrap(db.transaction(rename(id, name))),
    remove: (id) => wrap(db.transaction(mark(id, "deleted"))),
    restore: (id) => wrap(db.transaction(mark(id, "active"))),
    setTag: (id, key, value) => wrap(db.transaction(setTag(id, key, value))),
    deleteTag: (id, key) => wrap(db.transaction(deleteTag(id, key))),
    datasets: (ids) => wrap(Inputs.make(store).datasets(ids)),
  })
})

/** Experiments on a Database. */
export const layer: Layer.Layer<
  Experiments,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.effect(Experiments, make)
