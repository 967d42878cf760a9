import { Predictor } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { promisify } from "node:util"
import * as zlib from "node:zlib"

const gunzip = promisify(zlib.gunzip)
const inflate = promisify(zlib.inflate)

const decoders: Readonly<
  Record<string, (bytes: Uint8Array, limits: zlib.ZlibOptions) => Promise<Buffer>>
> = { gzip: gunzip, "x-gzip": gunzip, deflate: inflate }

const isTooLarge = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE"

/** A body as it was before its client compressed it; at most `limit` bytes, however well it packs. */
export const decode = Effect.fnUntraced(function* (
  body: Uint8Array,
  encoding: string | undefined,
  limit: number,
) {
  const name = (encoding ?? "identity").trim().toLowerCase()
  if (name === "identity" || name === "") return body
  const decoder = Object.hasOwn(decoders, name) ? decoders[name] : undefined
  if (decoder === undefined) {
    return yield* new Predictor.PredictorError({
      reason: "InvalidInput",
      field: "Content-Encoding",
      message: `the content encoding ${JSON.stringify(name.slice(0, 40))} is not taken: send gzip, deflate, or the plain body`,
    })
  }
  const plain = yield* Effect.tryPromise({
    try: () => decoder(body, { maxOutputLength: limit }),
    catch: (error) =>
      isTooLarge(error)
        ? new Predictor.PredictorError({
            reason: "TooLarge",
            field: "body",
            message: `the body has more than ${limit} bytes once it is unpacked: send fewer rows`,
          })
        : new Predictor.PredictorError({
            reason: "InvalidInput",
            field: "Content-Encoding",
            message: `the body is not ${name}: ${error instanceof Error ? error.message : error}`,
          }),
  })
  return new Uint8Array(plain.buffer, plain.byteOffset, plain.byteLength)
})
