/**
 * Experiments: the names that runs are filed under.
 *
 * @module
 */
import { type BlobStore, type Database, Id, Page, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Limits from "./internal/limits.ts"
import * as Store from "./internal/store.ts"
import { invalid, notFound, RegistryError } from "./RegistryError.ts"

/** An experiment. */
export interface Experiment {
  readonly id: string
  readonly name: string
  readonly created: Timestamp.Timestamp
  readonly updated: Timestamp.Timestamp
  readonly tags: Readonly<Record<string, string>>
}

/** Creates and finds experiments. The experiment "Default" has the id `0` and is always there. */
export class Experiments extends Context.Service<
  Experiments,
  {
    /** Fails with `AlreadyExists` when the name is taken. A name has 1 to 500 characters. */
    readonly create: (experiment: {
      readonly name: string
      readonly tags?: Readonly<Record<string, string>>
    }) => Effect.Effect<Experiment, RegistryError>
    readonly get: (id: string) => Effect.Effect<Experiment, RegistryError>
    readonly getByName: (name: string) => Effect.Effect<Experiment, RegistryError>
    /** All experiments, newest first. */
    readonly list: (page?: Page.PageRequest) => Effect.Effect<Page.Page<Experiment>, RegistryError>
  }
>()("@ashlar/registry/Experiments/v1") {}

interface Row {
  readonly id: string
  readonly name: string
  readonly created: number
  readonly updated: number
}

const make = Effect.gen(function* () {
  const { db, build, wrap } = yield* Store.make

  const views = Effect.fnUntraced(function* (rows: ReadonlyArray<Row>) {
    if (rows.length === 0) return []
    const tags = yield* db.all(
      build
        .selectFrom("registry_experiment_tag")
        .selectAll()
        .where(
          "experiment",
          "in",
          rows.map(({ id }) => id),
        ),
    )
    return rows.map(({ id, name, created, updated }): Experiment => ({
      id,
      name,
      created,
      updated: Math.max(created, updated),
      tags: Object.fromEntries(
        tags.flatMap(({ experiment, key, value }) => (experiment === id ? [[key, value]] : [])),
      ),
    }))
  })

  const find = (column: "id" | "name", value: string) =>
    db.first(build.selectFrom("registry_experiment").selectAll().where(column, "=", value))

  const get = Effect.fnUntraced(function* (column: "id" | "name", value: string) {
    const row = yield* find(column, value)
    const [found] = row === undefined ? [] : yield* views([row])
    const text = value.slice(0, 500)
    return (
      found ??
      (yield* notFound(
        column === "id"
          ? `No Experiment with id=${text} exists: it`
          : `Could not find experiment with name '${text}': it`,
      ))
    )
  })

  const create = Effect.fnUntraced(function* (experiment: {
    readonly name: string
    readonly tags?: Readonly<Record<string, string>>
  }) {
    const { name, tags = {} } = experiment
    if (name.length < 1 || name.length > 500) {
      return yield* invalid(
        "name",
        `an experiment's name has 1 to 500 characters, not ${name.length}`,
      )
    }
    yield* Limits.batch({ tags })
    if ((yield* find("name", name)) !== undefined) {
      return yield* new RegistryError({
        reason: "AlreadyExists",
        field: "name",
        message: `Experiment '${name}' already exists: choose another name, or use that one`,
      })
    }
    const id = Id.make()
    const now = Timestamp.now()
    yield* db.run(
      build.insertInto("registry_experiment").values({ id, name, created: now, updated: now }),
    )
    yield* db.insertMany(
      "registry_experiment_tag",
      Object.entries(tags).map(([key, value]) => ({ experiment: id, key, value })),
    )
    return yield* get("id", id)
  })

  return Experiments.of({
    create: (experiment) => wrap(db.transaction(create(experiment))),
    get: (id) => wrap(get("id", id)),
    getByName: (name) => wrap(get("name", name)),
    list: (page = {}) =>
      wrap(
        Effect.gen(function* () {
          const limit = Math.min(Math.max(page.limit ?? 100, 1), 50_000)
          const position = yield* Limits.token(page.token)
          const query = build
            .selectFrom("registry_experiment")
            .selectAll()
            .orderBy("created", "desc")
            .orderBy("id", "desc")
            .limit(limit)
          const rows = yield* db.all(
            position === undefined
              ? query
              : query.where((where) =>
                  where.or([
                    where("created", "<", position.time),
                    where.and([
                      where("created", "=", position.time),
                      where("id", "<", position.id),
                    ]),
                  ]),
                ),
          )
          const last = rows.at(-1)
          return {
            items: yield* views(rows),
            ...(rows.length === limit && last !== undefined
              ? { next: Page.encodeToken([last.created, last.id]) }
              : {}),
          }
        }),
      ),
  })
})

/** Experiments on a Database. */
export const layer: Layer.Layer<
  Experiments,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.effect(Experiments, make)
