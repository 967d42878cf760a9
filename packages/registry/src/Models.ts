/**
 * Registered models: versions, aliases, the policies that protect aliases, and promotion.
 *
 * @module
 */
import {
  type BlobStore,
  type Database,
  Digest,
  type ModelPackage,
  type ModelRef,
  type ModelSink,
  type Page,
  type PromotionGate,
} from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Audit from "./Audit.ts"
import * as Files from "./internal/files.ts"
import * as History from "./internal/model-history.ts"
import * as ModelNames from "./internal/model-names.ts"
import * as Promotion from "./internal/promotion.ts"
import * as Registered from "./internal/registered.ts"
import type { CreateModel, ModelInfo } from "./internal/registered.ts"
import * as RegisteredSearch from "./internal/registered-search.ts"
import type { SearchModels } from "./internal/registered-search.ts"
import * as Registration from "./internal/registration.ts"
import * as Store from "./internal/store.ts"
import * as VersionChanges from "./internal/version-changes.ts"
import type { Transition } from "./internal/version-changes.ts"
import * as VersionCreation from "./internal/version-creation.ts"
import type { CreateVersion } from "./internal/version-creation.ts"
import * as VersionInsert from "./internal/version-insert.ts"
import * as Versions from "./internal/versions.ts"
import type { VersionInfo } from "./internal/versions.ts"
import type { Comparison, Policy, Target } from "./Policy.ts"
import * as Promotions from "./Promotions.ts"
import { RegistryError, notFound } from "./RegistryError.ts"

export type { CreateModel, ModelInfo } from "./internal/registered.ts"
export type { SearchModels } from "./internal/registered-search.ts"
export type { Transition } from "./internal/version-changes.ts"
export type { CreateVersion } from "./internal/version-creation.ts"
export type { VersionInfo } from "./internal/versions.ts"

/** Registers models and moves their aliases. */
export class Models extends Context.Service<
  Models,
  {
    /**
     * Stores a package and adds a version; the same key adds one. Fails with `InvalidInput` when the
     * package says that its file has a format, and the file's bytes are of another one.
     */
    readonly register: (model: ModelSink.RegisterModel) => Effect.Effect<VersionInfo, RegistryError>
    /**
     * Adds a version of a model that exists, from files that a run or a logged model has already.
     * Files that this registry holds are pinned by their digests as they are now, and their format
     * and signature are read from their headers; where that fails, the version says so (`fault`) and
     * cannot be fetched. Fails with `InvalidInput` for a source that belongs to nothing the request
     * names.
     */
    readonly createVersion: (version: CreateVersion) => Effect.Effect<VersionInfo, RegistryError>
    /** Creates a model without versions; fails with `AlreadyExists` when there is one. */
    readonly create: (model: CreateModel) => Effect.Effect<ModelInfo, RegistryError>
    /** A model with its aliases. */
    readonly model: (name: string) => Effect.Effect<ModelInfo, RegistryError>
    /** Gives a model another name. Fails with `PermissionDenied` while policies protect it. */
    readonly rename: (name: string, newName: string) => Effect.Effect<ModelInfo, RegistryError>
    readonly describe: (
      name: string,
      description: string,
    ) => Effect.Effect<ModelInfo, RegistryError>
    /**
     * Deletes a model with its versions; its audit stays. Fails with `PermissionDenied` while policies
     * protect it.
     */
    readonly remove: (name: string) => Effect.Effect<void, RegistryError>
    /** A key has at most 250 characters, a value 100,000. */
    readonly setTag: (
      name: string,
      key: string,
      value: string,
    ) => Effect.Effect<void, RegistryError>
    readonly removeTag: (name: string, key: string) => Effect.Effect<void, RegistryError>
    /** Models that a filter finds, by name unless asked otherwise; prompts only if it asks for them. */
    readonly search: (search?: SearchModels) => Effect.Effect<Page.Page<ModelInfo>, RegistryError>
    /** The same of versions, the last changed first. */
    readonly searchVersions: (
      search?: SearchModels,
    ) => Effect.Effect<Page.Page<VersionInfo>, RegistryError>
    /** The newest version of each stage, by model. */
    readonly latestVersions: (
      names: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyMap<string, ReadonlyArray<VersionInfo>>, RegistryError>
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
    readonly describeVersion: (
      name: string,
      version: number,
      description: string | undefined,
    ) => Effect.Effect<VersionInfo, RegistryError>
    /** Deletes a version and its aliases; its number is not used again. */
    readonly removeVersion: (name: string, version: number) => Effect.Effect<void, RegistryError>
    readonly setVersionTag: (
      name: string,
      version: number,
      key: string,
      value: string,
    ) => Effect.Effect<void, RegistryError>
    readonly removeVersionTag: (
      name: string,
      version: number,
      key: string,
    ) => Effect.Effect<void, RegistryError>
    /**
     * Moves a version to a stage of MLflow. A stage that a policy protects takes a version for which
     * a request for promotion is satisfied; fails with `PermissionDenied` and what is missing
     * otherwise.
     */
    readonly transition: (transition: Transition) => Effect.Effect<VersionInfo, RegistryError>
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
    /** What happened to a model, oldest first, after a position; also under its earlier names. */
    readonly history: (
      name: string,
      after?: number,
    ) => Effect.Effect<ReadonlyArray<Audit.Entry>, RegistryError>
    /** Checks the whole audit chain; fails with `Corrupt` at the first entry that does not fit. */
    readonly verifyAudit: Effect.Effect<{ readonly entries: number }, RegistryError>
    /**
     * Writes a version's files into a directory of the cache, checked, and returns the package. Fails
     * with `PreconditionFailed` and the reason where a version cannot be served.
     */
    readonly fetch: (
      version: VersionInfo,
      cache: string,
    ) => Effect.Effect<ModelPackage.ModelPackage, RegistryError>
  }
>()("@ashlar/registry/Models/v1") {}

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { db, build, wrap } = store
  const promotion = yield* Promotion.make(store)
  const versions = Versions.make(store)
  const insert = VersionInsert.make(store, versions.byKey)
  const register = Registration.make(store, versions, insert)
  const create = VersionCreation.make(store, versions, insert)
  const changes = VersionChanges.make(store, versions, promotion)
  const registered = Registered.make(store)
  const names = ModelNames.make(store)
  const search = RegisteredSearch.make(store)

  /** A change, whole or not at all. */
  const write = <A>(effect: Effect.Effect<A, Database.DatabaseError | RegistryError>) =>
    wrap(db.transaction(effect))
  const writeInfo = (row: ReturnType<typeof changes.describe>) =>
    write(Effect.flatMap(row, versions.info))

  const removeAlias = Effect.fnUntraced(function* (name: string, alias: string) {
    yield* promotion.aliases.lock(name)
    yield* promotion.unprotected(name, alias)
    const previous = yield* promotion.aliases.remove(name, alias)
    if (previous === undefined) return yield* notFound(`alias ${alias} of model ${name}`)
  })

  const fetch = Effect.fnUntraced(function* (version: VersionInfo, cache: string) {
    const { manifest, files, fault = "" } = version
    if (manifest === undefined) {
      return yield* new RegistryError({
        reason: "PreconditionFailed",
        message: `version ${version.version} of ${version.name} cannot be served: ${fault}`,
      })
    }
    // With the descriptors, which are no part of a package's own digest.
    const digest = Digest.ofJson(
      files
        .map((file) => [file.path, file.digest])
        .toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
    )
    const directory = `${cache}/${digest.slice("sha256:".length)}`
    yield* Files.materialise(store, files, directory)
    return { directory, manifest }
  })

  return Models.of({
    register: (model) => wrap(Effect.flatMap(register(model), versions.info)),
    createVersion: (version) => wrap(Effect.flatMap(create(version), versions.info)),
    create: (model) => write(registered.create(model)),
    model: (name) => wrap(registered.model(name)),
    rename: (name, newName) =>
      write(Effect.andThen(names.rename(name, newName), registered.model(newName))),
    describe: (name, description) => write(registered.describe(name, description)),
    remove: (name) => write(names.remove(name)),
    setTag: (name, key, value) => write(registered.setTag(name, key, value)),
    removeTag: (name, key) => write(registered.removeTag(name, key)),
    search: (wanted = {}) =>
      wrap(
        Effect.flatMap(search.models(wanted), ({ rows, ...rest }) =>
          Effect.map(registered.infos(rows), (items) => ({ items, ...rest })),
        ),
      ),
    searchVersions: (wanted = {}) =>
      wrap(
        Effect.flatMap(search.versions(wanted), ({ rows, ...rest }) =>
          Effect.map(versions.infos(rows), (items) => ({ items, ...rest })),
        ),
      ),
    latestVersions: (models) => wrap(versions.latest(models)),
    list: (page = {}) => wrap(registered.list(page)),
    listVersions: (page = {}) =>
      wrap(
        Effect.flatMap(versions.page(page), ({ rows, ...rest }) =>
          Effect.map(versions.infos(rows), (items) => ({ items, ...rest })),
        ),
      ),
    resolve: (ref) => wrap(Effect.flatMap(versions.row(ref), versions.info)),
    versions: (name) => wrap(Effect.flatMap(versions.rows(name), versions.infos)),
    names: wrap(
      Effect.map(
        db.all(build.selectFrom("registry_model").select("name").orderBy("name")),
        (rows) => rows.map(({ name }) => name),
      ),
    ),
    describeVersion: (name, version, description) =>
      writeInfo(changes.describe(name, version, description)),
    removeVersion: (name, version) => write(changes.remove(name, version)),
    setVersionTag: (name, version, key, value) => write(changes.setTag(name, version, key, value)),
    removeVersionTag: (name, version, key) => write(changes.removeTag(name, version, key)),
    transition: (transition) => writeInfo(changes.transition(transition)),
    setAlias: (name, alias, version) => promotion.setAlias(name, alias, version),
    removeAlias: (name, alias) => write(removeAlias(name, alias)),
    setPolicy: promotion.setPolicy,
    policy: promotion.policy,
    promote: promotion.promote,
    history: (name, after = 0) => wrap(History.read(store, name, after)),
    verifyAudit: wrap(Audit.walk(store, () => Effect.void)),
    fetch: (version, cache) => wrap(fetch(version, cache)),
  })
})

/** Models, and {@link Promotions.Promotions} of them, on a Database and a BlobStore. */
export const layer: Layer.Layer<
  Models | Promotions.Promotions,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.merge(Layer.effect(Models, make), Promotions.layer)
