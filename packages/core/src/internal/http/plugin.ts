import { randomUUID } from "node:crypto"
import * as Context from "effect/Context"
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify"
import type { Principal } from "../../Auth.ts"
import * as Failure from "../../Failure.ts"
import { authenticate } from "./authenticate.ts"
import { readBodies } from "./body.ts"
import { HttpError } from "./HttpError.ts"
import { decorator, type Kit, type KitOptions, rulesOf } from "./Kit.ts"
import { type Limiter, makeLimiter } from "./limits.ts"
import { makeMetrics } from "./metrics.ts"
import { openApiOf } from "./openapi.ts"
import { registerProbes } from "./probes.ts"
import { sendFailure } from "./sendFailure.ts"

const bodyBytesDefault = 10 * 1024 * 1024

const requestId = (supplied: unknown): string =>
  typeof supplied === "string" && /^[A-Za-z0-9._-]{8,128}$/.test(supplied) ? supplied : randomUUID()

const rateLimited = (seconds: number, what: string): HttpError => {
  const retryAfterSeconds = Math.max(1, Math.ceil(seconds))
  return new HttpError({
    reason: "RateLimited",
    message: `${what}; try again in ${retryAfterSeconds} s`,
    retryAfterSeconds,
  })
}

const admit =
  (kit: Kit, clients: Limiter | undefined, strangers: Limiter) =>
  async (request: FastifyRequest): Promise<void> => {
    const rules = rulesOf(request)
    if (rules?.access === "public" || request.is404) return
    const blocked = strangers.wait(request.ip)
    if (blocked > 0) {
      throw rateLimited(blocked, "too many requests from this address failed to authenticate")
    }
    let principal: Principal
    try {
      principal = await authenticate(kit.options.auth, request)
    } catch (error) {
      // A token database that is down says nothing about the caller.
      if (Failure.isFailure(error) && error.reason === "Unauthenticated") strangers.take(request.ip)
      throw error
    }
    kit.principals.set(request, principal)
    const client = kit.options.auth === "off-on-loopback" ? request.ip : principal.name
    const seconds = clients?.take(client) ?? 0
    if (seconds > 0) throw rateLimited(seconds, `"${client}" sends too many requests`)
  }

/** Counts until the connection is done with the answer, also when the client goes away before it. */
const measure = (kit: Kit, request: FastifyRequest, reply: FastifyReply): void => {
  kit.metrics.started()
  reply.raw.once("close", () => {
    const route = request.is404 ? "unmatched" : (request.routeOptions.url ?? "unmatched")
    const status = reply.raw.writableEnded ? reply.statusCode : 499
    kit.metrics.finished(request.method, route, status, reply.elapsedTime / 1000)
  })
}

const install: FastifyPluginAsync<KitOptions> = async (app, options) => {
  if (app.hasDecorator(decorator)) return
  const { limits = {} } = options
  const kit: Kit = {
    options,
    described: [],
    checks: new Map(),
    metrics: makeMetrics(),
    runtimes: new Map(),
    contexts: new Set([Context.empty()]),
    running: new Set(),
    principals: new WeakMap(),
    draining: false,
  }
  app.decorate(decorator, kit)
  app.setGenReqId((request) => requestId(request.headers["x-request-id"]))
  const clients = limits.rate === undefined ? undefined : makeLimiter(limits.rate)
  const strangers = makeLimiter(limits.failedAuthRate ?? { perSecond: 10, burst: 20 })
  const admitRequest = admit(kit, clients, strangers)
  app.addHook("onRequest", async (request, reply) => {
    measure(kit, request, reply)
    reply.header("x-request-id", request.id)
    await admitRequest(request)
  })
  // A connection kept open would hold up the drain.
  app.addHook("onSend", (_request, reply, payload, done) => {
    if (kit.draining) reply.header("connection", "close")
    done(null, payload)
  })
  readBodies(app, (request) => {
    const rules = rulesOf(request)
    return {
      mode: rules?.mode ?? "json",
      limit: rules?.bodyBytes ?? limits.bodyBytes ?? bodyBytesDefault,
      timeoutMs: limits.bodyTimeoutMs ?? 120_000,
    }
  })
  app.setErrorHandler((error, request, reply) => sendFailure(kit, request, reply, error))
  app.setNotFoundHandler((request, reply) =>
    sendFailure(
      kit,
      request,
      reply,
      new HttpError({
        reason: "NotFound",
        message: `there is nothing at ${request.method} ${request.url.split("?", 1)[0]}; /openapi.json lists what there is`,
      }),
    ),
  )
  if (options.probes ?? true) registerProbes(app, kit, () => openApiOf(kit))
}

/**
 * The Fastify plugin. It applies to the scope it is registered in and everything below; where a
 * scope above has it already, it does nothing, so that every module can ask for it.
 */
export const plugin: FastifyPluginAsync<KitOptions> = Object.assign(install, {
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "@ashlar/core/http-kit",
})
