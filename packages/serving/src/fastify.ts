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
import * as Oip from "./internal/oip.ts"
import { type ModelStatus, Serving } from "./Serving.ts"

/** What the plugin needs. */
export interface PluginOptions {
  readonly runtime: ManagedRuntime.ManagedRuntime<Serving, unknown>
  /** Version reported as the server's; default `0.1.0`. */
  readonly version?: string
  /** Largest inference request in bytes; default 64 MiB. */
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

/** The protocol's error: `{"error": message}`. */
const formatError: HttpKit.FormatError = (failure) => ({ body: { error: failure.message } })

const metadata = (status: ModelStatus) => ({
  name: status.name,
  versions: [String(status.version)],
  platform: status.flavor === "onnx" ? "onnx_onnxv1" : status.flavor,
  inputs: status.signature.inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
  outputs: status.signature.outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape })),
})

const duration = (count: number, micros: number) => ({ count, ns: Math.round(micros * 1000) })

const statistics = (status: ModelStatus) => ({
  name: status.name,
  version: String(status.version),
  inference_count: status.rows,
  execution_count: status.runs,
  inference_stats: {
    success: duration(status.requests, status.queueMicros + status.computeMicros),
    fail: duration(status.failures, 0),
    queue: duration(status.requests, status.queueMicros),
    compute_infer: duration(status.runs, status.computeMicros),
  },
})

/** Registers the protocol's routes below `/v2`. */
export const plugin = async (app: FastifyInstance, options: PluginOptions): Promise<void> => {
  const { runtime } = options
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
        extensions: ["binary_tensor_data", "model_repository", "statistics"],
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
      handler: (input) => Effect.map(status(input.params), metadata),
    })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "GET",
      url: `${url}/ready`,
      operation: `model${kind}Ready`,
      access: read,
      params,
      handler: (input) =>
        Effect.map(status(input.params), ({ name }) => ({ name, ready: true })),
    })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "GET",
      url: `${url}/stats`,
      operation: `model${kind}Statistics`,
      access: read,
      params,
      handler: (input) =>
        Effect.map(status(input.params), (found) => ({ model_stats: [statistics(found)] })),
    })
    HttpKit.route(app, runtime, {
      ...shared,
      method: "POST",
      url: `${url}/infer`,
      operation: `model${kind}Infer`,
      access: read,
      params,
      body: "bytes",
      bodyBytes: options.bodyBytes ?? 64 * 1024 * 1024,
      handler: Effect.fnUntraced(function* (input) {
        const serving = yield* Serving
        const model = yield* refOf(input.params)
        const header = input.request.headers["inference-header-content-length"]
        const request = yield* Oip.decode(
          input.body,
          Array.isArray(header) ? header[0] : header,
        )
        const response = yield* serving.predict({
          model,
          inputs: request.inputs,
          ...(request.outputs === undefined ? {} : { outputs: request.outputs }),
        })
        const { body, headerLength } = Oip.encode(request, response)
        return HttpKit.reply(body, {
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
