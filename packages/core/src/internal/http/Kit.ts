import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { FastifyInstance, FastifyRequest } from "fastify"
import type { Principal } from "../../Auth.ts"
import type { AuthOption } from "./authenticate.ts"
import type { BodyMode } from "./body.ts"
import { type FormatError, HttpError } from "./HttpError.ts"
import type { Rate } from "./limits.ts"
import type { HttpMetrics } from "./metrics.ts"

/** What the HTTP kit of a server or module allows and shows. */
export interface KitOptions {
  /** How callers are recognised. There is no default: turning it off is a decision. */
  readonly auth: AuthOption
  readonly limits?: {
    /** Largest body, in bytes; default 10 MiB. A route can have its own. */
    readonly bodyBytes?: number
    /**
     * Longest that a body may take to arrive, and that one taken as a stream may be silent, in
     * milliseconds; default 120000.
     */
    readonly bodyTimeoutMs?: number
    /** Longest a handler may take, in milliseconds; default 60000. A route can have its own. */
    readonly timeoutMs?: number
    /** Requests of one caller (or address, without authentication); default unlimited. */
    readonly rate?: Rate
    /** Failed authentications of one address; default 10 a second, 20 at once. */
    readonly failedAuthRate?: Rate
  }
  /** Shape of errors where a route has none of its own. */
  readonly formatError?: FormatError
  /** Title and version of the OpenAPI document. */
  readonly info?: { readonly title: string; readonly version: string }
  /** Lets anybody read `/metrics`; default false: it needs a token. */
  readonly openMetrics?: boolean
  /** False leaves out `/health/*`, `/metrics` and `/openapi.json`; default true. */
  readonly probes?: boolean
}

/** Whether a part of the service can do its work: succeeds, or fails with why not. */
export type Check = Effect.Effect<unknown, unknown>

/** What a route tells the hooks about itself. */
export interface RouteRules {
  readonly access: "public" | "token"
  readonly mode: BodyMode
  readonly bodyBytes: number | undefined
  readonly formatError: FormatError | undefined
}

/** What the plugin keeps about the scope it is installed in. */
export interface Kit {
  readonly options: KitOptions
  readonly described: Array<Described>
  readonly checks: Map<string, Check>
  readonly metrics: HttpMetrics
  /** Runtimes of the routes, and whether somebody sees the spans made in them. */
  readonly runtimes: Map<object, { traced: boolean }>
  /** Contexts whose Effect metrics `/metrics` shows. */
  readonly contexts: Set<Context.Context<never>>
  /** Interrupts for the requests being served. */
  readonly running: Set<() => void>
  readonly principals: WeakMap<FastifyRequest, Principal>
  draining: boolean
}

/** A route as the OpenAPI document shows it. */
export interface Described {
  readonly method: string
  /** In Fastify's syntax, with the prefix. */
  readonly url: string
  readonly operation: string
  readonly summary: string | undefined
  readonly tag: string | undefined
  readonly public: boolean
  readonly params: Schema.Constraint | undefined
  readonly query: Schema.Constraint | undefined
  readonly body: Schema.Constraint | "bytes" | undefined
  readonly response: Schema.Constraint | undefined
  readonly status: number
}

/** Under which the kit is found. */
export const decorator = Symbol.for("@ashlar/core/http-kit/v1")

/** The kit of the scope. */
export const kitOf = (app: FastifyInstance): Kit => {
  if (!app.hasDecorator(decorator)) {
    throw new HttpError({
      reason: "Unavailable",
      message: "the HTTP kit is not installed here: register HttpKit.plugin before the routes",
    })
  }
  return app.getDecorator<Kit>(decorator)
}

/** The rules of the route a request matched. */
export const rulesOf = (request: FastifyRequest): RouteRules | undefined =>
  (request.routeOptions.config as { readonly ashlar?: RouteRules }).ashlar

/** Adds a named check to `/health/ready`. */
export const addCheck = (app: FastifyInstance, name: string, check: Check): void => {
  kitOf(app).checks.set(name, check)
}

/** The caller of a request, once authenticated. */
export const principalOf = (app: FastifyInstance, request: FastifyRequest): Principal | undefined =>
  kitOf(app).principals.get(request)
