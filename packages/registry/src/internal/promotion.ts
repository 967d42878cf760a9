import { type Database, Id, type ModelSink, type PromotionGate, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Actor from "../Actor.ts"
import * as Audit from "../Audit.ts"
import * as Policy from "../Policy.ts"
import { Ask, type PromotionRequest } from "../PromotionRequest.ts"
import { fromBackend, invalid, RegistryError } from "../RegistryError.ts"
import * as Aliases from "./aliases.ts"
import * as Gates from "./gates/evaluate.ts"
import { type GateResult, missing } from "./gates/result.ts"
import type { RequestRow } from "./migrations/0007-governance.ts"
import * as Policies from "./policies.ts"
import * as Requests from "./requests.ts"
import type { Store } from "./store.ts"
import * as Votes from "./votes.ts"

/** Why a promotion could not be answered. */
export type PromotionFailure = RegistryError | PromotionGate.PromotionGateError
type Failure = Database.DatabaseError | PromotionFailure

/** Who asks where nobody says: the application itself. */
export const system = "system"

/** A request to make or to find by its key, or one that is there. */
type Start = { readonly draft: RequestRow } | { readonly id: string }

/** How often the world may change while gates are asked. */
const attempts = 5

/** Everything that moves a protected alias or stage. */
export interface Promotion {
  readonly aliases: Aliases.Aliases
  readonly policies: Policies.Policies
  readonly requests: Requests.Requests
  readonly setPolicy: (
    name: string,
    target: Policy.Target,
    policy: unknown,
  ) => Effect.Effect<void, RegistryError>
  readonly policy: (
    name: string,
    target: Policy.Target,
  ) => Effect.Effect<Policy.Policy | undefined, RegistryError>
  /** Fails where a policy protects the alias. */
  readonly unprotected: Policies.Policies["unprotected"]
  /** Moves an alias that no policy protects, or for which a request is satisfied. */
  readonly setAlias: (
    name: string,
    alias: string,
    version: number,
  ) => Effect.Effect<void, RegistryError>
  /**
   * Fails unless the version may enter the stage: no policy protects it, or a request for exactly
   * this version is satisfied now, which it uses up. Call it in the transaction of the transition.
   */
  readonly enterStage: (
    name: string,
    stage: string,
    version: number,
  ) => Effect.Effect<void, RegistryError>
  readonly promote: (
    request: ModelSink.PromoteModel,
  ) => Effect.Effect<ModelSink.Promotion, PromotionFailure>
  readonly request: (ask: Ask) => Effect.Effect<PromotionRequest, Failure>
  readonly evaluate: (id: string) => Effect.Effect<PromotionRequest, Failure>
  readonly vote: (id: string, vote: Votes.Cast) => Effect.Effect<PromotionRequest, Failure>
  /** Asks for a target's return to a version that it had before. */
  readonly rollback: (
    ask: Ask & { readonly previous: number | undefined },
  ) => Effect.Effect<PromotionRequest, Failure>
}

const decodeAsk = Schema.decodeUnknownEffect(Ask)

const shown = (target: Policy.Target) =>
  typeof target === "string" ? { alias: target } : { stage: target.stage }

/** Promotion on a store. */
export const make = Effect.fnUntraced(function* (store: Store): Effect.fn.Return<Promotion> {
  const { db, build, wrap } = store
  const aliases = Aliases.make(store)
  const policies = Policies.make(store, aliases.lock)
  const requests = Requests.make(store)
  const gates = yield* Gates.make(store, aliases, policies)
  const votes = Votes.make(store)

  /** Writes down how a request stands; moves the target when every gate passed. */
  const conclude = Effect.fnUntraced(function* (
    found: Gates.Snapshot,
    results: ReadonlyArray<GateResult>,
    compared: Gates.Outside["compared"],
    isNew: boolean,
    consume: boolean,
  ) {
    const { request, version, policyDigest, champion } = found
    const target = Policy.targetOf(request.target)
    const passed = results.every((gate) => gate.passed)
    const refused = results.some((gate) => !gate.passed && gate.pending !== true)
    // A stage is entered by the transition that MLflow's client asks for, and by nothing else.
    const moves = passed && (typeof target === "string" || consume)
    const row: RequestRow = {
      ...request,
      digest: version.digest,
      status: moves ? "promoted" : refused ? "refused" : "open",
      gates: JSON.stringify(results),
      compared: JSON.stringify(compared),
      previous: moves ? (champion ?? null) : request.previous,
      updated: Timestamp.now(),
    }
    yield* requests.save(row)
    const detail = {
      request: row.id,
      requester: row.requester,
      reason: row.reason,
      decision: { passed, checks: results.flatMap(({ checks }) => checks) },
      gates: results,
      approvals: yield* votes.approvals(row.id, policyDigest, version.digest),
      policy: policyDigest,
      digest: version.digest,
    }
    const { model: name, version: number } = request
    const rollback = request.kind === "rollback"
    if (moves && typeof target === "string") {
      const action = rollback ? "model.rolledBack" : "model.promoted"
      yield* aliases.point(name, target, number, action, detail)
    } else if (moves || refused || isNew) {
      yield* Audit.append(store, {
        action: moves
          ? "model.promoted"
          : refused
            ? "model.refused"
            : rollback
              ? "rollback.requested"
              : "promotion.requested",
        subject: name,
        detail: {
          ...shown(target),
          ...detail,
          version: number,
          ...(moves ? { previous: champion ?? null } : {}),
        },
      })
    }
    return row
  })

  const stored = Effect.fnUntraced(function* (start: Start) {
    if ("id" in start) return yield* requests.row(start.id)
    const { draft } = start
    if (draft.key === null) return undefined
    const row = yield* requests.byKey(draft.model, draft.key)
    if (row === undefined) return undefined
    const same =
      row.kind === draft.kind &&
      row.target === draft.target &&
      (row.version === draft.version || row.kind === "rollback")
    if (same) return row
    return yield* new RegistryError({
      reason: "Conflict",
      field: "key",
      message: `the key '${draft.key}' was used to ask for version ${row.version} as ${row.target}: use another key`,
    })
  })

  /**
   * Asks the gates that take long outside of a transaction, then, with everybody else kept out,
   * looks whether anything changed meanwhile, asks the others, and moves.
   */
  const settle = Effect.fnUntraced(function* (start: Start, cast?: Votes.Cast) {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const known = yield* stored(start)
      const first = known ?? ("draft" in start ? start.draft : yield* requests.row(start.id))
      if (first.status !== "open") return yield* votes.afterwards(first, cast)
      const before = yield* gates.snapshot(first)
      const outside = yield* gates.outside(before)
      const row = yield* db.transaction(
        Effect.gen(function* () {
          yield* aliases.lock(first.model)
          const again = yield* stored(start)
          const current = again ?? first
          if (current.status !== "open") return yield* votes.afterwards(current, cast)
          const now = yield* gates.snapshot(current)
          if (now.basis !== before.basis) return undefined
          if (cast !== undefined) {
            const rejected = yield* votes.cast(now, cast)
            if (rejected !== undefined) {
              yield* requests.save(rejected)
              return rejected
            }
          }
          const results = yield* gates.inside(now, outside, yield* requests.votes([current.id]))
          return yield* conclude(now, results, outside.compared, again === undefined, false)
        }),
      )
      if (row !== undefined) return row
    }
    return yield* new RegistryError({
      reason: "Conflict",
      message: `the champion or the policy changed ${attempts} times while the gates were asked: try again`,
    })
  })

  const draftOf = Effect.fnUntraced(function* (
    kind: RequestRow["kind"],
    asked: unknown,
    previous: number | undefined,
  ) {
    const ask = yield* Effect.mapError(decodeAsk(asked), (error) =>
      invalid("request", `the request is refused: ${error.message}`),
    )
    const { name, version, alias, stage } = ask
    if ((alias === undefined) === (stage === undefined)) {
      return yield* invalid("alias", "ask for an alias or for a stage, and not for both")
    }
    const by = yield* Actor.Current
    const now = Timestamp.now()
    const row: RequestRow = {
      id: Id.make(),
      kind,
      model: name,
      target: alias ?? Policy.targetText(stage === undefined ? "" : { stage }),
      version,
      digest: "",
      requester: by?.name ?? system,
      reason: ask.reason ?? null,
      evaluation: ask.evaluation === undefined ? null : JSON.stringify(ask.evaluation),
      baseline: ask.baseline ?? null,
      key: ask.key ?? null,
      status: "open",
      gates: "[]",
      compared: null,
      previous: previous ?? null,
      created: now,
      updated: now,
    }
    return row
  })

  const request = Effect.fnUntraced(function* (ask: Ask) {
    const draft = yield* draftOf("promotion", ask, undefined)
    return yield* requests.view(yield* settle({ draft }))
  })

  /** What was answered to a key before requests were stored. */
  const answered = Effect.fnUntraced(function* ({ name, key }: ModelSink.PromoteModel) {
    if (key === undefined) return undefined
    const row = yield* db.first(
      build
        .selectFrom("registry_promotion")
        .select("result")
        .where("model", "=", name)
        .where("key", "=", key),
    )
    if (row === undefined) return undefined
    const result: ModelSink.Promotion = JSON.parse(row.result)
    return result
  })

  const promote = Effect.fnUntraced(function* (ask: ModelSink.PromoteModel) {
    const before = yield* answered(ask)
    if (before !== undefined) return before
    const made = yield* request(ask)
    const previous = made.previous ?? (yield* aliases.holder(ask.name, ask.alias))
    const promotion: ModelSink.Promotion = {
      promoted: made.status === "promoted",
      ...(previous === undefined || (made.status === "promoted" && made.previous === undefined)
        ? {}
        : { previous }),
      decision: {
        passed: made.gates.every(({ passed }) => passed),
        checks: made.gates.flatMap(({ checks }) => checks),
      },
    }
    return promotion
  })

  const denied = (name: string, target: string, version: number, row: RequestRow | undefined) => {
    const why =
      row === undefined
        ? "promote the version, and the policy decides"
        : row.status === "promoted"
          ? `request ${row.id} for version ${version} was used up: promote it again`
          : `request ${row.id} for version ${version} is ${row.status}: ${missing(Requests.gatesOf(row))}`
    const to = Policy.targetOf(target)
    const [field, place] =
      typeof to === "string"
        ? ["alias", `${name}@${to}`]
        : ["stage", `stage ${to.stage} of ${name}`]
    const message = `a policy protects ${place}: ${why}`
    return new RegistryError({ reason: "PermissionDenied", field, message })
  }

  const setAlias = Effect.fnUntraced(function* (name: string, alias: string, version: number) {
    const done = yield* db.transaction(
      Effect.gen(function* () {
        yield* aliases.lock(name)
        if ((yield* policies.find(name, alias)) === undefined) {
          yield* aliases.point(name, alias, version, "alias.set", {})
          return true
        }
        return (yield* aliases.holder(name, alias)) === version
      }),
    )
    if (done) return
    const row = yield* requests.newest(name, alias, version)
    const settled = row?.status === "open" ? yield* settle({ id: row.id }) : row
    if (settled?.status === "promoted" && row?.status === "open") return
    return yield* denied(name, alias, version, settled)
  })

  const enterStage = Effect.fnUntraced(function* (name: string, stage: string, version: number) {
    const target = `stage:${stage}`
    yield* aliases.lock(name)
    if ((yield* policies.find(name, target)) === undefined) return
    const row = yield* requests.newest(name, target, version)
    if (row === undefined || row.status !== "open") {
      return yield* denied(name, target, version, row)
    }
    const now = yield* gates.snapshot(row)
    const outside = yield* gates.remembered(now)
    const results = yield* gates.inside(now, outside, yield* requests.votes([row.id]))
    if (!results.every(({ passed }) => passed)) {
      return yield* denied(name, target, version, { ...row, gates: JSON.stringify(results) })
    }
    yield* conclude(now, results, outside.compared, false, true)
  })

  /** The gate's error stays what it is; a backend's becomes the registry's. */
  const ours = <A, R>(effect: Effect.Effect<A, Failure, R>) =>
    Effect.mapError(effect, (error) =>
      error._tag === "DatabaseError" ? fromBackend(error) : error,
    )
  const asRegistry = <A, R>(effect: Effect.Effect<A, Failure, R>) =>
    Effect.mapError(effect, (error) =>
      error._tag === "PromotionGateError"
        ? new RegistryError({ reason: error.reason, message: error.message, cause: error })
        : fromBackend(error),
    )

  return {
    aliases,
    policies,
    requests,
    setPolicy: (name, target, policy) => wrap(policies.set(name, target, policy)),
    policy: (name, target) => wrap(policies.find(name, Policy.targetText(target))),
    unprotected: policies.unprotected,
    setAlias: (name, alias, version) => asRegistry(setAlias(name, alias, version)),
    enterStage: (name, stage, version) =>
      asRegistry(db.transaction(enterStage(name, stage, version))),
    promote: (ask) => ours(promote(ask)),
    request,
    evaluate: (id) => Effect.flatMap(settle({ id }), requests.view),
    vote: (id, cast) => Effect.flatMap(settle({ id }, cast), requests.view),
    rollback: Effect.fnUntraced(function* ({ previous, ...ask }) {
      const draft = yield* draftOf("rollback", ask, previous)
      return yield* requests.view(yield* settle({ draft }))
    }),
  }
})
