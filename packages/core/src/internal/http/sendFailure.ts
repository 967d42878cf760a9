import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { FastifyReply, FastifyRequest } from "fastify"
import { challenge } from "./authenticate.ts"
import { defaultFormat, type HttpFailure, toHttpFailure } from "./HttpError.ts"
import { type Kit, rulesOf } from "./Kit.ts"

/** Mistakes of the server are errors with their cause, other 5xx warnings. */
const log = (kit: Kit, failure: HttpFailure, request: FastifyRequest): void => {
  if (failure.status < 500) return
  const what = `${request.method} ${request.routeOptions.url ?? "?"} answered ${failure.status}`
  const cause = Cause.isCause(failure.error) ? failure.error : Cause.die(failure.error)
  const entry =
    failure.status === 500
      ? Effect.logError(what, cause)
      : Effect.logWarning(`${what}: ${failure.message}`)
  const [context = Context.empty()] = Array.from(kit.contexts).toReversed()
  Effect.runForkWith(context)(
    Effect.annotateLogs(entry, { requestId: failure.requestId, code: failure.code }),
  )
}

/** Sends the answer to a failed request. */
export const sendFailure = (
  kit: Kit,
  request: FastifyRequest,
  reply: FastifyReply,
  error: unknown,
): FastifyReply => {
  const failure = toHttpFailure(Cause.isCause(error) ? Cause.squash(error) : error, request.id)
  log(kit, Cause.isCause(error) ? { ...failure, error } : failure, request)
  const format = rulesOf(request)?.formatError ?? kit.options.formatError ?? defaultFormat
  const { status = failure.status, headers = {}, body } = format(failure)
  if (failure.reason === "Unauthenticated") reply.header("www-authenticate", challenge)
  if (failure.retryAfterSeconds !== undefined) {
    reply.header("retry-after", String(failure.retryAfterSeconds))
  }
  // What is left of a refused body would be read as the next request.
  if (failure.reason === "TooLarge") reply.header("connection", "close")
  const isText = typeof body === "string"
  return reply
    .code(status)
    .header(
      "content-type",
      isText ? "text/plain; charset=utf-8" : "application/json; charset=utf-8",
    )
    .headers(headers)
    .send(isText ? body : JSON.stringify(body))
}
