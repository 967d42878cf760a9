import { type Database, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Audit from "../Audit.ts"
import { RegistryError } from "../RegistryError.ts"
import * as Rules from "./model-rules.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** Gives models other names, and deletes them with all that belongs to them; in a transaction. */
export interface ModelNames {
  readonly rename: (name: string, newName: string) => Effect.Effect<void, Failure>
  readonly remove: (name: string) => Effect.Effect<void, Failure>
}

/** What belongs to a model by its name. What comes first refers to what comes later. */
const owned = [
  "registry_alias",
  "registry_model_tag",
  "registry_version_tag",
  "registry_version",
  "registry_policy",
  "registry_promotion",
  "registry_request",
  "registry_evidence",
] as const

/** The names of a store's models. */
export const make = (store: Store): ModelNames => {
  const { db, build } = store

  /** Whoever else changes the model waits; one that went meanwhile is missing. */
  const held = Effect.fnUntraced(function* (name: string) {
    yield* Rules.name(name)
    const now = Timestamp.now()
    const { rows } = yield* db.run(
      build.updateTable("registry_model").set({ updated: now }).where("name", "=", name),
    )
    if (rows === 0) return yield* Rules.missingModel(name)
    const policy = yield* db.first(
      build.selectFrom("registry_policy").select("alias").where("model", "=", name).limit(1),
    )
    if (policy === undefined) return now
    return yield* new RegistryError({
      reason: "PermissionDenied",
      field: "name",
      message: `a policy protects ${name}@${policy.alias}: remove the model's policies first`,
    })
  })

  const exists = (name: string) => {
    const message = `Registered Model (name=${name}) already exists.`
    return new RegistryError({ reason: "AlreadyExists", field: "new_name", message })
  }

  return {
    rename: Effect.fnUntraced(function* (name, newName) {
      yield* Rules.name(newName, "new_name")
      const now = yield* held(name)
      const setTime = build
        .updateTable("registry_version")
        .set({ updated: now })
        .where("model", "=", newName)
        .where("deleted", "is", null)
      if (newName === name) return yield* Effect.asVoid(db.run(setTime))
      // Versions refer to the name, so that both are there for a moment.
      const { rows } = yield* db.run(
        build
          .insertInto("registry_model")
          .columns(["name", "created", "updated", "description"])
          .expression((from) =>
            from
              .selectFrom("registry_model")
              .select((select) => [
                select.val(newName).as("name"),
                "created",
                "updated",
                "description",
              ])
              .where("name", "=", name),
          )
          .onConflict((c) => c.column("name").doNothing()),
      )
      if (rows === 0) return yield* exists(newName)
      for (const table of owned) {
        yield* db.run(build.updateTable(table).set({ model: newName }).where("model", "=", name))
      }
      yield* db.run(setTime)
      yield* db.run(build.deleteFrom("registry_model").where("name", "=", name))
      const detail = { from: name, to: newName }
      yield* Audit.append(store, { action: "model.renamed", subject: name, detail })
      yield* Audit.append(store, { action: "model.renamed", subject: newName, detail })
    }),
    remove: Effect.fnUntraced(function* (name) {
      yield* held(name)
      yield* db.run(
        build
          .deleteFrom("registry_vote")
          .where("request", "in", (from) =>
            from.selectFrom("registry_request").select("id").where("model", "=", name),
          ),
      )
      for (const table of owned) {
        yield* db.run(build.deleteFrom(table).where("model", "=", name))
      }
      yield* db.run(build.deleteFrom("registry_model").where("name", "=", name))
      yield* Audit.append(store, { action: "model.deleted", subject: name, detail: {} })
    }),
  }
}
