import { type Database, ModelPackage, type ModelRef, Page, type Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, notFound, type RegistryError } from "../RegistryError.ts"
import type { Stage, VersionRow } from "./migrations/0006-models.ts"
import * as Rules from "./model-rules.ts"
import type { Store } from "./store.ts"

/** A registered version. */
export interface VersionInfo {
  readonly name: string
  readonly version: number
  /** Of the content; where the files are not this registry's, of what is known of them. */
  readonly digest: string
  /** Absent where the version cannot be served; `fault` says why. */
  readonly manifest?: ModelPackage.Manifest
  /** Every file of the version that this registry holds, its descriptors (`MLmodel`) included. */
  readonly files: ReadonlyArray<ModelPackage.PackageFile>
  /** What was recognised, e.g. `onnx`, `scikit-learn`. */
  readonly format?: string
  readonly fault?: string
  readonly aliases: ReadonlyArray<string>
  readonly runId?: string
  /** The model that a run logged. */
  readonly loggedModelId?: string
  /** Page of the run that made it. */
  readonly runLink?: string
  readonly description?: string
  readonly tags: Readonly<Record<string, string>>
  /** As it was registered, e.g. `runs:/<run>/model`. */
  readonly source: string
  /** URI of the files. */
  readonly storage: string
  readonly stage: Stage
  readonly created: Timestamp.Timestamp
  readonly updated: Timestamp.Timestamp
}

/** A page of versions, of one model or of all. */
export type VersionPage = Page.PageRequest & { readonly name?: string }

type Failure = Database.DatabaseError | RegistryError

/** Reads versions. Deleted ones are as if they had never been. */
export interface Versions {
  readonly infos: (
    rows: ReadonlyArray<VersionRow>,
  ) => Effect.Effect<ReadonlyArray<VersionInfo>, Failure>
  readonly info: (row: VersionRow) => Effect.Effect<VersionInfo, Failure>
  /** The version a reference means now; without version and alias, the newest. */
  readonly row: (ref: ModelRef.ModelRef) => Effect.Effect<VersionRow, Failure>
  /** All of a model, the newest first. */
  readonly rows: (name: string) => Effect.Effect<ReadonlyArray<VersionRow>, Database.DatabaseError>
  /** Of one model or of all, by name and the newest first. */
  readonly page: (
    page: VersionPage,
  ) => Effect.Effect<{ readonly rows: ReadonlyArray<VersionRow>; readonly next?: string }, Failure>
  /** The newest of each stage, by model; of each model by number. */
  readonly latest: (
    names: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyMap<string, ReadonlyArray<VersionInfo>>, Failure>
  readonly byKey: (
    name: string,
    key: string,
  ) => Effect.Effect<VersionRow | undefined, Database.DatabaseError>
}

const decodeManifest = Schema.decodeUnknownSync(ModelPackage.Manifest)
const decodeFiles = Schema.decodeUnknownSync(Schema.Array(ModelPackage.PackageFile))

const bad = invalid("token", "the page token is not one this service gave: start again")

/** Most values of one statement; SQLite takes 32766 parameters. */
const chunk = 1000

const isStage = (stage: VersionRow["stage"]): stage is Stage => stage !== "Deleted_Internal"

/** The versions of a store. */
export const make = ({ db, build }: Store): Versions => {
  const all = build.selectFrom("registry_version").selectAll().where("deleted", "is", null)

  /** A few queries, however many versions there are. */
  const infos: Versions["infos"] = Effect.fnUntraced(function* (rows) {
    const names = [...new Set(rows.map(({ model }) => model))]
    const numbers = [...new Set(rows.map(({ version }) => version))]
    const aliases = new Map<string, Array<string>>()
    const tags = new Map<string, Array<readonly [string, string]>>()
    const at = (model: string, version: number) => `${version}:${model}`
    for (let i = 0; i < names.length; i += chunk) {
      const some = names.slice(i, i + chunk)
      const found = yield* db.all(
        build.selectFrom("registry_alias").selectAll().where("model", "in", some).orderBy("alias"),
      )
      for (const { model, version, alias } of found) {
        const key = at(model, version)
        aliases.set(key, [...(aliases.get(key) ?? []), alias])
      }
      for (let j = 0; j < numbers.length; j += chunk) {
        const tagged = yield* db.all(
          build
            .selectFrom("registry_version_tag")
            .selectAll()
            .where("model", "in", some)
            .where("version", "in", numbers.slice(j, j + chunk))
            .orderBy("key"),
        )
        for (const { model, version, key, value } of tagged) {
          const known = tags.get(at(model, version))
          if (known === undefined) tags.set(at(model, version), [[key, value]])
          else known.push([key, value])
        }
      }
    }
    return rows.map((row): VersionInfo => {
      const key = at(row.model, row.version)
      return {
        name: row.model,
        version: row.version,
        digest: row.digest,
        ...(row.manifest === null ? {} : { manifest: decodeManifest(JSON.parse(row.manifest)) }),
        files: decodeFiles(JSON.parse(row.files)),
        ...(row.format === null ? {} : { format: row.format }),
        ...(row.fault === null ? {} : { fault: row.fault }),
        aliases: aliases.get(key) ?? [],
        ...(row.run === null ? {} : { runId: row.run }),
        ...(row.logged_model === null ? {} : { loggedModelId: row.logged_model }),
        ...(row.run_link === null ? {} : { runLink: row.run_link }),
        ...(row.description === null ? {} : { description: row.description }),
        tags: Object.fromEntries(tags.get(key) ?? []),
        source: row.source,
        storage: row.storage,
        stage: isStage(row.stage) ? row.stage : "None",
        created: row.created,
        updated: row.updated,
      }
    })
  })

  const aliased = (name: string, alias: string) =>
    db.first(
      build
        .selectFrom("registry_alias")
        .select("version")
        .where("model", "=", name)
        .where("alias", "=", alias),
    )

  const row: Versions["row"] = Effect.fnUntraced(function* ({ name, version, alias }) {
    yield* Rules.name(name)
    if (alias !== undefined) yield* Rules.alias(alias)
    if (version !== undefined && !Number.isSafeInteger(version)) {
      return yield* Rules.missingVersion(name, version)
    }
    const holder = alias === undefined ? undefined : yield* aliased(name, alias)
    if (alias !== undefined && holder === undefined) {
      return yield* notFound(`alias ${alias.slice(0, 300)} of model ${name.slice(0, 300)}`)
    }
    const wanted = version ?? holder?.version
    const query = all.where("model", "=", name).orderBy("version", "desc").limit(1)
    const found = yield* db.first(
      wanted === undefined ? query : query.where("version", "=", wanted),
    )
    if (found !== undefined) return found
    return yield* wanted === undefined
      ? notFound(`a version of model ${name.slice(0, 300)}`)
      : Rules.missingVersion(name, wanted)
  })

  const latest: Versions["latest"] = Effect.fnUntraced(function* (names) {
    const rows: Array<VersionRow> = []
    for (let i = 0; i < names.length; i += chunk) {
      const newest = build
        .selectFrom("registry_version")
        .select((select) => ["model", "stage", select.fn.max("version").as("version")])
        .where("model", "in", names.slice(i, i + chunk))
        .where("deleted", "is", null)
        .groupBy(["model", "stage"])
        .as("newest")
      rows.push(
        ...(yield* db.all(
          build
            .selectFrom("registry_version as v")
            .innerJoin(newest, (on) =>
              on.onRef("newest.model", "=", "v.model").onRef("newest.version", "=", "v.version"),
            )
            .selectAll("v")
            .orderBy("v.model")
            .orderBy("v.version"),
        )),
      )
    }
    return Map.groupBy(yield* infos(rows), ({ name }) => name)
  })

  const page: Versions["page"] = Effect.fnUntraced(function* (asked) {
    const limit = Math.min(Math.max(Math.trunc(asked.limit ?? 1000), 1), 10_000)
    const [name, version] =
      asked.token === undefined ? ["", 0] : (Page.decodeToken(asked.token) ?? [])
    if (typeof name !== "string" || typeof version !== "number") return yield* bad
    const sorted = all
      .orderBy("model")
      .orderBy("version", "desc")
      .limit(limit + 1)
    const some = asked.name === undefined ? sorted : sorted.where("model", "=", asked.name)
    const found = yield* db.all(
      asked.token === undefined
        ? some
        : some.where((where) =>
            where.or([
              where("model", ">", name),
              where.and([where("model", "=", name), where("version", "<", version)]),
            ]),
          ),
    )
    const rows = found.slice(0, limit)
    const last = rows.at(-1)
    return {
      rows,
      ...(found.length > limit && last !== undefined
        ? { next: Page.encodeToken([last.model, last.version]) }
        : {}),
    }
  })

  return {
    infos,
    page,
    info: (found) =>
      Effect.flatMap(infos([found]), ([info]) =>
        info === undefined ? Effect.die("a version was read away") : Effect.succeed(info),
      ),
    row,
    rows: (name) => db.all(all.where("model", "=", name).orderBy("version", "desc")),
    latest,
    byKey: (name, key) => db.first(all.where("model", "=", name).where("key", "=", key)),
  }
}
