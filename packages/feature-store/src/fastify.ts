/**
 * Fastify plugin that speaks the HTTP protocol of Feast's feature server. Register it below core's
 * HTTP kit.
 *
 * @module
 */
import { Digest } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type { FastifyInstance } from "fastify"
import { FeatureStore } from "./FeatureStore.ts"
import { FeatureStoreError } from "./FeatureStoreError.ts"
import { fromCause, invalid } from "./internal/failures.ts"
import * as Feast from "./internal/feast.ts"

/** What the plugin needs. */
export interface PluginOptions {
  readonly runtime: ManagedRuntime.ManagedRuntime<FeatureStore, unknown>
  /** Project whose scopes callers need; default: a scope on any project. */
  readonly project?: string
}

/** Values of one answer; a short request may ask for very many. */
const mostCells = 2_000_000

const json = { headers: { "content-type": "application/json; charset=utf-8" } }

/** Feast's errors: a JSON string that holds an object. */
const formatError: HttpKit.FormatError = ({ code, message, status }) => ({
  status: status === 400 ? 422 : status,
  ...json,
  body: JSON.stringify(JSON.stringify({ module: "ashlar.feature_store", class: code, message })),
})

const select = Effect.fnUntraced(function* (body: typeof Feast.OnlineRequest.Type) {
  const store = yield* FeatureStore
  const full = body.full_feature_names ?? false
  const { feature_service, features } = body
  if (typeof feature_service === "string") {
    const service = yield* store.service(feature_service)
    return yield* Effect.try({ try: () => Feast.ofService(service, full), catch: fromCause })
  }
  const views = yield* store.views()
  return yield* Effect.try({
    try: () => Feast.ofReferences(features ?? [], views, full),
    catch: fromCause,
  })
})

/**
 * `POST /get-online-features`, `/push`, `/materialize`, `/materialize-incremental` and
 * `GET /health`.
 *
 * @example
 * ```ts no-run
 * import * as HttpKit from "@ashlar/core/fastify"
 * import type { FeatureStore } from "@ashlar/feature-store"
 * import { plugin } from "@ashlar/feature-store/fastify"
 * import type { ManagedRuntime } from "effect/ManagedRuntime"
 *
 * declare const runtime: ManagedRuntime<FeatureStore.FeatureStore, never>
 *
 * const server = await HttpKit.makeServer({
 *   auth: "off-on-loopback",
 *   port: 6566,
 *   register: (app) => app.register(plugin, { runtime }),
 * })
 * ```
 */
export const plugin = async (
  app: FastifyInstance,
  { project, runtime }: PluginOptions,
): Promise<void> => {
  const scope = project === undefined ? {} : { project }

  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/get-online-features",
    operation: "getOnlineFeatures",
    tag: "features",
    access: { verb: "read", ...scope },
    body: Feast.OnlineRequest,
    formatError,
    handler: ({ body }) =>
      Effect.gen(function* () {
        const store = yield* FeatureStore
        const selection = yield* select(body)
        const { entities } = body
        const rows = Math.max(0, ...Object.values(entities).map((column) => column.length))
        const cells = rows * selection.service.features.length
        if (cells > mostCells) {
          return yield* new FeatureStoreError({
            reason: "TooLarge",
            field: "entities",
            message: `${rows} rows of ${selection.service.features.length} features are ${cells} values, at most ${mostCells} are served at once; ask in parts`,
          })
        }
        const vectors = yield* store.vectors({ service: selection.service, entities })
        return HttpKit.reply(Feast.answer(selection, entities, vectors), json)
      }),
  })

  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/push",
    operation: "push",
    tag: "features",
    access: { verb: "write", ...scope },
    body: Feast.PushRequest,
    formatError,
    handler: ({ body, request }) =>
      Effect.gen(function* () {
        const store = yield* FeatureStore
        const source = body.push_source_name
        const views = (yield* store.views()).flatMap((view) =>
          view.kind === "view" && view.source.name === source ? [view] : [],
        )
        if (views.length === 0) {
          return yield* invalid(
            "push_source_name",
            `no feature view reads a source '${source}'; apply one first`,
          )
        }
        // A client without a key of its own is safe to retry: the same rows have the same key.
        const sent = request.headers["idempotency-key"]
        const key = typeof sent === "string" ? sent : `push-${Digest.ofJson(body.df).slice(7)}`
        const rows = yield* Feast.toDataset(body.df, views)
        yield* store.push({ source, rows, key, to: body.to ?? "online" })
        return HttpKit.reply("null", json)
      }),
  })

  for (const url of ["/materialize", "/materialize-incremental"]) {
    HttpKit.route(app, runtime, {
      method: "POST",
      url,
      operation: url === "/materialize" ? "materialize" : "materializeIncremental",
      tag: "features",
      access: { verb: "write", ...scope },
      body: Feast.MaterializeRequest,
      formatError,
      handler: ({ body }) =>
        Effect.gen(function* () {
          const store = yield* FeatureStore
          const at = yield* Feast.instant("end_ts", body.end_ts)
          const views = body.feature_views
          yield* store.materialize(views === undefined || views === null ? { at } : { at, views })
          return HttpKit.reply("null", json)
        }),
    })
  }

  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/health",
    operation: "health",
    tag: "features",
    access: "public",
    handler: () => Effect.as(FeatureStore, { status: "healthy" }),
  })
}
