import { type Database, Page, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, notFound, RegistryError } from "../RegistryError.ts"
import * as Limits from "./limits.ts"
import type { Tables, VersionRow } from "./migrations.ts"
import type { Store } from "./store.ts"

/** A model to create. */
export interface CreateModel {
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
  /** When a version was last added. */
  readonly updated: Timestamp.Timestamp
  readonly aliases: Readonly<Record<string, number>>
  /** The newest version; absent while there is none. */
  readonly latest?: number
}

type Failure = Database.DatabaseError | RegistryError

/** What there is to know of models without their packages. */
export interface Registered {
  readonly create: (model: CreateModel) => Effect.Effect<ModelInfo, RegistryError>
  readonly model: (name: string) => Effect.Effect<ModelInfo, RegistryError>
  readonly list: (page?: Page.PageRequest) => Effect.Effect<Page.Page<ModelInfo>, RegistryError>
  readonly versionRows: (
    page: Page.PageRequest & { readonly name?: string },
  ) => Effect.Effect<{ readonly rows: ReadonlyArray<VersionRow>; readonly next?: string }, Failure>
}

const bad = invalid("token", "the page token is not one this service gave: start again")

/** The registered models of a store. */
export const make = ({ db, build, wrap }: Store): Registered => {
  const views = Effect.fnUntraced(function* (rows: ReadonlyArray<Tables["registry_model"]>) {
    if (rows.length === 0) return []
    const names = rows.map(({ name }) => name)
    const aliases = Map.groupBy(
      yield* db.all(build.selectFrom("registry_alias").selectAll().where("model", "in", names)),
      ({ model }) => model,
    )
    const newest = yield* db.all(
      build
        .selectFrom("registry_version")
        .select(["model", (select) => select.fn.max("version").as("version")])
        .where("model", "in", names)
        .groupBy("model"),
    )
    const latestOf = new Map(newest.map(({ model, version }) => [model, version]))
    return rows.map(({ name, description, tags, created, updated }): ModelInfo => {
      const latest = latestOf.get(name)
      const pairs = aliases.get(name)?.map(({ alias, version }) => [alias, version] as const) ?? []
      return {
        name,
        description,
        tags: JSON.parse(tags),
        created,
        updated: Math.max(created, updated),
        aliases: Object.fromEntries(pairs),
        ...(latest === undefined ? {} : { latest }),
      }
    })
  })

  const model = Effect.fnUntraced(function* (name: string) {
    const rows = yield* db.all(
      build.selectFrom("registry_model").selectAll().where("name", "=", name),
    )
    const [found] = yield* views(rows)
    return (
      found ?? (yield* notFound(`Registered Model with name=${name.slice(0, 300)} not found: it`))
    )
  })

  const create = Effect.fnUntraced(function* ({ name, description = "", tags = {} }: CreateModel) {
    yield* Limits.name("name", name)
    yield* Limits.batch({ tags })
    const now = Timestamp.now()
    const { rows } = yield* db.run(
      build
        .insertInto("registry_model")
        .values({ name, created: now, updated: now, description, tags: JSON.stringify(tags) })
        .onConflict((c) => c.column("name").doNothing()),
    )
    if (rows === 1) return yield* model(name)
    return yield* new RegistryError({
      reason: "AlreadyExists",
      field: "name",
      message: `Registered Model (name=${name}) already exists: choose another name, or use that one`,
    })
  })

  const list = Effect.fnUntraced(function* (page: Page.PageRequest) {
    const limit = Math.min(Math.max(page.limit ?? 100, 1), 1000)
    const query = build.selectFrom("registry_model").selectAll().orderBy("name").limit(limit)
    const [after] = page.token === undefined ? [""] : (Page.decodeToken(page.token) ?? [])
    if (typeof after !== "string") return yield* bad
    const rows = yield* db.all(query.where("name", ">", after))
    const last = rows.at(-1)
    return {
      items: yield* views(rows),
      ...(rows.length === limit && last !== undefined
        ? { next: Page.encodeToken([last.name]) }
        : {}),
    }
  })

  const versionRows: Registered["versionRows"] = Effect.fnUntraced(function* (page) {
    const limit = Math.min(Math.max(page.limit ?? 1000, 1), 10_000)
    const [name, version] =
      page.token === undefined ? ["", 0] : (Page.decodeToken(page.token) ?? [])
    if (typeof name !== "string" || typeof version !== "number") return yield* bad
    const all = build
      .selectFrom("registry_version")
      .selectAll()
      .orderBy("model")
      .orderBy("version", "desc")
      .limit(limit)
    const some = page.name === undefined ? all : all.where("model", "=", page.name)
    const rows = yield* db.all(
      page.token === undefined
        ? some
        : some.where((where) =>
            where.or([
              where("model", ">", name),
              where.and([where("model", "=", name), where("version", "<", version)]),
            ]),
          ),
    )
    const last = rows.at(-1)
    return {
      rows,
      ...(rows.length === limit && last !== undefined
        ? { next: Page.encodeToken([last.model, last.version]) }
        : {}),
    }
  })

  return {
    create: (given) => wrap(create(given)),
    model: (name) => wrap(model(name)),
    list: (page = {}) => wrap(list(page)),
    versionRows,
  }
}
