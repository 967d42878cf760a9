import * as Effect from "effect/Effect"
import type { FastifyRequest } from "fastify"
import { invalid, type RegistryError } from "../../RegistryError.ts"

/** The largest body of a GET that is read. */
const mostBytes = 1_000_000

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A GET's body, which HTTP gives no meaning but old clients use; nothing when it is no JSON. */
const bodyOf = (request: FastifyRequest): Effect.Effect<unknown> =>
  Effect.promise(async () => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    try {
      for await (const chunk of request.raw.iterator({ destroyOnReturn: false })) {
        const bytes = chunk as Uint8Array
        size += bytes.length
        if (size > mostBytes) return {}
        chunks.push(bytes)
      }
      return JSON.parse(Buffer.concat(chunks).toString("utf8")) as unknown
    } catch {
      return {}
    }
  })

const hasBody = ({ headers }: FastifyRequest): boolean =>
  Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined

/**
 * What a request asks for: the body, or the query of a GET (its body where it has no query), and the
 * parameters of the path before both.
 */
export const parametersOf = (
  request: FastifyRequest,
  given: unknown,
): Effect.Effect<unknown, RegistryError> =>
  Effect.gen(function* () {
    const { method } = request
    if ((method === "POST" || method === "PUT") && request.headers["content-type"] === undefined) {
      return yield* invalid("body", "Bad Request. Content-Type header is missing.")
    }
    const isEmpty = isObject(given) && Object.keys(given).length === 0
    const raw = method === "GET" && isEmpty && hasBody(request) ? yield* bodyOf(request) : given
    const params = request.params
    if (!isObject(params) || Object.keys(params).length === 0) return raw
    return isObject(raw) || raw === undefined || raw === null ? { ...raw, ...params } : raw
  })
