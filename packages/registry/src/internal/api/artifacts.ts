import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Runs } from "../../Runs.ts"
import type { ArtifactAnswer, PreviewAnswer } from "./answers.ts"
import { common, explorer, Id, root, type Runtime, text } from "./route.ts"

/** Most bytes of a text that are shown. */
const maxText = 256 * 1024
/** Most bytes of an image that are shown. */
const maxImage = 16 * 1024 * 1024

/** Images that a browser decodes to pixels without running anything. */
const imageTypes: Readonly<Record<string, string>> = {
  png: "image/png",
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  gif: "image/gif",
  webp: "image/webp",
}

const extensionOf = (path: string): string =>
  /\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase() ?? ""

const textOf = (bytes: Uint8Array, whole: boolean): string | undefined => {
  if (bytes.includes(0)) return undefined
  try {
    // A part may end inside of a character.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !whole })
  } catch {
    return undefined
  }
}

const preview = Effect.fnUntraced(function* (runId: string, path: string) {
  const extension = extensionOf(path)
  const found = yield* (yield* explorer).content(runId, path, maxText)
  const { size } = found
  if (Object.hasOwn(imageTypes, extension)) {
    const answer: PreviewAnswer = { path, size, kind: "image", truncated: size > maxImage }
    return answer
  }
  const truncated = size > found.bytes.length
  const decoded = textOf(found.bytes, !truncated)
  const kind = extension === "json" ? "json" : /^[ct]sv$/.test(extension) ? "csv" : "text"
  const answer: PreviewAnswer =
    decoded === undefined
      ? { path, size, kind: "binary", truncated }
      : { path, size, kind, truncated, text: decoded }
  return answer
})

const At = Schema.Struct({ path: text(2000).check(Schema.isMinLength(1)) })

/** Registers what reads the files of runs. Nothing is ever sent as a page. */
export const register = (app: FastifyInstance, runtime: Runtime): void => {
  const params = Schema.Struct({ runId: Id })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/runs/:runId/artifacts`,
    operation: "registryArtifacts",
    summary: "Files of a run",
    access: { verb: "read" },
    params,
    handler: ({ params: { runId } }) =>
      Effect.gen(function* () {
        const runs = yield* Runs
        yield* runs.get(runId)
        const items: ReadonlyArray<ArtifactAnswer> = yield* runs.artifacts(runId)
        return { items }
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/runs/:runId/artifacts/preview`,
    operation: "registryArtifactPreview",
    summary: "The beginning of a file as text",
    access: { verb: "read" },
    params,
    query: At,
    handler: ({ params: { runId }, query }) => preview(runId, query.path),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/runs/:runId/artifacts/image`,
    operation: "registryArtifactImage",
    summary: "An image of a run, to be decoded to pixels",
    access: { verb: "read" },
    params,
    query: At,
    handler: ({ params: { runId }, query: { path } }) =>
      Effect.gen(function* () {
        const type = imageTypes[extensionOf(path)]
        if (type === undefined) {
          return yield* new HttpKit.HttpError({
            reason: "InvalidInput",
            field: "query.path",
            message: `${path.slice(0, 200)} is not an image that is shown: ${Object.keys(imageTypes).join(", ")} are`,
          })
        }
        const { bytes, size } = yield* (yield* explorer).content(runId, path, maxImage)
        if (size > maxImage) {
          return yield* new HttpKit.HttpError({
            reason: "TooLarge",
            field: "query.path",
            message: `the image has ${size} bytes; up to ${maxImage} are shown`,
          })
        }
        return HttpKit.reply(bytes, {
          headers: {
            "content-type": type,
            "content-disposition": "attachment",
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox; default-src 'none'",
            "cache-control": "private, no-store",
          },
        })
      }),
  })
}
