import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { RegistryError } from "../../RegistryError.ts"
import type { Store } from "../store.ts"

/** What a signed URL lets its holder do. */
export const Grant = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("get"), path: Schema.String, digest: Schema.String }),
  Schema.Struct({ kind: Schema.Literal("put"), path: Schema.String }),
  Schema.Struct({ kind: Schema.Literal("part"), upload: Schema.String, part: Schema.Int }),
])

/** What a signed URL lets its holder do. */
export type Grant = typeof Grant.Type

/** Signs grants with the registry's own secret, which all its processes share. */
export interface Signing {
  /** A token that is good for so many seconds. */
  readonly sign: (grant: Grant, expiresSeconds: number) => string
  readonly verify: (token: string) => Effect.Effect<Grant, RegistryError>
}

const decode = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ grant: Grant, expires: Schema.Int })),
)

const refused = (message: string) =>
  Effect.fail(new RegistryError({ reason: "PermissionDenied", field: "token", message }))

const makeSigning = (secret: Buffer): Signing => {
  const macOf = (text: string) => createHmac("sha256", secret).update(text).digest()
  return {
    sign: (grant, expiresSeconds) => {
      const expires = Math.floor(Date.now() / 1000) + expiresSeconds
      const text = Buffer.from(JSON.stringify({ grant, expires })).toString("base64url")
      return `${text}.${macOf(text).toString("base64url")}`
    },
    verify: (token) =>
      Effect.suspend(() => {
        const [text = "", given = ""] = token.split(".", 2)
        const mac = Buffer.from(given, "base64url")
        const expected = macOf(text)
        const isOurs = mac.length === expected.length && timingSafeEqual(mac, expected)
        const claims = decode(Buffer.from(text, "base64url").toString("utf8"))
        if (!isOurs || Option.isNone(claims)) {
          return refused("this URL was not signed by this registry: ask for another")
        }
        return claims.value.expires * 1000 < Date.now()
          ? refused("this URL has expired: ask for another")
          : Effect.succeed(claims.value.grant)
      }),
  }
}

/** Opens the secret of a store, and makes one where there is none. */
export const make: (store: Store) => Effect.Effect<Signing, Database.DatabaseError> =
  Effect.fnUntraced(function* ({ db, build }) {
    const query = build.selectFrom("registry_signing").select("secret").where("id", "=", 1)
    const known = yield* db.first(query)
    if (known === undefined) {
      yield* db.run(
        build
          .insertInto("registry_signing")
          .values({ id: 1, secret: randomBytes(32).toString("hex") })
          .onConflict((c) => c.column("id").doNothing()),
      )
    }
    const row = known ?? (yield* db.first(query))
    if (row === undefined) return yield* Effect.die("the registry's secret was removed")
    return makeSigning(Buffer.from(row.secret, "hex"))
  })
