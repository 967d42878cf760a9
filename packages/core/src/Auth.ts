/**
 * SPI: who is calling, and what they may do. Backend: the Database.
 *
 * A token reads `ash_<id>_<secret>`; only a digest of the secret is stored, and tokens are compared
 * in constant time.
 *
 * @module
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Failure from "./Failure.ts"
import { Name } from "./Name.ts"
import { Timestamp } from "./Timestamp.ts"

/** A caller could not be recognised, or may not do this. */
export class AuthError extends Schema.TaggedError<AuthError>()(
  "AuthError",
  Failure.fields([
    "InvalidInput",
    "Unauthenticated",
    "PermissionDenied",
    "NotFound",
    "Unavailable",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** What a scope lets its holder do; each verb includes the ones before it. */
export const Verb = Schema.Literals(["read", "write", "admin"])

/** What a scope lets its holder do. */
export type Verb = typeof Verb.Type

/** Schema of a scope: a verb on one project, or on `*`. */
export const Scope = Schema.Struct({
  project: Schema.Union([Name, Schema.Literal("*")]),
  verb: Verb,
})

/** A verb on a project. */
export type Scope = typeof Scope.Type

/** Schema of a caller. */
export const Principal = Schema.Struct({
  name: Schema.NonEmptyString,
  scopes: Schema.Array(Scope),
  tokenId: Schema.optionalKey(Schema.String),
})

/** A recognised caller. */
export type Principal = typeof Principal.Type

/** A token as listed: everything but the secret. */
export interface TokenInfo {
  readonly id: string
  readonly principal: string
  readonly scopes: ReadonlyArray<Scope>
  readonly created: Timestamp
  readonly expires?: Timestamp
  readonly revoked?: Timestamp
}

/** Issues, recognises and revokes tokens. */
export class Auth extends Context.Service<
  Auth,
  {
    /** Makes a token; its text is returned once and cannot be read again. */
    readonly createToken: (request: {
      readonly principal: string
      readonly scopes: ReadonlyArray<Scope>
      readonly expires?: Timestamp
    }) => Effect.Effect<TokenInfo & { readonly token: Redacted.Redacted<string> }, AuthError>
    readonly verify: (token: Redacted.Redacted<string>) => Effect.Effect<Principal, AuthError>
    readonly revoke: (tokenId: string) => Effect.Effect<void, AuthError>
    readonly list: Effect.Effect<ReadonlyArray<TokenInfo>, AuthError>
  }
>()("@ashlar/core/Auth/v1") {}

const rank: Readonly<Record<Verb, number>> = { read: 0, write: 1, admin: 2 }

/** True when one of the principal's scopes covers the verb on the project. */
export const allows = (principal: Principal, verb: Verb, project: string): boolean =>
  principal.scopes.some(
    (scope) =>
      (scope.project === "*" || scope.project === project) && rank[scope.verb] >= rank[verb],
  )
