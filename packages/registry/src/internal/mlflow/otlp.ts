import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import type { FastifyInstance } from "fastify"
import { promisify } from "node:util"
import { gunzip, inflate } from "node:zlib"
import { invalid, RegistryError } from "../../RegistryError.ts"
import { Traces } from "../../Traces.ts"
import { Fault } from "../formats/source.ts"
import * as OtlpJson from "../traces/otlp-json.ts"
import * as OtlpProtobuf from "../traces/otlp-protobuf.ts"
import { limits } from "../traces/span.ts"
import { Writer } from "../wire.ts"
import type { Services } from "./endpoint.ts"
import { formatError } from "./errors.ts"

const packers = { gzip: promisify(gunzip), deflate: promisify(inflate) } as const

const isPacker = (encoding: string): encoding is keyof typeof packers =>
  Object.hasOwn(packers, encoding)

const refused = (error: unknown): Fault | RegistryError =>
  error instanceof Fault
    ? error
    : new RegistryError({
        reason: "Internal",
        message: "the spans could not be read",
        cause: error,
      })

const tooLarge = () => new Fault("body", `has more than ${limits.body} bytes unpacked`, "TooLarge")

const unpacked = (body: Uint8Array, encoding: string): Effect.Effect<Uint8Array, Fault> => {
  if (encoding === "identity") return Effect.succeed(body)
  if (!isPacker(encoding)) {
    return Effect.fail(
      new Fault("content-encoding", `is ${encoding.slice(0, 60)}: gzip and deflate are taken`),
    )
  }
  return Effect.tryPromise({
    try: () => packers[encoding](body, { maxOutputLength: limits.body }),
    catch: (error) =>
      error instanceof RangeError ? tooLarge() : new Fault("body", `is not packed by ${encoding}`),
  })
}

/** Numbers of `google.rpc.Code`, and the status of HTTP for each. */
const codes: Readonly<Record<string, readonly [code: number, status: number]>> = {
  InvalidInput: [3, 400],
  NotFound: [5, 404],
  PermissionDenied: [7, 403],
  TooLarge: [8, 413],
  Conflict: [10, 409],
  Unavailable: [14, 503],
}

const types = { json: "application/json", protobuf: "application/x-protobuf" } as const

/** A failure as OTLP asks for it: a `google.rpc.Status` in the encoding of the request. */
const failure = (error: Fault | RegistryError, isJson: boolean) => {
  const [code, status] = codes[error.reason] ?? [13, 500]
  const message = error instanceof Fault ? `${error.field} ${error.message}` : error.message
  return isJson
    ? HttpKit.reply({ code, message }, { status })
    : HttpKit.reply(new Writer().integer(1, code).string(2, message).finish(), {
        status,
        headers: { "content-type": types.protobuf },
      })
}

const one = (header: string | ReadonlyArray<string> | undefined): string =>
  typeof header === "string" ? header.trim() : ""

/**
 * Registers OpenTelemetry's `POST /v1/traces`: the header `x-mlflow-experiment-id` says which
 * experiment the spans belong to.
 */
export const register = (
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<Services, unknown>,
): void => {
  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/v1/traces",
    operation: "otlpTraces",
    summary: "Takes spans by OpenTelemetry's protocol",
    tag: "mlflow",
    access: { verb: "write" },
    formatError,
    body: "bytes",
    bodyBytes: limits.body,
    handler: ({ body, request: { headers } }) => {
      const type = one(headers["content-type"]).split(";", 1)[0]?.trim().toLowerCase() ?? ""
      const isJson = type === types.json
      const store = Effect.gen(function* () {
        if (!isJson && type !== types.protobuf) {
          return yield* Effect.fail(
            new Fault(
              "content-type",
              `is ${JSON.stringify(type.slice(0, 60))}: ${types.protobuf} and ${types.json} are taken`,
            ),
          )
        }
        const experiment = one(headers["x-mlflow-experiment-id"])
        if (experiment === "") {
          return yield* invalid(
            "x-mlflow-experiment-id",
            "the header x-mlflow-experiment-id is missing: it names the experiment of the spans",
          )
        }
        const encoding = one(headers["content-encoding"]).toLowerCase()
        const bytes = yield* unpacked(body ?? new Uint8Array(0), encoding || "identity")
        const spans = yield* Effect.try({
          try: () => (isJson ? OtlpJson : OtlpProtobuf).decode(bytes),
          catch: refused,
        })
        const traces = yield* Traces
        yield* traces.ingest(experiment, spans)
        return isJson
          ? HttpKit.reply({})
          : HttpKit.reply(new Uint8Array(0), { headers: { "content-type": types.protobuf } })
      })
      return Effect.catch(store, (error) => Effect.succeed(failure(error, isJson)))
    },
  })
}
