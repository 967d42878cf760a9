import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Audit from "../Audit.ts"
import * as Policy from "../Policy.ts"
import { RegistryError, notFound } from "../RegistryError.ts"
import * as Rules from "./model-rules.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** The policies of models. */
export interface Policies {
  /** By target text. */
  readonly find: (
    name: string,
    target: string,
  ) => Effect.Effect<Policy.Policy | undefined, Database.DatabaseError>
  readonly list: (
    name: string,
  ) => Effect.Effect<
    ReadonlyArray<{ readonly target: string; readonly policy: Policy.Policy }>,
    Database.DatabaseError
  >
  readonly set: (
    name: string,
    target: Policy.Target,
    policy: unknown,
  ) => Effect.Effect<void, Failure>
  readonly remove: (name: string, target: Policy.Target) => Effect.Effect<void, Failure>
  /** Fails where a policy protects the alias. */
  readonly unprotected: (name: string, alias: string) => Effect.Effect<void, Failure>
}

const decodeStored = Schema.decodeUnknownSync(Schema.Union([Policy.Policy, Policy.Comparison]))

/** Stored policies were once only a comparison: they are written out as they are read. */
const stored = (text: string): Policy.Policy => Policy.upgrade(decodeStored(JSON.parse(text)))

const shown = (target: Policy.Target) =>
  typeof target === "string" ? { alias: target } : { stage: target.stage }

/** The policies of a store; `lock` keeps promotions of a model out. */
export const make = (
  store: Store,
  lock: (name: string) => Effect.Effect<void, Database.DatabaseError>,
): Policies => {
  const { db, build } = store

  const find = (name: string, target: string) =>
    Effect.map(
      db.first(
        build
          .selectFrom("registry_policy")
          .select("policy")
          .where("model", "=", name)
          .where("alias", "=", target),
      ),
      (row) => (row === undefined ? undefined : stored(row.policy)),
    )

  return {
    find,
    list: (name) =>
      Effect.map(
        db.all(
          build
            .selectFrom("registry_policy")
            .select(["alias", "policy"])
            .where("model", "=", name)
            .orderBy("alias"),
        ),
        (rows) => rows.map(({ alias, policy }) => ({ target: alias, policy: stored(policy) })),
      ),
    set: Effect.fnUntraced(function* (name, target, policy) {
      yield* Rules.name(name)
      if (typeof target === "string") yield* Rules.freeAlias(target)
      const valid = yield* Policy.decode(policy)
      const text = JSON.stringify(valid)
      const save = build
        .insertInto("registry_policy")
        .values({ model: name, alias: Policy.targetText(target), policy: text })
        .onConflict((c) => c.columns(["model", "alias"]).doUpdateSet({ policy: text }))
      yield* db.transaction(
        Effect.gen(function* () {
          yield* lock(name)
          yield* db.run(save)
          yield* Audit.append(store, {
            action: "policy.set",
            subject: name,
            detail: { ...shown(target), policy: valid },
          })
        }),
      )
    }),
    remove: (name, target) =>
      db.transaction(
        Effect.gen(function* () {
          yield* lock(name)
          const { rows } = yield* db.run(
            build
              .deleteFrom("registry_policy")
              .where("model", "=", name)
              .where("alias", "=", Policy.targetText(target)),
          )
          if (rows === 0) {
            return yield* notFound(`a policy of ${name}@${Policy.targetText(target)}`)
          }
          yield* Audit.append(store, {
            action: "policy.removed",
            subject: name,
            detail: shown(target),
          })
        }),
      ),
    unprotected: Effect.fnUntraced(function* (name, alias) {
      if ((yield* find(name, alias)) === undefined) return
      return yield* new RegistryError({
        reason: "PermissionDenied",
        field: "alias",
        message: `a policy protects ${name}@${alias}: promote the version, and the policy decides`,
      })
    }),
  }
}
