import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Audit from "../Audit.ts"
import { type Target, targetText } from "../Policy.ts"
import type { RegistryError } from "../RegistryError.ts"
import * as Rules from "./model-rules.ts"
import { notify } from "./notify.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** Where aliases point. All writing happens inside a transaction that holds the model's lock. */
export interface Aliases {
  /**
   * Makes whoever else moves an alias, votes or changes a policy of the model wait for the end of
   * this transaction.
   */
  readonly lock: (name: string) => Effect.Effect<void, Database.DatabaseError>
  readonly holder: (
    name: string,
    alias: string,
  ) => Effect.Effect<number | undefined, Database.DatabaseError>
  /** Versions that a model has. */
  readonly versions: (name: string) => Effect.Effect<ReadonlyArray<number>, Database.DatabaseError>
  /** The version that an alias has; of those in a stage, the one that was promoted to it last. */
  readonly champion: (
    name: string,
    target: Target,
  ) => Effect.Effect<number | undefined, Database.DatabaseError>
  /** Removes an alias, with its audit entry; returns the version it pointed to. */
  readonly remove: (
    name: string,
    alias: string,
  ) => Effect.Effect<number | undefined, Database.DatabaseError>
  /** Points an alias to a version, with its audit entry; returns the version it pointed to. */
  readonly point: (
    name: string,
    alias: string,
    version: number,
    action: Audit.Move,
    detail: Readonly<Record<string, unknown>>,
  ) => Effect.Effect<number | undefined, Failure>
}

/** The aliases of a store. */
export const make = (store: Store): Aliases => {
  const { db, build } = store

  const holder = (name: string, alias: string) =>
    Effect.map(
      db.first(
        build
          .selectFrom("registry_alias")
          .select("version")
          .where("model", "=", name)
          .where("alias", "=", alias),
      ),
      (row) => row?.version,
    )

  /** Of the versions in a stage the one that was promoted to it last, else the newest. */
  const stageChampion = Effect.fnUntraced(function* (
    name: string,
    target: Exclude<Target, string>,
  ) {
    const there = yield* db.all(
      build
        .selectFrom("registry_version")
        .select("version")
        .where("model", "=", name)
        .where("stage", "=", target.stage)
        .where("deleted", "is", null)
        .orderBy("version", "desc"),
    )
    const versions = there.map(({ version }) => version)
    if (versions.length === 0) return undefined
    const promoted = yield* db.first(
      build
        .selectFrom("registry_request")
        .select("version")
        .where("model", "=", name)
        .where("target", "=", targetText(target))
        .where("status", "=", "promoted")
        .where("version", "in", versions)
        .orderBy("updated", "desc")
        .orderBy("id", "desc")
        .limit(1),
    )
    return promoted?.version ?? versions[0]
  })

  return {
    // SQLite has one writer at a time; on PostgreSQL the row of the model is the lock.
    lock: (name) =>
      Effect.asVoid(
        db.run(
          build
            .updateTable("registry_model")
            .set((set) => ({ updated: set.ref("updated") }))
            .where("name", "=", name),
        ),
      ),
    holder,
    versions: (name) =>
      Effect.map(
        db.all(
          build
            .selectFrom("registry_version")
            .select("version")
            .where("model", "=", name)
            .where("deleted", "is", null),
        ),
        (rows) => rows.map(({ version }) => version),
      ),
    champion: (name, target) =>
      typeof target === "string" ? holder(name, target) : stageChampion(name, target),
    remove: Effect.fnUntraced(function* (name, alias) {
      const previous = yield* holder(name, alias)
      if (previous !== undefined) {
        yield* db.run(
          build.deleteFrom("registry_alias").where("model", "=", name).where("alias", "=", alias),
        )
        yield* Audit.append(store, {
          action: "alias.removed",
          subject: name,
          detail: { alias, previous },
        })
      }
      yield* notify(store, {
        type: (yield* Rules.isPromptModel(store, name))
          ? "prompt_alias.deleted"
          : "model_version_alias.deleted",
        payload: { name, alias },
      })
      return previous
    }),
    point: Effect.fnUntraced(function* (name, alias, version, action, detail) {
      yield* Rules.freeAlias(alias)
      const there = yield* db.first(
        build
          .selectFrom("registry_version")
          .select("version")
          .where("model", "=", name)
          .where("version", "=", version)
          .where("deleted", "is", null),
      )
      if (there === undefined) return yield* Rules.missingVersion(name, version)
      const previous = yield* holder(name, alias)
      yield* db.run(
        build
          .insertInto("registry_alias")
          .values({ model: name, alias, version })
          .onConflict((c) => c.columns(["model", "alias"]).doUpdateSet({ version })),
      )
      yield* Audit.append(store, {
        action,
        subject: name,
        detail: { alias, version, previous: previous ?? null, ...detail },
      })
      yield* notify(store, {
        type: (yield* Rules.isPromptModel(store, name))
          ? "prompt_alias.created"
          : "model_version_alias.created",
        payload: { name, alias, version: String(version) },
      })
      return previous
    }),
  }
}
