import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import type { FastifyInstance, FastifyRequest } from "fastify"
import { Artifacts } from "../../Artifacts.ts"
import { RegistryError } from "../../RegistryError.ts"
import * as Path from "../artifacts/path.ts"
import type { Services } from "./endpoint.ts"
import { formatError } from "./errors.ts"
import { answerFile } from "./file-answer.ts"
import { received } from "./file-body.ts"
import { files } from "./artifacts.ts"
import { decoder } from "./request.ts"

/** A large file on a slow line takes hours. */
const transferMs = 86_400_000

/** MLflow's default for URLs that read. */
const readSeconds = 300

const common = { tag: "mlflow", formatError, timeoutMs: transferMs } as const

const At = Schema.Struct({ "*": Schema.String })

const Create = decoder(
  Schema.Struct({
    path: Schema.NonEmptyString,
    num_parts: Schema.optionalKey(Schema.Union([Schema.Int, Schema.NumberFromString])),
  }),
)

const Named = Schema.Struct({ path: Schema.NonEmptyString, upload_id: Schema.NonEmptyString })

const Complete = decoder(
  Schema.Struct({
    ...Named.fields,
    parts: Schema.NonEmptyArray(
      Schema.Struct({
        part_number: Schema.Union([Schema.Int, Schema.NumberFromString]),
        etag: Schema.NonEmptyString,
      }),
    ),
  }),
)

const Abort = decoder(Named)

/** Where clients that follow a signed URL reach this server. */
export type OriginOf = (request: FastifyRequest) => string

/** Where signed URLs lie below the origin. */
const signedPath = "/api/2.0/mlflow-artifacts/signed"

/** Makes a URL of this server that works without credentials. */
export const signedUrl = (origin: string, token: string): string =>
  `${origin}${signedPath}/${token}`

/** The directory of the URL and the name of the client's file. */
const target = Effect.fnUntraced(function* (directory: string, file: string) {
  const name = yield* Path.parseFile("path", Path.basename(file))
  return Path.join(yield* Path.parse("path", directory), name)
})

/** Registers what moves files: MLflow's proxy of artifacts, and signed URLs. */
export const register = (
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<Services, unknown>,
  originOf: OriginOf,
): void => {
  for (const root of ["/api", "/ajax-api"] as const) {
    const base = `${root}/2.0/mlflow-artifacts`
    const name = (operation: string) => `mlflow${root === "/api" ? "" : "Ajax"}${operation}`
    HttpKit.route(app, runtime, {
      ...common,
      method: "GET",
      url: `${base}/artifacts`,
      operation: name("ListFiles"),
      summary: "What lies in a directory",
      access: { verb: "read" },
      query: Schema.Struct({ path: Schema.optionalKey(Schema.String) }),
      handler: ({ query: { path = "" } }) =>
        Effect.gen(function* () {
          const items = yield* files(yield* Artifacts, path)
          return items.length === 0
            ? {}
            : { files: items.map((file) => ({ ...file, path: Path.basename(file.path) })) }
        }),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "GET",
      url: `${base}/artifacts/*`,
      operation: name("DownloadFile"),
      access: { verb: "read" },
      params: At,
      handler: ({ params, request }) =>
        Effect.gen(function* () {
          const artifacts = yield* Artifacts
          return answerFile(artifacts, yield* artifacts.get(params["*"]), request)
        }),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "PUT",
      url: `${base}/artifacts/*`,
      operation: name("UploadFile"),
      access: { verb: "write" },
      params: At,
      body: "stream",
      bodyBytes: Number.MAX_SAFE_INTEGER,
      handler: ({ params, body, request }) =>
        Effect.gen(function* () {
          const artifacts = yield* Artifacts
          yield* received(artifacts, request, body, (content) =>
            artifacts.put(params["*"], content),
          )
          return {}
        }),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "DELETE",
      url: `${base}/artifacts/*`,
      operation: name("DeleteFiles"),
      access: { verb: "write" },
      params: At,
      handler: ({ params }) =>
        Effect.as(
          Effect.flatMap(Artifacts, (artifacts) => artifacts.remove(params["*"])),
          {},
        ),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "POST",
      url: `${base}/mpu/create/*`,
      operation: name("CreateUpload"),
      access: { verb: "write" },
      params: At,
      body: Schema.Unknown,
      handler: ({ params, body, request }) =>
        Effect.gen(function* () {
          const artifacts = yield* Artifacts
          const { path, num_parts: parts = 1 } = yield* Create(body)
          const upload = yield* artifacts.createUpload(yield* target(params["*"], path), parts)
          const { uploadId, urls } = upload
          const ours = (part: number) =>
            Effect.map(
              artifacts.sign({ kind: "part", upload: uploadId, part }, partSeconds),
              (token) => signedUrl(originOf(request), token),
            )
          const all =
            urls ?? (yield* Effect.forEach(Array.from({ length: parts }), (_, i) => ours(i + 1)))
          return {
            upload_id: uploadId,
            credentials: all.map((url, i) => ({ url, part_number: i + 1, headers: {} })),
          }
        }),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "POST",
      url: `${base}/mpu/complete/*`,
      operation: name("CompleteUpload"),
      access: { verb: "write" },
      params: At,
      body: Schema.Unknown,
      handler: ({ params, body }) =>
        Effect.gen(function* () {
          const artifacts = yield* Artifacts
          const { path, upload_id: uploadId, parts } = yield* Complete(body)
          yield* artifacts.completeUpload(
            yield* target(params["*"], path),
            uploadId,
            parts.map(({ part_number: partNumber, etag }) => ({ partNumber, etag })),
          )
          return {}
        }),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "POST",
      url: `${base}/mpu/abort/*`,
      operation: name("AbortUpload"),
      access: { verb: "write" },
      params: At,
      body: Schema.Unknown,
      handler: ({ params, body }) =>
        Effect.gen(function* () {
          const artifacts = yield* Artifacts
          const { path, upload_id: uploadId } = yield* Abort(body)
          yield* artifacts.abortUpload(yield* target(params["*"], path), uploadId)
          return {}
        }),
    })
    HttpKit.route(app, runtime, {
      ...common,
      method: "GET",
      url: `${base}/presigned/*`,
      operation: name("PresignFile"),
      access: { verb: "read" },
      params: At,
      handler: ({ params, request }) =>
        Effect.gen(function* () {
          const file = yield* (yield* Artifacts).get(params["*"])
          const url = yield* readUrl(originOf(request), file, readSeconds)
          return { url, headers: {}, file_size: file.size }
        }),
    })
  }
  registerSigned(app, runtime)
}

/** Enough for the parts of a large file. */
const partSeconds = 86_400

/** A URL that reads a file: of the blob store, or of this server. */
export const readUrl = Effect.fnUntraced(function* (
  origin: string,
  file: { readonly path: string; readonly digest: string },
  expiresSeconds: number,
) {
  const artifacts = yield* Artifacts
  const there = yield* artifacts.presign(file, expiresSeconds)
  if (there !== undefined) return there
  const { path, digest } = file
  return signedUrl(origin, yield* artifacts.sign({ kind: "get", path, digest }, expiresSeconds))
})

const refused = (what: string) =>
  Effect.fail(
    new RegistryError({
      reason: "PermissionDenied",
      field: "token",
      message: `this URL was not signed to ${what}: ask for another`,
    }),
  )

const registerSigned = (
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<Services, unknown>,
): void => {
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${signedPath}/*`,
    operation: "mlflowSignedDownload",
    access: "public",
    params: At,
    handler: ({ params, request }) =>
      Effect.gen(function* () {
        const artifacts = yield* Artifacts
        const grant = yield* artifacts.verify(params["*"])
        if (grant.kind !== "get") return yield* refused("read a file")
        const file = yield* artifacts.get(grant.path)
        if (file.digest === grant.digest) return answerFile(artifacts, file, request)
        return yield* new RegistryError({
          reason: "Conflict",
          message: "the file was replaced since this URL was signed: ask for another",
        })
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "PUT",
    url: `${signedPath}/*`,
    operation: "mlflowSignedUpload",
    access: "public",
    params: At,
    body: "stream",
    bodyBytes: Number.MAX_SAFE_INTEGER,
    handler: ({ params, body, request }) =>
      Effect.gen(function* () {
        const artifacts = yield* Artifacts
        const grant = yield* artifacts.verify(params["*"])
        if (grant.kind === "get") return yield* refused("write")
        const etag = yield* received(artifacts, request, body, (content) =>
          grant.kind === "put"
            ? Effect.map(artifacts.put(grant.path, content), ({ digest }) => digest)
            : Effect.map(artifacts.putPart(grant.upload, grant.part, content), (part) => part.etag),
        )
        return HttpKit.reply({}, { headers: { etag: `"${etag}"` } })
      }),
  })
}
