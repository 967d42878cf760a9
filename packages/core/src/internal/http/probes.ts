import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import type { FastifyInstance } from "fastify"
import { toHttpFailure } from "./HttpError.ts"
import type { Check, Kit, RouteRules } from "./Kit.ts"

const runCheck = async (check: Check): Promise<string> => {
  const exit = await Effect.runPromiseExit(Effect.timeout(check, "2 seconds"))
  if (Exit.isSuccess(exit)) return "ok"
  const failure = toHttpFailure(Cause.squash(exit.cause), "")
  return failure.reason === "Internal" ? "failing" : failure.message
}

const open: RouteRules = {
  access: "public",
  mode: "json",
  bodyBytes: undefined,
  formatError: undefined,
}

/** Registers `/health/live`, `/health/ready`, `/metrics` and `/openapi.json`. */
export const registerProbes = (
  app: FastifyInstance,
  kit: Kit,
  openApi: () => Readonly<Record<string, unknown>>,
): void => {
  const config = { ashlar: open }
  const metricsConfig = {
    ashlar: { ...open, access: kit.options.openMetrics === true ? "public" : "token" },
  }

  app.get("/health/live", { config }, async () => ({ status: "live" }))

  app.get("/health/ready", { config }, async (_request, reply) => {
    const names = Array.from(kit.checks.keys())
    const results = await Promise.all(Array.from(kit.checks.values(), runCheck))
    const checks = Object.fromEntries(names.map((name, index) => [name, results[index]]))
    const ready = !kit.draining && results.every((result) => result === "ok")
    const status = ready ? "ready" : kit.draining ? "draining" : "unavailable"
    return reply.code(ready ? 200 : 503).send({ status, checks })
  })

  app.get("/metrics", { config: metricsConfig }, async (_request, reply) => {
    const effects = Array.from(kit.contexts, (context) => PrometheusMetrics.formatUnsafe(context))
    return reply
      .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
      .send([kit.metrics.render(), ...new Set(effects)].join(""))
  })

  app.get("/openapi.json", { config }, async () => openApi())
}
