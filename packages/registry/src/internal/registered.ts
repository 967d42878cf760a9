import { type Database, Page, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { ModelTables } from "./migrations/0006-models.ts"
import * as Rules from "./model-rules.ts"
import { notify } from "./notify.ts"
import type { Store } from "./store.ts"
import { shownTags } from "./version-insert.ts"

/** A model to create. */
export interface CreateModel {
  /** 1 to 256 characters without `/` and `:`. */
  readonly name: string
  readonly description?: string
  readonly tags?: Readonly<Record<string, string>>
}

/** A registered model. */
export interface ModelInfo {
  readonly name: string
  readonly description: string
  readonly tags: Readonly<Record<string, string>>
  readonly created: Timestamp.Timestamp
  /** When it, or a version of it, was last changed. */
  readonly updated: Timestamp.Timestamp
  readonly aliases: Readonly<Record<string, number>>
  /** The newest version; absent while there is none. */
  readonly latest?: number
}

type Failure = Database.DatabaseError | RegistryError
type ModelRow = ModelTables["registry_model"]

/** Models without their versions. */
export interface Registered {
  /** In a transaction. */
  readonly create: (model: CreateModel) => Effect.Effect<ModelInfo, Failure>
  readonly model: (name: string) => Effect.Effect<ModelInfo, Failure>
  readonly infos: (
    rows: ReadonlyArray<ModelRow>,
  ) => Effect.Effect<ReadonlyArray<ModelInfo>, Database.DatabaseError>
  readonly list: (page: Page.PageRequest) => Effect.Effect<Page.Page<ModelInfo>, Failure>
  /** In a transaction. */
  readonly describe: (name: string, description: string) => Effect.Effect<ModelInfo, Failure>
  readonly setTag: (name: string, key: string, value: string) => Effect.Effect<void, Failure>
  readonly removeTag: (name: string, key: string) => Effect.Effect<void, Failure>
}

const bad = invalid("token", "the page token is not one this service gave: start again")

/** Most values of one statement; SQLite takes 32766 parameters. */
const chunk = 1000

/** The registered models of a store. */
export const make = (store: Store): Registered => {
  const { db, build } = store

  const infos: Registered["infos"] = Effect.fnUntraced(function* (rows) {
    const infos: Array<ModelInfo> = []
    for (let i = 0; i < rows.length; i += chunk) {
      const some = rows.slice(i, i + chunk)
      const names = some.map(({ name }) => name)
      const aliases = Map.groupBy(
        yield* db.all(
          build
            .selectFrom("registry_alias")
            .selectAll()
            .where("model", "in", names)
            .orderBy("alias"),
        ),
        ({ model }) => model,
      )
      const tags = Map.groupBy(
        yield* db.all(
          build
            .selectFrom("registry_model_tag")
            .selectAll()
            .where("model", "in", names)
            .orderBy("key"),
        ),
        ({ model }) => model,
      )
      const newest = yield* db.all(
        build
          .selectFrom("registry_version")
          .select(["model", (select) => select.fn.max("version").as("version")])
          .where("model", "in", names)
          .where("deleted", "is", null)
          .groupBy("model"),
      )
      const latestOf = new Map(newest.map(({ model, version }) => [model, version]))
      for (const { name, description, created, updated } of some) {
        const latest = latestOf.get(name)
        infos.push({
          name,
          description,
          tags: Object.fromEntries((tags.get(name) ?? []).map(({ key, value }) => [key, value])),
          created,
          updated: Math.max(created, updated),
          aliases: Object.fromEntries(
            (aliases.get(name) ?? []).map(({ alias, version }) => [alias, version]),
          ),
          ...(latest === undefined ? {} : { latest }),
        })
      }
    }
    return infos
  })

  const model = Effect.fnUntraced(function* (name: string) {
    yield* Rules.name(name)
    const rows = yield* db.all(
      build.selectFrom("registry_model").selectAll().where("name", "=", name),
    )
    const [found] = yield* infos(rows)
    return found ?? (yield* Rules.missingModel(name))
  })

  const taken = Effect.fnUntraced(function* (name: string, isPrompt: boolean) {
    const { tags } = yield* model(name)
    const wasPrompt = Object.hasOwn(tags, Rules.promptTag)
    const kind = (prompt: boolean) => (prompt ? "Prompt" : "Registered Model")
    const message =
      wasPrompt === isPrompt
        ? `${kind(isPrompt)} (name=${name}) already exists.`
        : `Tried to create a ${kind(isPrompt).toLowerCase()} with name '${name}', but the name is already taken by a ${kind(wasPrompt).toLowerCase()}. MLflow does not allow creating a model and a prompt with the same name.`
    return yield* new RegistryError({ reason: "AlreadyExists", field: "name", message })
  })

  /** Sets a time of change, or fails where there is no such model. */
  const touch = Effect.fnUntraced(function* (name: string, set: Partial<ModelRow>) {
    yield* Rules.name(name)
    const { rows } = yield* db.run(
      build
        .updateTable("registry_model")
        .set({ ...set })
        .where("name", "=", name),
    )
    if (rows === 0) return yield* Rules.missingModel(name)
  })

  return {
    model,
    infos,
    create: Effect.fnUntraced(function* ({ name, description = "", tags = {} }) {
      yield* Rules.name(name)
      yield* Rules.tags(tags)
      yield* described(description)
      const now = Timestamp.now()
      const { rows } = yield* db.run(
        build
          .insertInto("registry_model")
          .values({ name, created: now, updated: now, description })
          .onConflict((c) => c.column("name").doNothing()),
      )
      if (rows === 0) return yield* taken(name, Object.hasOwn(tags, Rules.promptTag))
      yield* db.insertMany(
        "registry_model_tag",
        Object.entries(tags).map(([key, value]) => ({ model: name, key, value })),
      )
      yield* Rules.isPrompt(tags)
        ? notify(store, {
            type: "prompt.created",
            payload: { name, tags: shownTags(tags), description },
          })
        : notify(store, { type: "registered_model.created", payload: { name, tags, description } })
      return yield* model(name)
    }),
    list: Effect.fnUntraced(function* (page) {
      const limit = Math.min(Math.max(Math.trunc(page.limit ?? 100), 1), 1000)
      const [after] = page.token === undefined ? [""] : (Page.decodeToken(page.token) ?? [])
      if (typeof after !== "string") return yield* bad
      const rows = yield* db.all(
        build
          .selectFrom("registry_model")
          .selectAll()
          .where("name", ">", after)
          .orderBy("name")
          .limit(limit + 1),
      )
      const shown = rows.slice(0, limit)
      const last = shown.at(-1)
      return {
        items: yield* infos(shown),
        ...(rows.length > limit && last !== undefined
          ? { next: Page.encodeToken([last.name]) }
          : {}),
      }
    }),
    describe: Effect.fnUntraced(function* (name, description) {
      yield* described(description)
      yield* touch(name, { description, updated: Timestamp.now() })
      return yield* model(name)
    }),
    setTag: Effect.fnUntraced(function* (name, key, value) {
      yield* Rules.name(name)
      yield* Rules.tag(key, value)
      const { tags } = yield* model(name)
      yield* db.run(
        build
          .insertInto("registry_model_tag")
          .values({ model: name, key, value })
          .onConflict((c) => c.columns(["model", "key"]).doUpdateSet({ value })),
      )
      if (!Rules.isPrompt({ ...tags, [key]: value })) return
      yield* notify(store, { type: "prompt_tag.set", payload: { name, key, value } })
    }),
    removeTag: Effect.fnUntraced(function* (name, key) {
      yield* Rules.name(name)
      yield* Rules.tag(key, "")
      const { tags } = yield* model(name)
      yield* db.run(
        build.deleteFrom("registry_model_tag").where("model", "=", name).where("key", "=", key),
      )
      const { [key]: _, ...left } = tags
      if (!Rules.isPrompt(left)) return
      yield* notify(store, { type: "prompt_tag.deleted", payload: { name, key } })
    }),
  }
}

const described = (description: string): Effect.Effect<void, RegistryError> =>
  Rules.text("description", description, Rules.longestDescription)
