/**
 * Auth in the Database: API tokens `ash_<id>_<secret>`.
 *
 * The secret is 32 random bytes. Its SHA-256 is stored: slow password hashes protect secrets that
 * can be guessed, and 256 random bits cannot; a slow hash would only cost every request.
 *
 * @module
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Auth, AuthError, Principal, Scope, type TokenInfo } from "./Auth.ts"
import { Database, type DatabaseError, type Migration } from "./Database.ts"
import { Lru } from "./internal/database/Lru.ts"
import { now, Timestamp } from "./Timestamp.ts"

/** How tokens are checked. */
export interface TokensOptions {
  /** How long a token read from the database counts, so how late a revocation made by another process is seen. Default 5000, 0 for never cached. */
  readonly cacheMs?: number
}

interface Row {
  readonly id: string
  readonly principal: string
  readonly scopes: string
  readonly digest: Uint8Array
  readonly created: number
  readonly expires: number | null
  readonly revoked: number | null
}

interface Tables {
  readonly ashlar_token: Row
}

const migrations: ReadonlyArray<Migration> = [
  {
    id: "0001-tokens",
    up: (build) => [
      build.schema
        .createTable("ashlar_token")
        .addColumn("id", "text", (c) => c.primaryKey())
        .addColumn("principal", "text", (c) => c.notNull())
        .addColumn("scopes", "text", (c) => c.notNull())
        .addColumn("digest", "blob", (c) => c.notNull())
        .addColumn("created", "bigint", (c) => c.notNull())
        .addColumn("expires", "bigint")
        .addColumn("revoked", "bigint"),
    ],
  },
]

const Scopes = Schema.Array(Scope)
const decodeScopes = Schema.decodeUnknownSync(Scopes)
const decodeRequest = Schema.decodeUnknownExit(
  Schema.Struct({
    principal: Schema.String.check(
      Schema.makeFilter(
        (name: string) =>
          (name.trim() !== "" && name.length <= 256) || "a principal has 1 to 256 characters",
      ),
    ),
    scopes: Scopes.check(
      Schema.makeFilter(
        (scopes: ReadonlyArray<Scope>) =>
          (scopes.length >= 1 && scopes.length <= 100) || "a token has 1 to 100 scopes",
      ),
    ),
    expires: Schema.optionalKey(Timestamp),
  }),
)

const tokenPattern = /^ash_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/

const digestOf = (secret: string): Buffer => createHash("sha256").update(secret).digest()

/** Compared with when the token is unknown, so that this takes as long. */
const nobody = digestOf("")

const fromDatabase = (error: DatabaseError): AuthError =>
  new AuthError({
    reason:
      error.reason === "Unavailable" || error.reason === "Timeout" || error.reason === "Conflict"
        ? "Unavailable"
        : "Internal",
    message: `The token database failed. ${error.message}`,
    cause: error,
  })

const unauthenticated = (message: string) => new AuthError({ reason: "Unauthenticated", message })

const infoOf = (row: Row): TokenInfo => ({
  id: row.id,
  principal: row.principal,
  scopes: decodeScopes(JSON.parse(row.scopes)),
  created: row.created,
  ...(row.expires === null ? {} : { expires: row.expires }),
  ...(row.revoked === null ? {} : { revoked: row.revoked }),
})

/** Makes the table and the service. */
export const make = Effect.fnUntraced(function* (options: TokensOptions = {}) {
  const db = yield* Database
  const cacheMs = options.cacheMs ?? 5000
  yield* Effect.mapError(db.migrate("ashlar.tokens", migrations), fromDatabase)
  const build = db.build<Tables>()
  const cache = new Lru<string, { readonly row: Row; readonly until: number }>(1000)
  let revocations = 0

  const select = db.prepare<Tables, readonly [string], Row>(
    (b, [id]) => b.selectFrom("ashlar_token").selectAll().where("id", "=", id),
    1,
  )

  const lookup = (id: string): Effect.Effect<Row | undefined, AuthError> =>
    Effect.suspend(() => {
      const cached = cache.get(id)
      if (cached !== undefined && cached.until > Date.now()) return Effect.succeed(cached.row)
      const before = revocations
      return Effect.map(Effect.mapError(select(id), fromDatabase), ([row]) => {
        // What was read before a revocation must not outlive it.
        if (row !== undefined && cacheMs > 0 && before === revocations) {
          cache.set(id, { row, until: Date.now() + cacheMs })
        }
        return row
      })
    })

  const check = (row: Row | undefined, secret: string): Effect.Effect<Principal, AuthError> => {
    const same = timingSafeEqual(digestOf(secret), row?.digest ?? nobody)
    if (row === undefined || !same) {
      return Effect.fail(
        unauthenticated("This token is not known here. Use one that was issued for this server."),
      )
    }
    if (row.revoked !== null) {
      return Effect.fail(unauthenticated(`Token ${row.id} was revoked. Ask for a new one.`))
    }
    if (row.expires !== null && row.expires <= now()) {
      return Effect.fail(unauthenticated(`Token ${row.id} has expired. Ask for a new one.`))
    }
    const { principal, scopes } = infoOf(row)
    return Effect.succeed({ name: principal, scopes, tokenId: row.id })
  }

  return Auth.of({
    createToken: (request) =>
      Effect.suspend(() => {
        const decoded = decodeRequest(request)
        if (Exit.isFailure(decoded)) {
          return Effect.fail(
            new AuthError({
              reason: "InvalidInput",
              message: `A token needs a principal and scopes such as { project: "*", verb: "read" }. ${String(decoded.cause)}`,
            }),
          )
        }
        const { principal, scopes, expires } = decoded.value
        const created = now()
        if (expires !== undefined && expires <= created) {
          return Effect.fail(
            new AuthError({
              reason: "InvalidInput",
              message: "expires lies in the past. Give a later time in microseconds, or none.",
              field: "expires",
            }),
          )
        }
        const id = randomBytes(8).toString("hex")
        const secret = randomBytes(32).toString("base64url")
        const row: Row = {
          id,
          principal,
          scopes: JSON.stringify(scopes),
          digest: digestOf(secret),
          created,
          expires: expires ?? null,
          revoked: null,
        }
        return Effect.mapBoth(db.run(build.insertInto("ashlar_token").values(row)), {
          onFailure: fromDatabase,
          onSuccess: () => ({ ...infoOf(row), token: Redacted.make(`ash_${id}_${secret}`) }),
        })
      }),
    verify: (token) =>
      Effect.suspend(() => {
        const [, id, secret] = tokenPattern.exec(Redacted.value(token)) ?? []
        return id === undefined || secret === undefined
          ? Effect.fail(
              unauthenticated("This is no token. A token reads ash_<id>_<secret>; send it whole."),
            )
          : Effect.flatMap(lookup(id), (row) => check(row, secret))
      }),
    revoke: (tokenId) =>
      Effect.gen(function* () {
        const { rows } = yield* Effect.mapError(
          db.run(
            build
              .updateTable("ashlar_token")
              .set((e) => ({ revoked: e.fn.coalesce("revoked", e.val(now())) }))
              .where("id", "=", tokenId),
          ),
          fromDatabase,
        )
        revocations++
        cache.clear()
        if (rows === 0) {
          return yield* new AuthError({
            reason: "NotFound",
            message: `There is no token '${tokenId}'. Look its id up in the list.`,
            field: "tokenId",
          })
        }
      }),
    list: Effect.mapBoth(
      Effect.suspend(() =>
        db.all(build.selectFrom("ashlar_token").selectAll().orderBy("created").orderBy("id")),
      ),
      { onFailure: fromDatabase, onSuccess: (rows) => rows.map(infoOf) },
    ),
  })
})

/**
 * Auth with tokens in the Database.
 *
 * @example
 * ```ts
 * import { Auth } from "@ashlar/core"
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import * as Tokens from "@ashlar/core/tokens"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = Effect.gen(function* () {
 *   const auth = yield* Auth.Auth
 *   const scopes = [{ project: "fraud", verb: "write" }] as const
 *   const { token } = yield* auth.createToken({ principal: "ada", scopes })
 *   const caller = yield* auth.verify(token)
 *   return [caller.name, Auth.allows(caller, "read", "fraud"), Auth.allows(caller, "read", "other")]
 * })
 * const layer = Layer.provide(Tokens.layer(), Sqlite.layer({ file: ":memory:" }))
 *
 * await Effect.runPromise(Effect.provide(program, layer)) // => ["ada", true, false]
 * ```
 */
export const layer = (options: TokensOptions = {}): Layer.Layer<Auth, AuthError, Database> =>
  Layer.effect(Auth, make(options))

/** `ASHLAR_AUTH_CACHE_MS` of the environment. */
export const config: Config.Config<TokensOptions> = Config.all({
  cacheMs: Config.Int("ASHLAR_AUTH_CACHE_MS").pipe(Config.withDefault(5000)),
})

/** {@link layer} with options from configuration. */
export const layerConfig = (
  options: Config.Wrap<TokensOptions> = config,
): Layer.Layer<Auth, AuthError | Config.ConfigError, Database> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
