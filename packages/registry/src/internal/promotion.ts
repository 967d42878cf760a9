import { type Database, type ModelSink, PromotionGate } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Audit from "../Audit.ts"
import type { Policy } from "../Policy.ts"
import { invalid, type RegistryError } from "../RegistryError.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | RegistryError

/** What promotion needs of the models. */
export interface Parts {
  /** Fails when there is no such version. */
  readonly row: (name: string, version: number) => Effect.Effect<unknown, Failure>
  readonly aliased: (
    name: string,
    alias: string,
  ) => Effect.Effect<{ readonly version: number } | undefined, Failure>
  readonly policy: (name: string, alias: string) => Effect.Effect<Policy | undefined, Failure>
  /** Moves the alias with its audit entry; returns the version it pointed to. */
  readonly pointAlias: (
    name: string,
    alias: string,
    version: number,
    action: string,
    detail: Readonly<Record<string, unknown>>,
  ) => Effect.Effect<number | undefined, Failure>
}

/** Asks an alias's policy, and moves the alias if it agrees. */
export type Promote = (
  request: ModelSink.PromoteModel,
) => Effect.Effect<
  ModelSink.Promotion,
  Failure | PromotionGate.PromotionGateError,
  PromotionGate.PromotionGate
>

/** Promotion on a store. */
export const make = (
  store: Store,
  { row, aliased, policy: policyOf, pointAlias }: Parts,
): Promote => {
  const { db, build } = store

  const promote = Effect.fnUntraced(function* (request: ModelSink.PromoteModel) {
    const { name, alias, version, key } = request
    if (key !== undefined) {
      const before = yield* db.first(
        build
          .selectFrom("registry_promotion")
          .select("result")
          .where("model", "=", name)
          .where("key", "=", key),
      )
      if (before !== undefined) {
        const result: ModelSink.Promotion = JSON.parse(before.result)
        return result
      }
    }
    yield* row(name, version)
    const decision = yield* decide(request)
    const record = Effect.gen(function* () {
      const why = { decision, reason: request.reason ?? null }
      const previous = decision.passed
        ? yield* pointAlias(name, alias, version, "model.promoted", why)
        : (yield* aliased(name, alias))?.version
      if (!decision.passed) {
        yield* Audit.append(store, {
          action: "model.refused",
          subject: name,
          detail: { alias, version, ...why },
        })
      }
      const result: ModelSink.Promotion = {
        promoted: decision.passed,
        ...(previous === undefined ? {} : { previous }),
        decision,
      }
      if (key !== undefined) {
        yield* db.run(
          build
            .insertInto("registry_promotion")
            .values({ model: name, key, result: JSON.stringify(result) }),
        )
      }
      return result
    })
    return yield* db.transaction(record)
  })

  const decide = Effect.fnUntraced(function* (request: ModelSink.PromoteModel) {
    const { name, alias, version } = request
    const policy = yield* policyOf(name, alias)
    if (policy === undefined) {
      const message = `no policy protects ${name}@${alias}`
      return { passed: true, checks: [{ name: "policy", passed: true, message }] }
    }
    const evaluation = request.evaluation ?? policy.evaluation
    if (evaluation === undefined) {
      return yield* invalid(
        "evaluation",
        `the policy of ${name}@${alias} compares on data: name it in the request or in the policy`,
      )
    }
    const baseline = request.baseline ?? policy.baseline
    const champion =
      (yield* aliased(name, alias)) ??
      (baseline === undefined ? undefined : yield* aliased(name, baseline))
    const gate = yield* PromotionGate.PromotionGate
    return yield* gate.compare({
      challenger: { name, version },
      ...(champion === undefined ? {} : { champion: { name, version: champion.version } }),
      evaluation,
      label: policy.label,
      metric: policy.metric,
      ...(policy.minimumGain === undefined ? {} : { minimumGain: policy.minimumGain }),
      ...(policy.alpha === undefined ? {} : { alpha: policy.alpha }),
    })
  })

  return promote
}
