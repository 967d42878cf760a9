/**
 * The HTTP kit: what every module's Fastify plugin has in common. Import it as a namespace:
 * `import * as HttpKit from "@ashlar/core/fastify"`.
 *
 * `plugin` gives a scope authentication, request ids, limits, error mapping, `/health/live`,
 * `/health/ready`, `/metrics` and `/openapi.json`; `route` adds a route whose handler is an effect;
 * `makeServer` starts a server and drains it on SIGTERM.
 *
 * @module
 */
export type { AuthOption, Recognizer, Verifier } from "./internal/http/authenticate.ts"
export {
  type ErrorReply,
  type FormatError,
  HttpError,
  type HttpFailure,
  type Issue,
} from "./internal/http/HttpError.ts"
export { addCheck, type Check, type KitOptions, principalOf } from "./internal/http/Kit.ts"
export type { Rate } from "./internal/http/limits.ts"
export { plugin } from "./internal/http/plugin.ts"
export { reply, type Reply } from "./internal/http/Reply.ts"
export { type Access, type Input, route, type Route } from "./internal/http/route.ts"
export { makeServer, type Server, type ServerOptions } from "./internal/http/server.ts"
