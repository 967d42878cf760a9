import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Artifacts } from "../../Artifacts.ts"
import { LoggedModels } from "../../LoggedModels.ts"
import { Models } from "../../Models.ts"
import { invalid, notFound, RegistryError } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import * as Path from "../artifacts/path.ts"
import { type OriginOf, readUrl, signedUrl } from "./artifact-routes.ts"
import { within } from "./artifacts.ts"
import type { Services } from "./endpoint.ts"
import { formatError } from "./errors.ts"
import { answerFile } from "./file-answer.ts"
import * as Render from "./render.ts"
import { decoder, Int64 } from "./request.ts"

const common = { tag: "mlflow", formatError, timeoutMs: 86_400_000 } as const

/** Largest file that MLflow's pages send. */
const uploadBytes = 10 * 1024 * 1024

const text = Schema.optionalKey(Schema.String)

const OfRun = decoder(Schema.Struct({ run_id: Schema.NonEmptyString, path: Schema.NonEmptyString }))

const OfVersion = decoder(
  Schema.Struct({
    name: Schema.NonEmptyString,
    version: Schema.NumberFromString.check(Schema.isInt()),
    path: Schema.NonEmptyString,
  }),
)

const Upload = decoder(
  Schema.Struct({
    run_id: text,
    model_id: text,
    path: Schema.NonEmptyString,
    expiration: Schema.optionalKey(Int64),
  }),
)

const Download = decoder(
  Schema.Struct({
    run_id: Schema.NonEmptyString,
    path: Schema.NonEmptyString,
    expiration: Schema.optionalKey(Int64),
  }),
)

const checkExpiration = (seconds: number) =>
  Number.isSafeInteger(seconds) && seconds >= 1 && seconds <= 604_800
    ? Effect.succeed(seconds)
    : Effect.fail(
        invalid("expiration", `expiration must be between 1 and 604800 seconds (got ${seconds}).`),
      )

/** The whole path of a file below a URI. */
const pathIn = Effect.fnUntraced(function* (uri: string, path: string) {
  const below = yield* Path.parseFile("path", path)
  return (
    (yield* within(uri, below)) ??
    (yield* notFound(`${uri.slice(0, 300)} is not in this registry: ${below.slice(0, 300)}`))
  )
})

const pathOfRun = Effect.fnUntraced(function* (runId: string, path: string) {
  const run = yield* (yield* Runs).get(runId)
  return yield* pathIn(Render.artifactUri(run), path)
})

/** Registers what hands out files of runs and of models, and URLs of them. */
export const register = (
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<Services, unknown>,
  originOf: OriginOf,
): void => {
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: "/get-artifact",
    operation: "mlflowGetArtifact",
    summary: "A file of a run",
    access: { verb: "read" },
    query: Schema.Unknown,
    handler: ({ query, request }) =>
      Effect.gen(function* () {
        const { run_id, path } = yield* OfRun(query)
        const artifacts = yield* Artifacts
        return answerFile(artifacts, yield* artifacts.get(yield* pathOfRun(run_id, path)), request)
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: "/model-versions/get-artifact",
    operation: "mlflowGetVersionArtifact",
    summary: "A file of a version of a model",
    access: { verb: "read" },
    query: Schema.Unknown,
    handler: ({ query, request }) =>
      Effect.gen(function* () {
        const { name, version, path } = yield* OfVersion(query)
        const at = yield* Path.parseFile("path", path)
        const found = yield* (yield* Models).resolve({ name, version })
        // As it was registered, whatever became of the run's files.
        const file = found.files.find((one) => one.path === at)
        if (file === undefined)
          return yield* new RegistryError({
            reason: "NotFound",
            message: `No such artifact: '${at.slice(0, 300)}'`,
          })
        return answerFile(yield* Artifacts, { ...file, created: found.created }, request)
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: "/ajax-api/2.0/mlflow/upload-artifact",
    operation: "mlflowAjaxUploadArtifact",
    summary: "Stores a small file of a run",
    access: { verb: "write" },
    query: Schema.Struct({ run_uuid: text, path: text }),
    body: "bytes",
    // More than may be, so that what is a little larger is told so in MLflow's words.
    bodyBytes: 2 * uploadBytes,
    handler: ({ query: { run_uuid = "", path = "" }, body }) =>
      Effect.gen(function* () {
        const bytes: Uint8Array | undefined = body
        if (run_uuid === "") return yield* invalid("run_uuid", "Request must specify run_uuid.")
        if (path === "") return yield* invalid("path", "Request must specify path.")
        const at = yield* Path.parseFile("path", path)
        if (bytes !== undefined && bytes.length > uploadBytes) {
          return yield* invalid("body", "Artifact size is too large. Max size is 10MB.")
        }
        if (bytes === undefined || bytes.length === 0) {
          return yield* invalid("body", "Request must specify data.")
        }
        yield* (yield* Artifacts).put(yield* pathOfRun(run_uuid, at), bytes)
        return HttpKit.reply("", { headers: { "content-type": "application/json" } })
      }),
  })
  for (const root of ["/api", "/ajax-api"] as const) {
    const name = (operation: string) => `mlflow${root === "/api" ? "" : "Ajax"}${operation}`
    HttpKit.route(app, runtime, {
      ...common,
      method: "POST",
      url: `${root}/2.0/mlflow/artifacts/presigned-upload-url`,
      operation: name("PresignUpload"),
      access: { verb: "write" },
      body: Schema.Unknown,
      handler: ({ body, request }) =>
        Effect.gen(function* () {
          const { run_id = "", model_id = "", path, expiration = 900 } = yield* Upload(body)
          if ((run_id === "") === (model_id === "")) {
            return yield* invalid("run_id", "Exactly one of run_id and model_id must be provided.")
          }
          const seconds = yield* checkExpiration(Number(expiration))
          const at =
            run_id === ""
              ? yield* pathIn((yield* (yield* LoggedModels).get(model_id)).artifactUri, path)
              : yield* pathOfRun(run_id, path)
          const token = yield* (yield* Artifacts).sign({ kind: "put", path: at }, seconds)
          return { presigned_url: signedUrl(originOf(request), token) }
        }),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "POST",
      url: `${root}/2.0/mlflow/artifacts/presigned-download-url`,
      operation: name("PresignDownload"),
      access: { verb: "read" },
      body: Schema.Unknown,
      handler: ({ body, request }) =>
        Effect.gen(function* () {
          const { run_id, path, expiration = 300 } = yield* Download(body)
          const seconds = yield* checkExpiration(Number(expiration))
          const file = yield* (yield* Artifacts).get(yield* pathOfRun(run_id, path))
          const presigned_url = yield* readUrl(originOf(request), file, seconds)
          return { presigned_url, ...(file.size === 0 ? {} : { file_size: file.size }) }
        }),
    })
  }
}
