import Fastify, { type FastifyInstance } from "fastify"
import { isLoopback } from "./authenticate.ts"
import { HttpError } from "./HttpError.ts"
import { kitOf, type KitOptions } from "./Kit.ts"
import { plugin } from "./plugin.ts"

/** How to serve. */
export interface ServerOptions extends KitOptions {
  /** Address to bind; default `127.0.0.1`. Any other needs authentication. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
  /** Registers the modules: `(app) => { app.register(registry, { prefix: "/registry" }) }`. */
  readonly register: (app: FastifyInstance) => unknown
  /** Proxies whose `X-Forwarded-*` headers are believed; default none. */
  readonly trustProxy?: boolean | string | ReadonlyArray<string>
  readonly drain?: {
    /** How long `/health/ready` says 503 while requests are still taken; default 0. */
    readonly readyDelayMs?: number
    /** How long running requests may take to finish before they are interrupted; default 10000. */
    readonly graceMs?: number
    /** Drain on SIGTERM and SIGINT, and end at once on a second one; default true. */
    readonly onSignals?: boolean
  }
}

/** A listening server. */
export interface Server extends AsyncDisposable {
  readonly app: FastifyInstance
  /** Where it listens, e.g. `http://127.0.0.1:8080`. */
  readonly url: string
  /** Stops taking requests, lets running ones finish, interrupts what is left after the grace. */
  readonly drain: () => Promise<void>
  /** Settles once drained: the time to release what the handlers used. */
  readonly closed: Promise<void>
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref())

const refuseOpenBind = (options: ServerOptions, host: string): void => {
  if (options.auth !== "off-on-loopback" || isLoopback(host)) return
  throw new HttpError({
    reason: "InvalidInput",
    message: `authentication is off, so the server may not listen on "${host}", where others reach it: turn authentication on, or listen on 127.0.0.1`,
    field: "host",
  })
}

const drainer = (app: FastifyInstance, options: ServerOptions): (() => Promise<void>) => {
  const { readyDelayMs = 0, graceMs = 10_000 } = options.drain ?? {}
  const kit = kitOf(app)
  return async () => {
    kit.draining = true
    if (readyDelayMs > 0) await pause(readyDelayMs)
    const closed = app.close().then(() => true)
    if (await Promise.race([closed, pause(graceMs).then(() => false)])) return
    for (const interrupt of kit.running) interrupt()
    // Interrupted requests get a moment to say so; then their connections are cut.
    if (await Promise.race([closed, pause(1000).then(() => false)])) return
    app.server.closeAllConnections()
    await closed
  }
}

/** Starts a Fastify server with the HTTP kit. Rejects with an `HttpError` when it may not. */
export const makeServer = async (options: ServerOptions): Promise<Server> => {
  const { host = "127.0.0.1", port = 0, drain: { onSignals = true } = {} } = options
  refuseOpenBind(options, host)
  const app = Fastify({
    logger: false,
    forceCloseConnections: "idle",
    return503OnClosing: true,
    // A large file takes as long as it takes; bodies that do not arrive are cut where they are read.
    requestTimeout: 0,
    ...(options.trustProxy === undefined
      ? {}
      : {
          trustProxy:
            typeof options.trustProxy === "object" ? [...options.trustProxy] : options.trustProxy,
        }),
  })
  try {
    await app.register(plugin, options)
    await options.register(app)
    await app.ready()
  } catch (error) {
    await app.close()
    throw error
  }
  let url: string
  try {
    url = await app.listen({ host, port })
  } catch (error) {
    await app.close()
    throw new HttpError({
      reason: "Unavailable",
      message: `cannot listen on ${host}:${port} (${error instanceof Error ? error.message : "unknown"}); choose a free port and an address of this machine`,
      field: "port",
      cause: error,
    })
  }
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const stop = drainer(app, options)
  const ignoreSignals = () => {
    process.removeListener("SIGTERM", onSignal)
    process.removeListener("SIGINT", onSignal)
  }
  let draining: Promise<void> | undefined
  const drain = (): Promise<void> => {
    draining ??= stop().finally(() => {
      ignoreSignals()
      resolve()
    })
    return draining
  }
  const onSignal = () => {
    // A second signal ends the process at once. Terminals and npm may send the first one twice.
    if (draining === undefined) setTimeout(ignoreSignals, 1000).unref()
    drain().catch((error: unknown) => {
      process.exitCode = 1
      process.emitWarning(error instanceof Error ? error : String(error), { code: "ASHLAR_DRAIN" })
    })
  }
  if (onSignals) {
    process.on("SIGTERM", onSignal)
    process.on("SIGINT", onSignal)
  }
  return { app, url, drain, closed, [Symbol.asyncDispose]: drain }
}
