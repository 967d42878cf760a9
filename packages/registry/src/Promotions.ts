/**
 * Governed promotion: requests that a version becomes champion, votes on them, evidence of tests,
 * rollback, and the answers of the audit.
 *
 * @module
 */
import { type BlobStore, type Database, Page, type PromotionGate, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Actor from "./Actor.ts"
import * as Audit from "./Audit.ts"
import * as Champions from "./internal/champions.ts"
import * as EvidenceStore from "./internal/evidence.ts"
import type { Evidence, Report } from "./internal/evidence.ts"
import * as Promotion from "./internal/promotion.ts"
import * as Requests from "./internal/requests.ts"
import * as Store from "./internal/store.ts"
import { type Policy, type Target, targetOf, targetText } from "./Policy.ts"
import { type Ask, Comment, type PromotionRequest } from "./PromotionRequest.ts"
import { fromBackend, invalid, RegistryError } from "./RegistryError.ts"

export { Champion } from "./internal/champions.ts"
export { Evidence, Report } from "./internal/evidence.ts"

/** Why an operation that asks gates fails. A refusal by a gate is an answer and no failure. */
export type PromotionFailure = RegistryError | PromotionGate.PromotionGateError

/** Who acts; default {@link Actor.Current}. */
export interface By {
  readonly by?: Actor.Actor
}

/** A rollback to ask for. */
export interface Rollback extends By {
  readonly reason: string
  /** The same key rolls back once. */
  readonly key?: string
}

/** Which requests to list, the newest first. */
export interface ListRequests extends Page.PageRequest {
  readonly name?: string
  readonly status?: PromotionRequest["status"]
}

/** Asks for promotions, votes on them, and says who was champion when and why. */
export class Promotions extends Context.Service<
  Promotions,
  {
    /**
     * Asks that an alias or a stage gets a version. Every gate of its policy answers; when all pass,
     * the alias moves. A request that waits for votes or tests stays `open`; one that a gate is
     * against is `refused`. A stage is entered by MLflow's transition once the request is satisfied.
     */
    readonly request: (ask: Ask & By) => Effect.Effect<PromotionRequest, PromotionFailure>
    /** Asks the gates of an open request again, and moves the alias if all pass now. */
    readonly evaluate: (
      id: string,
      options?: By,
    ) => Effect.Effect<PromotionRequest, PromotionFailure>
    /**
     * Approves a request; the alias moves with the last vote. Fails with `PermissionDenied` for who
     * may not, with `Conflict` when the request has ended.
     */
    readonly approve: (
      id: string,
      vote?: By & { readonly comment?: string },
    ) => Effect.Effect<PromotionRequest, PromotionFailure>
    /** Ends a request; who may approve may reject, and who asked may take it back. */
    readonly reject: (
      id: string,
      vote?: By & { readonly comment?: string },
    ) => Effect.Effect<PromotionRequest, PromotionFailure>
    readonly get: (id: string) => Effect.Effect<PromotionRequest, RegistryError>
    readonly list: (
      wanted?: ListRequests,
    ) => Effect.Effect<Page.Page<PromotionRequest>, RegistryError>
    /** Adds what a test found, and asks the open requests of the version again. */
    readonly addEvidence: (report: Report & By) => Effect.Effect<Evidence, RegistryError>
    /** What tests found of a version, oldest first. */
    readonly evidence: (
      name: string,
      version: number,
    ) => Effect.Effect<ReadonlyArray<Evidence>, RegistryError>
    /** The policies of a model by alias, or by `stage:<Stage>`. */
    readonly policies: (
      name: string,
    ) => Effect.Effect<Readonly<Record<string, Policy>>, RegistryError>
    /** Protects an alias or a stage from now on. */
    readonly setPolicy: (
      name: string,
      target: Target,
      policy: Policy,
      options?: By,
    ) => Effect.Effect<void, RegistryError>
    readonly removePolicy: (
      name: string,
      target: Target,
      options?: By,
    ) => Effect.Effect<void, RegistryError>
    /**
     * Returns an alias to its previous holder: at once, or, where the policy says so, once the
     * approvals are there. Fails with `PreconditionFailed` when it had no other.
     */
    readonly rollback: (
      name: string,
      alias: string,
      options: Rollback,
    ) => Effect.Effect<PromotionRequest, PromotionFailure>
    /** Who was champion at an instant (default now), who moved it, who approved, on which evidence. */
    readonly championAt: (
      name: string,
      target: Target,
      time?: Timestamp.Timestamp,
    ) => Effect.Effect<Champions.Champion | undefined, RegistryError>
    /**
     * The audit as JSON lines that {@link Audit.verifyLines} checks without a database. Fails with
     * `Corrupt` at the first entry that does not fit the chain.
     */
    readonly exportAudit: Stream.Stream<string, RegistryError>
  }
>()("@ashlar/registry/Promotions/v1") {}

const decodeActor = Schema.decodeUnknownEffect(Actor.Actor)
const decodeComment = Schema.decodeUnknownEffect(Schema.UndefinedOr(Comment))

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { wrap } = store
  const promotion = yield* Promotion.make(store)
  const { aliases, policies, requests } = promotion
  const champions = Champions.make(store)
  const evidence = EvidenceStore.make(store, aliases.lock)

  const settled = <A>(effect: Effect.Effect<A, PromotionFailure | Database.DatabaseError>) =>
    Effect.mapError(effect, (error) =>
      error._tag === "PromotionGateError" ? error : fromBackend(error),
    )

  const vote = Effect.fnUntraced(function* (
    id: string,
    cast: "approve" | "reject",
    options: By & { readonly comment?: string } = {},
  ) {
    const by = options.by ?? (yield* Actor.Current)
    const actor = yield* Effect.mapError(decodeActor(by), () =>
      invalid("by", "a vote says who votes: give 'by' with a name of 1 to 255 characters"),
    )
    const comment = yield* Effect.mapError(decodeComment(options.comment), (error) =>
      invalid("comment", `the comment is refused: ${error.message}`),
    )
    return yield* Actor.as(actor)(
      promotion.vote(id, {
        by: actor,
        vote: cast,
        ...(comment === undefined ? {} : { comment }),
      }),
    )
  })

  const rollback = Effect.fnUntraced(function* (
    name: string,
    alias: string,
    { reason, key }: Rollback,
  ) {
    if (key !== undefined) {
      const known = yield* requests.byKey(name, key)
      if (known?.kind === "rollback" && known.target === alias && known.status !== "open") {
        return yield* requests.view(known)
      }
    }
    const previous = yield* aliases.holder(name, alias)
    const there = new Set(yield* aliases.versions(name))
    const past = yield* champions.before(name, alias, previous)
    const version = past.find((candidate) => candidate !== previous && there.has(candidate))
    if (version === undefined) return yield* nothingBefore(name, alias)
    return yield* promotion.rollback({
      name,
      alias,
      version,
      reason,
      previous,
      ...(key === undefined ? {} : { key }),
    })
  })

  const addEvidence = Effect.fnUntraced(function* ({ by: _, ...report }: Report & By) {
    const added = yield* evidence.add(report)
    for (const { id } of yield* requests.open(added.name, added.version)) {
      // The evidence is there whatever the other gates say of it: a request can be asked again.
      yield* Effect.catch(promotion.evaluate(id), (error) =>
        Effect.logWarning(`request ${id} could not be evaluated: ${error.message}`),
      )
    }
    return added
  })

  const list = Effect.fnUntraced(function* (wanted: ListRequests = {}) {
    const limit = Math.min(Math.max(Math.trunc(wanted.limit ?? 100), 1), 1000)
    const [before] = wanted.token === undefined ? [] : (Page.decodeToken(wanted.token) ?? [null])
    if (before !== undefined && typeof before !== "string") {
      return yield* invalid("token", "the page token is not one this service gave: start again")
    }
    const rows = yield* requests.list({
      limit: limit + 1,
      ...(wanted.name === undefined ? {} : { name: wanted.name }),
      ...(wanted.status === undefined ? {} : { status: wanted.status }),
      ...(before === undefined ? {} : { before }),
    })
    const shown = rows.slice(0, limit)
    const votes = Map.groupBy(
      yield* requests.votes(shown.map(({ id }) => id)),
      ({ request }) => request,
    )
    const last = shown.at(-1)
    return {
      items: shown.map((row) => Requests.shown(row, votes.get(row.id) ?? [])),
      ...(rows.length > limit && last !== undefined ? { next: Page.encodeToken([last.id]) } : {}),
    }
  })

  return Promotions.of({
    request: ({ by, ...ask }) => settled(Actor.as(by)(promotion.request(ask))),
    evaluate: (id, options = {}) => settled(Actor.as(options.by)(promotion.evaluate(id))),
    approve: (id, options) => settled(vote(id, "approve", options)),
    reject: (id, options) => settled(vote(id, "reject", options)),
    get: (id) => wrap(Effect.flatMap(requests.row(id), requests.view)),
    list: (wanted) => wrap(list(wanted)),
    addEvidence: (report) => wrap(Actor.as(report.by)(addEvidence(report))),
    evidence: (name, version) => wrap(evidence.of(name, version)),
    policies: (name) =>
      wrap(
        Effect.map(policies.list(name), (rows) =>
          Object.fromEntries(rows.map(({ target, policy }) => [target, policy] as const)),
        ),
      ),
    setPolicy: (name, target, policy, options = {}) =>
      Actor.as(options.by)(promotion.setPolicy(name, target, policy)),
    removePolicy: (name, target, options = {}) =>
      wrap(Actor.as(options.by)(policies.remove(name, target))),
    rollback: (name, alias, options) =>
      settled(Actor.as(options.by)(rollback(name, alias, options))),
    championAt: (name, target, time = Timestamp.now()) =>
      wrap(champions.at(name, targetOf(targetText(target)), time)),
    exportAudit: Stream.mapError(Audit.lines(store), fromBackend),
  })
})

const nothingBefore = (name: string, alias: string): RegistryError =>
  new RegistryError({
    reason: "PreconditionFailed",
    field: "alias",
    message: `${name}@${alias} had no other version that is still there`,
  })

/** Promotions on a Database and a BlobStore. */
export const layer: Layer.Layer<
  Promotions,
  RegistryError,
  Database.Database | BlobStore.BlobStore
> = Layer.effect(Promotions, make)
