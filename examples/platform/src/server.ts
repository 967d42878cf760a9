/**
 * Every module behind one HTTP server.
 *
 * @module
 */
import { Auth } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdir } from "node:fs/promises"
import * as Definitions from "./Definitions.ts"
import { type Environment, layer } from "./environment.ts"
import * as Health from "./health.ts"
import * as HomePage from "./HomePage.ts"
import { modules } from "./Mounted.ts"
import { logRequests } from "./observability.ts"
import type { PlatformSettings } from "./PlatformSettings.ts"
import * as Tokens from "./tokens.ts"

const info = { title: "Ashlar platform", version: "0.1.0" }

const optionsOf = (settings: PlatformSettings) => {
  const { limits, trustProxy, drain, host, port, openMetrics } = settings
  const { requestsPerSecond, ...sizes } = limits
  return {
    host,
    port,
    info,
    openMetrics,
    drain,
    limits: {
      ...sizes,
      ...(requestsPerSecond === undefined ? {} : { rate: { perSecond: requestsPerSecond } }),
    },
    ...(trustProxy === undefined ? {} : { trustProxy: trustProxy.split(",") }),
  }
}

const start = async (
  settings: PlatformSettings,
  runtime: ManagedRuntime.ManagedRuntime<Environment, unknown>,
): Promise<HttpKit.Server> => {
  const isOpen = settings.auth === "off"
  // With authentication off, the kit first looks whether it may be; nothing is opened before.
  const auth = isOpen ? "off-on-loopback" : await runtime.runPromise(Auth.Auth)
  return HttpKit.makeServer({
    ...optionsOf(settings),
    auth,
    register: async (app) => {
      if (settings.definitions !== undefined) {
        await runtime.runPromise(Definitions.apply(settings.definitions))
      }
      const checks = await runtime.runPromise(Health.checks)
      HttpKit.addCheck(app, "database", checks.database)
      HttpKit.addCheck(app, "blobs", checks.blobs)
      logRequests(app, runtime)
      const page = HomePage.render(modules, settings.auth)
      HttpKit.route(app, runtime, {
        method: "GET",
        url: "/",
        operation: "home",
        access: "public",
        handler: () => Effect.succeed(HttpKit.reply(page, { headers: HomePage.headers })),
      })
      for (const module of modules) await module.register(app, runtime)
    },
  })
}

const whereOf = ({ database, blobs, directory }: PlatformSettings): string =>
  [
    database.kind === "sqlite" ? `SQLite in ${database.options.file}` : "PostgreSQL",
    blobs.kind === "fs" ? `blobs in ${blobs.directory}` : `blobs in S3 (${blobs.options.bucket})`,
    `cache in ${directory}`,
  ].join(", ")

/**
 * Serves until SIGTERM or SIGINT, lets running requests finish, and closes everything. Rejects
 * when the server cannot start.
 */
export const serve = async (settings: PlatformSettings, print: Tokens.Print): Promise<void> => {
  // Tokens' digests and everybody's data: for its owner alone.
  await mkdir(settings.directory, { recursive: true, mode: 0o700 })
  const runtime = ManagedRuntime.make(layer(settings))
  try {
    const server = await start(settings, runtime)
    const { url } = server
    try {
      print(`Ashlar is listening on ${url} (${whereOf(settings)})\n`)
      if (settings.auth === "tokens") {
        await runtime.runPromise(Tokens.first({ file: settings.firstTokenFile, url, print }))
      }
    } catch (error) {
      await server.drain()
      throw error
    }
    await runtime.runPromise(Effect.annotateLogs(Effect.logInfo("listening"), { url }))
    await server.closed
    await runtime.runPromise(Effect.logInfo("drained"))
  } finally {
    await runtime.dispose()
  }
}
