import { Timestamp } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { FastifyInstance } from "fastify"
import { Policy, Stage, targetOf } from "../../Policy.ts"
import { Ask, Comment, Key, type PromotionRequest } from "../../PromotionRequest.ts"
import { type Champion, type Evidence, Promotions, Report } from "../../Promotions.ts"
import { invalid, RegistryError } from "../../RegistryError.ts"

/**
 * The project whose scopes govern: `write` on it approves and rolls back, `admin` on it changes
 * policies, `read` on it exports the audit. A scope on `*` covers it.
 */
export const governance = "governance"

const root = "/api/ashlar/registry"

/** The gates of a request may compare on data. */
const slowly = 300_000

const iso = Timestamp.toIso

const requestOf = ({ created, updated, votes, ...request }: PromotionRequest) => ({
  ...request,
  votes: votes.map(({ time, ...vote }) => ({ ...vote, time: iso(time) })),
  created: iso(created),
  updated: iso(updated),
})

const evidenceOf = ({ time, ...evidence }: Evidence) => ({ ...evidence, time: iso(time) })

const championOf = ({ since, approvals, ...champion }: Champion) => ({
  ...champion,
  since: iso(since),
  approvals: approvals.map(({ time, ...approval }) => ({ ...approval, time: iso(time) })),
})

const Name = Schema.NonEmptyString.check(Schema.isMaxLength(256))
const Target = Schema.String.check(
  Schema.isPattern(/^(stage:(Staging|Production|Archived)|[\p{L}\p{N}_.-]{1,255})$/u, {
    message: "a target is an alias, or 'stage:' with Staging, Production or Archived",
  }),
)
const Id = Schema.String.check(
  Schema.isPattern(/^[0-9a-f-]{36}$/, { message: "an id of a request is a lower-case UUID" }),
)
const Positive = Schema.NumberFromString.check(
  Schema.isInt(),
  Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
)
const Limit = Schema.NumberFromString.check(
  Schema.isInt(),
  Schema.isBetween({ minimum: 1, maximum: 1000 }),
)

const ofModel = Schema.Struct({ name: Name })
const ofPolicy = Schema.Struct({ name: Name, target: Target })
const ofVersion = Schema.Struct({ name: Name, version: Positive })
const ofRequest = Schema.Struct({ id: Id })
const Said = Schema.UndefinedOr(Schema.Struct({ comment: Schema.optionalKey(Comment) }))

const champion = Effect.fnUntraced(function* (
  name: string,
  query: { readonly alias?: string; readonly stage?: typeof Stage.Type; readonly at?: string },
) {
  const { alias, stage, at } = query
  if ((alias === undefined) === (stage === undefined)) {
    return yield* invalid("alias", "name an alias or a stage, and not both")
  }
  const time = at === undefined ? Timestamp.now() : Timestamp.fromIso(at)
  if (time === undefined) {
    return yield* invalid("at", `at ${JSON.stringify(at)} is not an instant in ISO 8601`)
  }
  const promotions = yield* Promotions
  const target = stage === undefined ? (alias ?? "") : { stage }
  const found = yield* promotions.championAt(name, target, time)
  return { at: iso(time), champion: found === undefined ? null : championOf(found) }
})

/** Registers governed promotion below `/api/ashlar/registry`. */
export const register = (
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<Promotions, unknown>,
): void => {
  const common = { tag: "promotion" } as const
  const read = { verb: "read" } as const
  const write = { verb: "write" } as const
  const govern = { verb: "write", project: governance } as const
  const administer = { verb: "admin", project: governance } as const

  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/models/:name/policies`,
    operation: "registryPolicies",
    summary: "The policies that protect aliases and stages of a model",
    access: read,
    params: ofModel,
    handler: ({ params }) =>
      Effect.flatMap(Promotions, (promotions) =>
        Effect.map(promotions.policies(params.name), (policies) => ({ policies })),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "PUT",
    url: `${root}/models/:name/policies/:target`,
    operation: "registrySetPolicy",
    summary: "Protects an alias or a stage",
    access: administer,
    params: ofPolicy,
    body: Policy,
    handler: ({ params, body, principal }) =>
      Effect.flatMap(Promotions, (promotions) =>
        promotions.setPolicy(params.name, targetOf(params.target), body, { by: principal }),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "DELETE",
    url: `${root}/models/:name/policies/:target`,
    operation: "registryRemovePolicy",
    summary: "Takes the protection from an alias or a stage",
    access: administer,
    params: ofPolicy,
    handler: ({ params, principal }) =>
      Effect.flatMap(Promotions, (promotions) =>
        promotions.removePolicy(params.name, targetOf(params.target), { by: principal }),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/promotions`,
    operation: "registryRequestPromotion",
    summary: "Asks that an alias or a stage gets a version; a refusal is an answer",
    access: write,
    body: Ask,
    timeoutMs: slowly,
    handler: ({ body, principal }) =>
      Effect.flatMap(Promotions, (promotions) =>
        Effect.map(promotions.request({ ...body, by: principal }), requestOf),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/promotions`,
    operation: "registryPromotions",
    summary: "Requests for promotion, the newest first",
    access: read,
    query: Schema.Struct({
      name: Schema.optionalKey(Name),
      status: Schema.optionalKey(Schema.Literals(["open", "promoted", "refused", "rejected"])),
      limit: Schema.optionalKey(Limit),
      token: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(1000))),
    }),
    handler: ({ query }) =>
      Effect.flatMap(Promotions, (promotions) =>
        Effect.map(promotions.list(query), ({ items, ...page }) => ({
          items: items.map(requestOf),
          ...page,
        })),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/promotions/:id`,
    operation: "registryPromotion",
    summary: "A request with what every gate said, and the votes",
    access: read,
    params: ofRequest,
    handler: ({ params }) =>
      Effect.flatMap(Promotions, (promotions) => Effect.map(promotions.get(params.id), requestOf)),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/promotions/:id/evaluate`,
    operation: "registryEvaluatePromotion",
    summary: "Asks the gates of an open request again",
    access: write,
    params: ofRequest,
    timeoutMs: slowly,
    handler: ({ params, principal }) =>
      Effect.flatMap(Promotions, (promotions) =>
        Effect.map(promotions.evaluate(params.id, { by: principal }), requestOf),
      ),
  })
  for (const vote of ["approve", "reject"] as const) {
    HttpKit.route(app, runtime, {
      ...common,
      method: "POST",
      url: `${root}/promotions/:id/${vote}`,
      operation: vote === "approve" ? "registryApprovePromotion" : "registryRejectPromotion",
      summary: vote === "approve" ? "Approves a request" : "Ends a request",
      access: govern,
      params: ofRequest,
      body: Said,
      timeoutMs: slowly,
      handler: ({ params, body, principal }) =>
        Effect.flatMap(Promotions, (promotions) =>
          Effect.map(promotions[vote](params.id, { ...body, by: principal }), requestOf),
        ),
    })
  }
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/promotions/:id/withdraw`,
    operation: "registryWithdrawPromotion",
    summary: "Takes one's own request back",
    access: write,
    params: ofRequest,
    body: Said,
    handler: ({ params, body, principal }) =>
      Effect.gen(function* () {
        const promotions = yield* Promotions
        const { requester } = yield* promotions.get(params.id)
        if (requester !== principal.name) {
          return yield* new RegistryError({
            reason: "PermissionDenied",
            message: `request ${params.id} was made by '${requester}': who may approve it may reject it`,
          })
        }
        return requestOf(yield* promotions.reject(params.id, { ...body, by: principal }))
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/models/:name/versions/:version/evidence`,
    operation: "registryAddEvidence",
    summary: "Adds what a test found of a version",
    access: write,
    params: ofVersion,
    body: Schema.Struct({
      test: Report.fields.test,
      status: Report.fields.status,
      digest: Report.fields.digest,
      uri: Report.fields.uri,
    }),
    timeoutMs: slowly,
    handler: ({ params, body, principal }) =>
      Effect.flatMap(Promotions, (promotions) =>
        Effect.map(promotions.addEvidence({ ...params, ...body, by: principal }), evidenceOf),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/models/:name/versions/:version/evidence`,
    operation: "registryEvidence",
    summary: "What tests found of a version, oldest first",
    access: read,
    params: ofVersion,
    handler: ({ params }) =>
      Effect.flatMap(Promotions, (promotions) =>
        Effect.map(promotions.evidence(params.name, params.version), (items) => ({
          items: items.map(evidenceOf),
        })),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/models/:name/aliases/:alias/rollback`,
    operation: "registryRollback",
    summary: "Returns an alias to its previous holder",
    access: govern,
    params: Schema.Struct({ name: Name, alias: Name }),
    body: Schema.Struct({ reason: Comment, key: Schema.optionalKey(Key) }),
    handler: ({ params, body, principal }) =>
      Effect.flatMap(Promotions, (promotions) =>
        Effect.map(
          promotions.rollback(params.name, params.alias, { ...body, by: principal }),
          requestOf,
        ),
      ),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/models/:name/champion`,
    operation: "registryChampionAt",
    summary: "Who was champion at an instant, who moved it, who approved, on which evidence",
    access: read,
    params: ofModel,
    query: Schema.Struct({
      alias: Schema.optionalKey(Name),
      stage: Schema.optionalKey(Stage),
      at: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(64))),
    }),
    handler: ({ params, query }) => champion(params.name, query),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/audit`,
    operation: "registryAudit",
    summary: "The audit chain as JSON lines, verified as it is read",
    access: { verb: "read", project: governance },
    timeoutMs: slowly,
    handler: () =>
      Effect.map(Promotions, (promotions) =>
        HttpKit.reply(Stream.encodeText(promotions.exportAudit), {
          headers: { "content-type": "application/x-ndjson" },
        }),
      ),
  })
}
