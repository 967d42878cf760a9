/**
 * Registered models: versions, aliases, the policies that protect aliases, and promotion.
 *
 * @module
 */
import {
  type BlobStore,
  type Database,
  ModelPackage,
  type ModelRef,
  type ModelSink,
  type Page,
  type PromotionGate,
  Timestamp,
} from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Audit from "./Audit.ts"
import * as Files from "./internal/files.ts"
import type { VersionRow } from "./internal/migrations.ts"
import * as Promotion from "./internal/promotion.ts"
import * as Registered from "./internal/registered.ts"
import type { CreateModel, ModelInfo } from "./internal/registered.ts"
import * as Registration from "./internal/registration.ts"
import * as Store from "./internal/store.ts"
import type { Comparison, Policy, Target } from "./Policy.ts"
import * as Promotions from "./Promotions.ts"
import { type RegistryError, notFound } from "./RegistryError.ts"

export type { CreateModel, ModelInfo } from "./internal/registered.ts"

/** A registered version. */
export interface VersionInfo {
  readonly name: string
  readonly version: number
  readonly digest: string
  readonly manifest: ModelPackage.Manifest
  /** Every file of the package, its descriptors (`MLmodel`) included. */
  readonly files: ReadonlyArray<ModelPackage.PackageFile>
  readonly aliases: ReadonlyArray<string>
  readonly runId?: string
  readonly description: string
  readonly tags: Readonly<Record<string, string>>
  readonly created: Timestamp.Timestamp
}

/** Registers models and moves their aliases. */
export class Models extends Context.Service<
  Models,
  {
    readonly register: (model: ModelSink.RegisterModel) => Effect.Effect<VersionInfo, RegistryError>
    /** Creates a model without versions; fails with `AlreadyExists` when there is one. */
    readonly create: (model: CreateModel) => Effect.Effect<ModelInfo, RegistryError>
    /** A model with its aliases. */
    readonly model: (name: string) => Effect.Effect<ModelInfo, RegistryError>
    /** Models by name. */
    readonly list: (page?: Page.PageRequest) => Effect.Effect<Page.Page<ModelInfo>, RegistryError>
    /** Versions of one model or of all, by name and the newest first. */
    readonly listVersions: (
      page?: Page.PageRequest & { readonly name?: string },
    ) => Effect.Effect<Page.Page<VersionInfo>, RegistryError>
    /** The version a reference means now; without version and alias, the newest. */
    readonly resolve: (ref: ModelRef.ModelRef) => Effect.Effect<VersionInfo, RegistryError>
    readonly versions: (name: string) => Effect.Effect<ReadonlyArray<VersionInfo>, RegistryError>
    readonly names: Effect.Effect<ReadonlyArray<string>, RegistryError>
    /**
     * Moves an alias that no policy protects, or to the version for which a request for promotion
     * is satisfied now; fails with `PermissionDenied` and what is missing otherwise.
     */
    readonly setAlias: (
      name: string,
      alias: string,
      version: number,
    ) => Effect.Effect<void, RegistryError>
    /** Removes an alias that no policy protects. */
    readonly removeAlias: (name: string, alias: string) => Effect.Effect<void, RegistryError>
    /** Protects an alias or a stage from now on. Approvals given under another policy lapse. */
    readonly setPolicy: (
      name: string,
      target: Target,
      policy: Policy | Comparison,
    ) => Effect.Effect<void, RegistryError>
    readonly policy: (
      name: string,
      target: Target,
    ) => Effect.Effect<Policy | undefined, RegistryError>
    /**
     * Asks the alias's policy, and moves the alias if it agrees; a policy that wants approvals
     * answers no and keeps the request for `Promotions`. A gate `metric` asks the port
     * `PromotionGate` of the caller, or the one that the layer was built with.
     */
    readonly promote: (
      request: ModelSink.PromoteModel,
    ) => Effect.Effect<ModelSink.Promotion, RegistryError | PromotionGate.PromotionGateError>
    /** What happened to a model, oldest first, after a position. */
    readonly history: (
      name: string,
      after?: number,
    ) => Effect.Effect<ReadonlyArray<Audit.Entry>, RegistryError>
    /** Checks the whole audit chain; fails with `Corrupt` at the first entry that does not fit. */
    readonly verifyAudit: Effect.Effect<{ readonly entries: number }, RegistryError>
    /** Writes a version's files into `<cache>/<digest>`, checked, and returns the package. */
    readonly fetch: (
      version: VersionInfo,
      cache: string,
    ) => Effect.Effect<ModelPackage.ModelPackage, RegistryError>
  }
>()("@ashlar/registry/Models/v1") {}

const decodeManifest = Schema.decodeUnknownSync(ModelPackage.Manifest)
const decodeFiles = Schema.decodeUnknownSync(Schema.Array(ModelPackage.PackageFile))

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { db, blobs, build, wrap } = store

  const promotion = yield* Promotion.make(store)

  /** One query for the aliases, however many versions there are. */
  const infos = Effect.fnUntraced(function* (rows: ReadonlyArray<VersionRow>) {
    if (rows.length === 0) return []
    const names = [...new Set(rows.map(({ model }) => model))]
    const aliases = yield* db.all(
      build.selectFrom("registry_alias").selectAll().where("model", "in", names).orderBy("alias"),
    )
    return rows.map((row): VersionInfo => {
      const tags: Record<string, string> = JSON.parse(row.tags)
      return {
        name: row.model,
        version: row.version,
        digest: row.digest,
        manifest: decodeManifest(JSON.parse(row.manifest)),
        files: decodeFiles(JSON.parse(row.files)),
        aliases: aliases.flatMap(({ model, alias, version }) =>
          model === row.model && version === row.version ? [alias] : [],
        ),
        ...(row.run === null ? {} : { runId: row.run }),
        description: row.description,
        tags,
        created: row.created,
      }
    })
  })
  const info = (row: VersionRow) =>
    Effect.flatMap(infos([row]), ([found]) =>
      found === undefined ? Effect.die("a version was read away") : Effect.succeed(found),
    )

  const findByKey = (name: string, key: string) =>
    db.first(
      build
        .selectFrom("registry_version")
        .selectAll()
        .where("model", "=", name)
        .where("key", "=", key),
    )

  const aliased = (name: string, alias: string) =>
    db.first(
      build
        .selectFrom("registry_alias")
        .selectAll()
        .where("model", "=", name)
        .where("alias", "=", alias),
    )

  const row = Effect.fnUntraced(function* (ref: ModelRef.ModelRef) {
    const holder = ref.alias === undefined ? undefined : yield* aliased(ref.name, ref.alias)
    if (ref.alias !== undefined && holder === undefined) {
      return yield* notFound(`alias ${ref.alias} of model ${ref.name}`)
    }
    const version = ref.version ?? holder?.version
    const query = build
      .selectFrom("registry_version")
      .selectAll()
      .where("model", "=", ref.name)
      .orderBy("version", "desc")
      .limit(1)
    const found = yield* db.first(
      version === undefined ? query : query.where("version", "=", version),
    )
    return (
      found ??
      (yield* notFound(`model ${ref.name}${version === undefined ? "" : ` version ${version}`}`))
    )
  })

  const removeAlias = Effect.fnUntraced(function* (name: string, alias: string) {
    yield* promotion.unprotected(name, alias)
    const previous = (yield* aliased(name, alias))?.version
    if (previous === undefined) return yield* notFound(`alias ${alias} of model ${name}`)
    yield* db.run(
      build.deleteFrom("registry_alias").where("model", "=", name).where("alias", "=", alias),
    )
    yield* Audit.append(store, {
      action: "alias.removed",
      subject: name,
      detail: { alias, previous },
    })
  })

  const registered = Registered.make(store)
  const register = Registration.make(store, findByKey)
  return Models.of({
    register: (model) => wrap(Effect.flatMap(register(model), info)),
    create: registered.create,
    model: registered.model,
    list: registered.list,
    listVersions: (page = {}) =>
      wrap(
        Effect.flatMap(registered.versionRows(page), ({ rows, ...rest }) =>
          Effect.map(infos(rows), (items) => ({ items, ...rest })),
        ),
      ),
    removeAlias: (name, alias) => wrap(db.transaction(removeAlias(name, alias))),
    resolve: (ref) => wrap(Effect.flatMap(row(ref), info)),
    versions: (name) =>
      wrap(
        Effect.flatMap(
          db.all(
            build
              .selectFrom("registry_version")
              .selectAll()
              .where("model", "=", name)
              .orderBy("version", "desc"),
          ),
          infos,
        ),
      ),
    names: wrap(
      Effect.map(
        db.all(build.selectFrom("registry_model").select("name").orderBy("name")),
        (rows) => rows.map(({ name }) => name),
      ),
    ),
    setAlias: (name, alias, version) => promotion.setAlias(name, alias, version),
    setPolicy: promotion.setPolicy,
    policy: promotion.policy,
    promote: promotion.promote,
    history: (name, after = 0) =>
      wrap(
        Effect.map(
          db.all(
            build
              .selectFrom("registry_audit")
              .selectAll()
              .where("subject", "=", name)
              .where("position", ">", after)
              .orderBy("position"),
          ),
          (rows) => rows.map(Audit.fromRow),
        ),
      ),
    verifyAudit: wrap(Audit.walk(store, () => Effect.void)),
    fetch: (version, cache) =>
      wrap(
        Effect.gen(function* () {
          const directory = `${cache}/${version.digest.slice("sha256:".length)}`
          yield* Files.materialise(blobs, version.files, directory)
          return { directory, manifest: version.manifest }
        }),
      ),
  })
})

/** Models, and {@link Promotions.Promotions} of them, on a Database and a BlobStore. */
export const layer: Layer.Layer<
  Models | Promotions.Promotions,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.merge(Layer.effect(Models, make), Promotions.layer)
