import { BlobStore } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { FastifyRequest } from "fastify"
import type { Artifacts, Content } from "../../Artifacts.ts"

/**
 * Stores the body of a request as it comes. When the body breaks off, that is what the caller is
 * told, not what it did to the blob store. Without a body the content is empty.
 */
export const received = <A, E>(
  { maxBytes }: Pick<Artifacts["Service"], "maxBytes">,
  request: FastifyRequest,
  body: Stream.Stream<Uint8Array, HttpKit.HttpError> | undefined,
  store: (content: Content) => Effect.Effect<A, E>,
): Effect.Effect<A, E | HttpKit.HttpError> =>
  Effect.suspend(() => {
    if (Number(request.headers["content-length"] ?? 0) > maxBytes) {
      return Effect.fail(
        new HttpKit.HttpError({
          reason: "TooLarge",
          field: "body",
          message: `the body is larger than the ${maxBytes} bytes a file may have`,
        }),
      )
    }
    if (body === undefined) return store(new Uint8Array(0))
    let broken: HttpKit.HttpError | undefined
    const content = Stream.mapError(body, (cause) => {
      broken = cause
      return new BlobStore.BlobStoreError({
        reason: "Unavailable",
        message: cause.message,
        cause,
      })
    })
    return Effect.mapError(store(content), (error) => broken ?? error)
  })
