/**
 * Logs as JSON lines on standard error, one for a request; with OpenTelemetry's variables set, also
 * spans, metrics and logs over OTLP. Neither has payloads, query strings or tokens.
 *
 * @module
 */
import { Telemetry } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as References from "effect/References"
import type { FastifyInstance } from "fastify"
import type { PlatformSettings } from "./PlatformSettings.ts"

const levels: Readonly<Record<PlatformSettings["logLevel"], LogLevel.LogLevel>> = {
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
}

// An error of a driver may quote the address it was given.
const line = Logger.map(Logger.formatJson, (text) => String(Telemetry.redact("log", text)))

/** Logging and telemetry. */
export const layer = ({ logLevel }: Pick<PlatformSettings, "logLevel">) =>
  Telemetry.layer.pipe(
    Layer.provideMerge(Logger.layer([Logger.withConsoleError(line)])),
    Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, levels[logLevel])),
  )

/** Asked for every few seconds by machines, so worth a line only to somebody who looks for it. */
const isProbe = (route: string): boolean => route.startsWith("/health") || route === "/metrics"

/** Logs every request once it is answered: what was asked, by whom, and how long it took. */
export const logRequests = (
  app: FastifyInstance,
  runtime: ManagedRuntime.ManagedRuntime<never, unknown>,
): void => {
  app.addHook("onResponse", async (request, reply) => {
    const route = request.is404 ? "unmatched" : (request.routeOptions.url ?? "unmatched")
    const principal = HttpKit.principalOf(app, request)
    const entry = isProbe(route) ? Effect.logDebug("request") : Effect.logInfo("request")
    runtime.runFork(
      Effect.annotateLogs(entry, {
        method: request.method,
        route,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 1000) / 1000,
        requestId: request.id,
        ...(principal === undefined ? {} : { principal: principal.name }),
      }),
    )
  })
}
