import { type Database, Id, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Audit from "../Audit.ts"
import { targetText } from "../Policy.ts"
import { invalid, RegistryError } from "../RegistryError.ts"
import type { VersionRow } from "./migrations/0006-models.ts"
import * as Tree from "./artifacts/tree.ts"
import * as Rules from "./model-rules.ts"
import { notify } from "./notify.ts"
import type { Promotion } from "./promotion.ts"
import type { Store } from "./store.ts"
import type { Versions } from "./versions.ts"

type Failure = Database.DatabaseError | RegistryError
type Changed = Effect.Effect<VersionRow, Failure>

/** A version's move to a stage. */
export interface Transition {
  readonly name: string
  readonly version: number
  /** `None`, `Staging`, `Production` or `Archived`, in any case. */
  readonly stage: string
  /** Archives all other versions that are in the stage, which is Staging or Production. */
  readonly archiveExisting?: boolean
}

/** Changes versions; each inside a transaction. */
export interface VersionChanges {
  readonly describe: (name: string, version: number, description: string | undefined) => Changed
  readonly transition: (transition: Transition) => Changed
  readonly remove: (name: string, version: number) => Effect.Effect<void, Failure>
  readonly setTag: (
    name: string,
    version: number,
    key: string,
    value: string,
  ) => Effect.Effect<void, Failure>
  readonly removeTag: (name: string, version: number, key: string) => Effect.Effect<void, Failure>
}

const active = ["Staging", "Production"]

/** Where the files lie that came with a version; undefined for those of a run or of elsewhere. */
const ownPlace = (storage: string): string | undefined =>
  /^mlflow-artifacts:\/+(registered-models\/[^/]+\/\d+)$/.exec(storage)?.[1]

const guarded = (target: string, version: number): RegistryError =>
  new RegistryError({
    reason: "PermissionDenied",
    field: "version",
    message: `a policy protects ${target}, which version ${version} has: promote another version first`,
  })

/** Changes of a store's versions. */
export const make = (
  store: Store,
  { row }: Versions,
  { enterStage, aliases: { lock, champion, remove }, policies }: Promotion,
): VersionChanges => {
  const { db, build } = store
  const tree = Tree.make(store)

  /** Fails where a policy protects the stage and the version is its champion. */
  const leaveStage = Effect.fnUntraced(function* (name: string, { stage, version }: VersionRow) {
    if (stage === "None" || stage === "Deleted_Internal") return
    const target = { stage } as const
    if ((yield* policies.find(name, targetText(target))) === undefined) return
    if ((yield* champion(name, target)) !== version) return
    return yield* guarded(`stage ${stage} of ${name}`, version)
  })

  /** Removes the files that came with a version, unless another was made of it. */
  const forget = Effect.fnUntraced(function* (storage: string) {
    const place = ownPlace(storage)
    if (place === undefined) return
    const other = yield* db.first(
      build.selectFrom("registry_version").select("version").where("storage", "=", storage),
    )
    if (other === undefined) yield* tree.remove(place)
  })

  /** A version that may be changed: nobody else changes it until the transaction ends. */
  const held = Effect.fnUntraced(function* (name: string, version: number) {
    yield* Rules.name(name)
    yield* lock(name)
    return yield* row({ name, version })
  })

  const update = (
    name: string,
    version: number,
    set: Partial<Pick<VersionRow, "stage" | "description" | "updated">>,
  ) =>
    db.run(
      build
        .updateTable("registry_version")
        .set(set)
        .where("model", "=", name)
        .where("version", "=", version),
    )

  return {
    describe: Effect.fnUntraced(function* (name, version, description) {
      yield* held(name, version)
      yield* Rules.text("description", description, Rules.longestDescription)
      yield* update(name, version, { description: description ?? null, updated: Timestamp.now() })
      return yield* row({ name, version })
    }),
    transition: Effect.fnUntraced(function* ({ name, version, archiveExisting = false, ...to }) {
      const stage = yield* Rules.stage(to.stage)
      if (archiveExisting && !active.includes(stage)) {
        return yield* invalid(
          "archive_existing_versions",
          `Model version transition cannot archive existing model versions because '${to.stage}' is not an Active stage. Valid stages are ['Staging', 'Production']`,
        )
      }
      const before = yield* held(name, version)
      const updated = Timestamp.now()
      if (before.stage !== stage) {
        yield* leaveStage(name, before)
        yield* enterStage(name, stage, version)
      }
      const archived = archiveExisting
        ? yield* db.all(
            build
              .updateTable("registry_version")
              .set({ stage: "Archived", updated })
              .where("model", "=", name)
              .where("version", "!=", version)
              .where("stage", "=", stage)
              .returning("version"),
          )
        : []
      yield* update(name, version, { stage, updated })
      yield* db.run(build.updateTable("registry_model").set({ updated }).where("name", "=", name))
      if (before.stage !== stage || archived.length > 0) {
        yield* Audit.append(store, {
          action: "stage.set",
          subject: name,
          detail: {
            stage,
            version,
            from: before.stage,
            archived: archived.map((other) => other.version).toSorted((a, b) => a - b),
          },
        })
      }
      return yield* row({ name, version })
    }),
    remove: Effect.fnUntraced(function* (name, version) {
      const before = yield* held(name, version)
      yield* leaveStage(name, before)
      const aliases = yield* db.all(
        build
          .selectFrom("registry_alias")
          .innerJoin("registry_policy", (on) =>
            on
              .onRef("registry_policy.model", "=", "registry_alias.model")
              .onRef("registry_policy.alias", "=", "registry_alias.alias"),
          )
          .select("registry_alias.alias")
          .where("registry_alias.model", "=", name)
          .where("registry_alias.version", "=", version),
      )
      const [first] = aliases
      if (first !== undefined) return yield* guarded(`${name}@${first.alias}`, version)
      const pointing = yield* db.all(
        build
          .selectFrom("registry_alias")
          .select("alias")
          .where("model", "=", name)
          .where("version", "=", version),
      )
      for (const { alias } of pointing) yield* remove(name, alias)
      const updated = Timestamp.now()
      yield* db.run(
        build
          .updateTable("registry_version")
          .set({
            stage: "Deleted_Internal",
            deleted: updated,
            updated,
            // Its key is free again, and nothing of it is told any more.
            key: `deleted:${Id.make()}`,
            description: null,
            source: "REDACTED-SOURCE-PATH",
            storage: "REDACTED-SOURCE-PATH",
            run: null,
            run_link: null,
            logged_model: null,
            manifest: null,
            files: "[]",
          })
          .where("model", "=", name)
          .where("version", "=", version),
      )
      yield* forget(before.storage)
      yield* db.run(build.updateTable("registry_model").set({ updated }).where("name", "=", name))
      yield* Audit.append(store, {
        action: "version.deleted",
        subject: name,
        detail: { version, digest: before.digest },
      })
    }),
    setTag: Effect.fnUntraced(function* (name, version, key, value) {
      yield* Rules.tag(key, value)
      yield* held(name, version)
      yield* db.run(
        build
          .insertInto("registry_version_tag")
          .values({ model: name, version, key, value })
          .onConflict((c) => c.columns(["model", "version", "key"]).doUpdateSet({ value })),
      )
      yield* notify(store, {
        type: (yield* Rules.isPromptModel(store, name))
          ? "prompt_version_tag.set"
          : "model_version_tag.set",
        payload: { name, version: String(version), key, value },
      })
    }),
    removeTag: Effect.fnUntraced(function* (name, version, key) {
      yield* Rules.tag(key, "")
      yield* held(name, version)
      yield* db.run(
        build
          .deleteFrom("registry_version_tag")
          .where("model", "=", name)
          .where("version", "=", version)
          .where("key", "=", key),
      )
      yield* notify(store, {
        type: (yield* Rules.isPromptModel(store, name))
          ? "prompt_version_tag.deleted"
          : "model_version_tag.deleted",
        payload: { name, version: String(version), key },
      })
    }),
  }
}
