/**
 * Fastify plugin that speaks the Open Inference Protocol (V2) over REST, with the binary tensor and
 * repository extensions. Register it below core's HTTP kit.
 *
 * @module
 */
import { ModelRef, Predictor } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import * as ContentEncoding from "./internal/content-encoding.ts"
import * as Status from "./internal/oip-status.ts"
import * as Oip from "./internal/oip.ts"
import { Serving } from "./Serving.ts"

/** What the plugin needs. */
export interface PluginOptions {
  readonly runtime: ManagedRuntime.ManagedRuntime<Serving, unknown>
  /** Version reported as the server's; default `0.1.0`. */
  readonly version?: string
  /** Largest inference request in bytes, unpacked; default 64 MiB. */
  readonly bodyBytes?: number
}

const ModelParams = Schema.Struct({ model: Schema.NonEmptyString })
const VersionParams = Schema.Struct({
  model: Schema.NonEmptyString,
  version: Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThan(0)),
})

const refOf = Effect.fnUntraced(function* (params: {
  readonly model: string
  readonly version?: number
}) {
  const ref = {
    name: params.model,
    ...(params.version === undefined ? {} : { version: params.version }),
  }
  if (Schema.is(ModelRef.ModelRef)(ref)) return ref
  return yield* new Predictor.PredictorError({
    reason: "InvalidInput",
    field: "model",
    message: `${JSON.stringify(params.model.slice(0, 100))} is not a model name`,
  })
})

const single = (header: string | Array<string> | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header

/** The protocol's error: `{"error": message}`. */
const formatError: HttpKit.FormatError = (failure) => ({ body: { error: failure.message } })

/** Registers the protocol's routes below `/v2`. */
export const plugin = async (app: FastifyInstance, options: PluginOptions): Promise<void> => {
  const { runtime, bodyBytes = 64 * 1024 * 1024 } = options
  const read = { verb: "read" } as const
  const shared = { tag: "inference", formatError } as const

  HttpKit.route(app, runtime, {
    ...shared,
    method: "GET",
    url: "/v2",
    operation: "serverMetadata",
    access: "public",
    handler: () =>
      Effect.succeed({
        name: "ashlar",
        version: options.version ?? "0.1.0",
        extensions: ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
      }),
  })
  for (const probe of ["live", "ready"] as const) {
    HttpKit.route(app, runtime, {
      ...shared,
      method: "GET",
      url: `/v2/health/${probe}`,
      operation: `server${probe === "live" ? "Live" : "Ready"}`,
      access: "public",
      handler: () => Effect.as(Serving, { [probe]: true }),
    })
  }

  HttpKit.route(app, runtime, {
    ...shared,
    method: "GET",
    url: "/v2/models/stats",
    operation: "statistics",
    access: read,
    handler: () =>
      Effect.gen(function* () {
        const serving = yield* Serving
        return { model_stats: (yield* serving.models).map(Status.statistics) }
      }),
  })

  for (const [suffix, params] of [
    ["", ModelParams],
    ["/versions/:version", VersionParams],
  ] as const) {
    const url = `/v2/models/:model${suffix}`
    const kind = suffix === "" ? "" : "Version"
    const status = (input: { readonly model: string; readonly version?: number }) =>
      Effect.gen(function* () {
        const serving = yield* Serving
        return yield* serving.status(yield* refOf(input))
      })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "GET",
      url,
      operation: `model${kind}Metadata`,
      access: read,
      params,
      handler: (input) => Effect.map(status(input.params), Status.metadata),
    })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "GET",
      url: `${url}/ready`,
      operation: `model${kind}Ready`,
      access: read,
      params,
      handler: (input) => Effect.map(status(input.params), ({ name }) => ({ name, ready: true })),
    })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "GET",
      url: `${url}/stats`,
      operation: `model${kind}Statistics`,
      access: read,
      params,
      handler: (input) =>
        Effect.map(status(input.params), (found) => ({ model_stats: [Status.statistics(found)] })),
    })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "GET",
      url: `${url}/config`,
      operation: `model${kind}Config`,
      access: read,
      params,
      handler: (input) => Effect.map(status(input.params), Status.config),
    })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "POST",
      url: `${url}/infer`,
      operation: `model${kind}Infer`,
      access: read,
      params,
      body: "bytes",
      bodyBytes,
      handler: Effect.fnUntraced(function* (input) {
        const serving = yield* Serving
        const model = yield* refOf(input.params)
        const { headers } = input.request
        const header = single(headers["inference-header-content-length"])
        const body = yield* ContentEncoding.decode(
          input.body,
          headers["content-encoding"],
          bodyBytes,
        )
        const request =
          header === "0"
            ? yield* Oip.decodeRaw(body, (yield* serving.status(model)).signature)
            : yield* Oip.decode(body, header)
        const response = yield* serving.predict({
          model,
          inputs: request.inputs,
          ...(request.outputs === undefined ? {} : { outputs: request.outputs }),
        })
        const { body: answer, headerLength } = Oip.encode(request, response)
        return HttpKit.reply(answer, {
          headers:
            headerLength === undefined
              ? { "content-type": "application/json" }
              : {
                  "content-type": "application/octet-stream",
                  "inference-header-content-length": String(headerLength),
                },
        })
      }),
    })
  }

  HttpKit.route(app, runtime, {
    ...shared,
    method: "POST",
    url: "/v2/repository/index",
    operation: "repositoryIndex",
    access: read,
    handler: () =>
      Effect.gen(function* () {
        const serving = yield* Serving
        const models = yield* serving.models
        return models.map(({ name, version }) => ({
          name,
          version: String(version),
          state: "READY",
          reason: "",
        }))
      }),
  })
  HttpKit.route(app, runtime, {
    ...shared,
    method: "POST",
    url: "/v2/repository/models/:model/load",
    operation: "repositoryLoad",
    access: { verb: "write" },
    params: ModelParams,
    handler: (input) =>
      Effect.gen(function* () {
        const serving = yield* Serving
        yield* serving.load(yield* refOf(input.params))
        return {}
      }),
  })
  HttpKit.route(app, runtime, {
    ...shared,
    method: "POST",
    url: "/v2/repository/models/:model/unload",
    operation: "repositoryUnload",
    access: { verb: "write" },
    params: ModelParams,
    handler: (input) =>
      Effect.gen(function* () {
        const serving = yield* Serving
        yield* serving.unload((yield* refOf(input.params)).name)
        return {}
      }),
  })
}
