import type { IncomingMessage } from "node:http"
import * as Stream from "effect/Stream"
import type { FastifyInstance, FastifyRequest } from "fastify"
import { HttpError } from "./HttpError.ts"

/** How a route takes its body. */
export type BodyMode = "json" | "bytes" | "stream"

const tooLarge = (limit: number) =>
  new HttpError({
    reason: "TooLarge",
    message: `the body is larger than the ${limit} bytes this route takes; send less, or ask the operator to raise the limit`,
    field: "body",
  })

const gone = (cause: unknown) =>
  new HttpError({
    reason: "Cancelled",
    message: "the client went away before its body was complete",
    cause,
  })

const invalid = (message: string) =>
  new HttpError({ reason: "InvalidInput", message, field: "body" })

/** The chunks of a body; fails past the limit, and when the client goes away in the middle. */
const chunksOf = async function* (payload: IncomingMessage, limit: number, timeoutMs: number) {
  let size = 0
  let isWaiting = true
  const timer = setTimeout(() => {
    // The consumer's time is not the client's.
    if (isWaiting) payload.destroy()
  }, timeoutMs)
  try {
    // Leaving early must not close the connection: the answer is still to be sent.
    for await (const chunk of payload.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Uint8Array
      size += bytes.length
      if (size > limit) throw tooLarge(limit)
      isWaiting = false
      yield bytes
      isWaiting = true
      timer.refresh()
    }
  } catch (error) {
    if (error instanceof HttpError) throw error
    throw gone(error)
  } finally {
    clearTimeout(timer)
  }
}

const asHttpError = (error: unknown): HttpError =>
  error instanceof HttpError
    ? error
    : new HttpError({ reason: "Internal", message: "the body could not be read", cause: error })

/** The whole body. Listens to events: an async iterator costs small bodies more than parsing. */
const readAll = (payload: IncomingMessage, limit: number, timeoutMs: number): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Array<Buffer> = []
    let size = 0
    const timer = setTimeout(() => payload.destroy(), timeoutMs)
    payload.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) chunks.push(chunk)
      else {
        payload.removeAllListeners("data").pause()
        clearTimeout(timer)
        reject(tooLarge(limit))
      }
    })
    payload.once("end", () => {
      clearTimeout(timer)
      const [first] = chunks
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks))
    })
    payload.once("error", (error) => reject(gone(error)))
    payload.once("close", () => {
      clearTimeout(timer)
      if (!payload.readableEnded) reject(gone(undefined))
    })
  })

const isJson = (contentType: string): boolean => {
  const type = (contentType.split(";", 1)[0] ?? "").trim().toLowerCase()
  return type === "" || type === "application/json" || type.endsWith("+json")
}

/** Nothing sent in earnest nests deeper, and what does makes recursive code run out of stack. */
const maxDepth = 128

const isTooDeep = (text: string): boolean => {
  // Each level opens and closes.
  if (text.length <= maxDepth * 2) return false
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) {
      for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) {
        if (text.charCodeAt(i) === 0x5c) i++
      }
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > maxDepth) return true
    } else if (code === 0x5d || code === 0x7d) depth -= 1
  }
  return false
}

/** JSON without keys that could reach a prototype, nested at most {@link maxDepth} deep. */
export const parseJson = (text: string): unknown => {
  if (isTooDeep(text)) throw invalid(`the body nests deeper than ${maxDepth} levels; flatten it`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid(`the body is not valid JSON (${(error as SyntaxError).message})`)
  }
  // Only text that spells one of the keys, or hides letters in escapes, can contain them.
  if (/__proto__|constructor|\\u/.test(text)) refusePollution(value)
  return value
}

const refusePollution = (root: unknown): void => {
  const open: Array<unknown> = [root]
  while (open.length > 0) {
    const value = open.pop()
    if (typeof value !== "object" || value === null) continue
    if (Object.hasOwn(value, "__proto__"))
      throw invalid('the body has the forbidden key "__proto__"')
    const made: unknown = Object.hasOwn(value, "constructor")
      ? Reflect.get(value, "constructor")
      : undefined
    if (typeof made === "object" && made !== null && Object.hasOwn(made, "prototype")) {
      throw invalid('the body has the forbidden key "constructor.prototype"')
    }
    // One by one: a call takes only so many arguments.
    for (const member of Object.values(value)) open.push(member)
  }
}

const jsonOf = async (
  request: FastifyRequest,
  payload: IncomingMessage,
  limit: number,
  timeoutMs: number,
): Promise<unknown> => {
  const type = request.headers["content-type"] ?? ""
  if (!isJson(type)) {
    throw invalid(`the content type "${type}" is not taken here; send application/json`)
  }
  const encoding = request.headers["content-encoding"] ?? "identity"
  if (encoding !== "identity") {
    throw invalid(`the content encoding "${encoding}" is not taken here; send it uncompressed`)
  }
  const bytes = await readAll(payload, limit, timeoutMs)
  if (bytes.length === 0) return undefined
  return parseJson(textOf(bytes))
}

const textOf = (bytes: Uint8Array): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    throw invalid("the body is not valid UTF-8")
  }
}

/** Makes the scope read every body by its route's mode and limit, whatever its content type. */
export const readBodies = (
  app: FastifyInstance,
  ruleOf: (request: FastifyRequest) => {
    readonly mode: BodyMode
    readonly limit: number
    /** Longest that a body may take to arrive, and that a stream may be silent. */
    readonly timeoutMs: number
  },
): void => {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser("*", async (request: FastifyRequest, payload: IncomingMessage) => {
    const { mode, limit, timeoutMs } = ruleOf(request)
    if (Number(request.headers["content-length"] ?? 0) > limit) throw tooLarge(limit)
    if (mode === "stream") {
      return Stream.fromAsyncIterable(chunksOf(payload, limit, timeoutMs), asHttpError)
    }
    return mode === "bytes"
      ? readAll(payload, limit, timeoutMs)
      : jsonOf(request, payload, limit, timeoutMs)
  })
}
