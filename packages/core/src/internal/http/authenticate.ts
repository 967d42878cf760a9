import { isIP } from "node:net"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { FastifyRequest } from "fastify"
import { allows, AuthError, type Principal, type Verb } from "../../Auth.ts"

/** Recognises tokens: the `Auth` service, or its Promise face. */
export interface Verifier {
  readonly verify: (
    token: Redacted.Redacted<string>,
  ) => Effect.Effect<Principal, unknown> | Promise<Principal>
}

/** Recognises callers in another way: the host application's own sessions, say. */
export interface Recognizer {
  readonly principalOf: (request: FastifyRequest) => Principal | Promise<Principal>
}

/**
 * How callers are recognised. `off-on-loopback` lets everybody on this machine do everything, and
 * refuses requests that come from elsewhere or from a web page of another origin.
 */
export type AuthOption = Verifier | Recognizer | "off-on-loopback"

/** Who a caller is when authentication is off. */
export const local: Principal = { name: "local", scopes: [{ project: "*", verb: "admin" }] }

/** The challenge of a 401. */
export const challenge = 'Bearer realm="ashlar", Basic realm="ashlar", charset="UTF-8"'

/** True for addresses and names that only this machine answers to. */
export const isLoopback = (host: string): boolean => {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase()
  if (name === "localhost" || name === "::1") return true
  const v4 = name.startsWith("::ffff:") ? name.slice(7) : name
  return isIP(v4) === 4 && v4.startsWith("127.")
}

const hostOf = (authority: string): string => {
  try {
    return new URL(`http://${authority}`).hostname
  } catch {
    return authority
  }
}

const denied = (message: string) => new AuthError({ reason: "PermissionDenied", message })

/** Why a request may not use a server without authentication; `undefined` when it may. */
const strangerOf = (request: FastifyRequest): string | undefined => {
  const address = request.socket.localAddress
  if (address !== undefined && !isLoopback(address)) {
    return `it came in through ${address}`
  }
  // A page elsewhere can point a name at 127.0.0.1, or post to it from the user's browser.
  const host = request.headers.host
  if (host !== undefined && !isLoopback(hostOf(host))) return `it names the host "${host}"`
  const origin = request.headers.origin
  if (origin !== undefined && (!URL.canParse(origin) || !isLoopback(new URL(origin).hostname))) {
    return `it was sent by a page of "${origin}"`
  }
  return undefined
}

const unauthenticated = (message: string) => new AuthError({ reason: "Unauthenticated", message })

/** The token of `Authorization: Bearer <token>` or `Basic base64(<anything>:<token>)`. */
const tokenOf = (header: string | undefined): Redacted.Redacted<string> => {
  if (header === undefined) {
    throw unauthenticated("this needs a token: send the header 'Authorization: Bearer <token>'")
  }
  const match = /^(bearer|basic) +([A-Za-z0-9._~+/=-]{1,4096})$/i.exec(header)
  const [, scheme, credentials] = match ?? []
  if (scheme === undefined || credentials === undefined) {
    throw unauthenticated(
      "the Authorization header is not understood: send 'Bearer <token>', or 'Basic' with the token as password",
    )
  }
  if (scheme.toLowerCase() === "bearer") return Redacted.make(credentials)
  const decoded = Buffer.from(credentials, "base64").toString("utf8")
  return Redacted.make(decoded.slice(decoded.indexOf(":") + 1))
}

/** Who sent the request. Rejects with an `AuthError`. */
export const authenticate = async (
  auth: AuthOption,
  request: FastifyRequest,
): Promise<Principal> => {
  if (auth === "off-on-loopback") {
    const stranger = strangerOf(request)
    if (stranger === undefined) return local
    throw denied(
      `authentication is off, so only this machine is served, and this request is not from it (${stranger}); turn authentication on`,
    )
  }
  if ("principalOf" in auth) return auth.principalOf(request)
  const verified = auth.verify(tokenOf(request.headers.authorization))
  return Effect.isEffect(verified) ? Effect.runPromise(verified) : verified
}

/** Throws unless the caller may do this on the project (on some project, when none is given). */
export const authorize = (principal: Principal, verb: Verb, project: string | undefined): void => {
  const may =
    project === undefined
      ? principal.scopes.some((scope) => allows(principal, verb, scope.project))
      : allows(principal, verb, project)
  if (may) return
  const where = project === undefined ? "any project" : `project "${project}"`
  throw denied(
    `"${principal.name}" may not ${verb} on ${where}; ask for a token with the scope ${verb} on it`,
  )
}
