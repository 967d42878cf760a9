import { inspect } from "node:util"
import { Auth, Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Tokens from "@ashlar/core/tokens"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { sql } from "kysely"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as AuthSuite from "../src/testing/AuthSuite.ts"
import { testPostgres, type TestPostgres } from "./support/postgres.ts"

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres()
})
afterAll(() => server?.[Symbol.asyncDispose]())

const sqlite = Sqlite.layer({ file: ":memory:" })
const postgres = Layer.unwrap(
  Effect.sync(() => Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "" })),
)
AuthSuite.run("tokens on sqlite", Layer.provide(Tokens.layer(), sqlite))
AuthSuite.run("tokens on sqlite, not cached", Layer.provide(Tokens.layer({ cacheMs: 0 }), sqlite))
AuthSuite.run("tokens on postgres", Layer.provide(Tokens.layer(), postgres))
AuthSuite.suite.verifyBroken()

/** Reads answer later than they read. */
const slowReads = Effect.map(Database.Database, (db) =>
  Database.Database.of({
    ...db,
    prepare: (...given) => {
      const read = db.prepare(...given)
      return (...parameters) => Effect.tap(read(...parameters), Effect.sleep(50))
    },
  }),
)

describe("tokens", () => {
  it("stores no secret", async () => {
    const program = Effect.gen(function* () {
      const auth = yield* Auth.Auth
      const db = yield* Database.Database
      const scopes = [{ project: "*", verb: "read" }] as const
      const { token } = yield* auth.createToken({ principal: "ada", scopes })
      const secret = Redacted.value(token).slice(21)
      const [row] = yield* db.all(sql<Record<string, unknown>>`select * from ashlar_token`)
      const bytes = Object.values(row ?? {}).map((v) =>
        v instanceof Uint8Array ? Buffer.from(v).toString("latin1") : String(v),
      )
      return { secret, stored: bytes.join("\n"), shown: JSON.stringify(token) + inspect(token) }
    })
    const layer = Layer.provideMerge(Tokens.layer(), sqlite)
    const { secret, stored, shown } = await Effect.runPromise(Effect.provide(program, layer))
    expect(secret).toHaveLength(43)
    expect(stored).not.toContain(secret)
    expect(stored).not.toContain(Buffer.from(secret, "base64url").toString("latin1"))
    expect(shown).not.toContain(secret)
  })

  it("remembers nothing it read before a revocation", async () => {
    const program = Effect.gen(function* () {
      const auth = yield* Auth.Auth
      const scopes = [{ project: "*", verb: "read" }] as const
      const { id, token } = yield* auth.createToken({ principal: "ada", scopes })
      yield* Effect.all([auth.verify(token), auth.revoke(id)], { concurrency: 2 })
      return yield* Effect.flip(auth.verify(token))
    })
    const layer = Layer.provide(Tokens.layer(), Layer.effect(Database.Database, slowReads))
    const error = await Effect.runPromise(Effect.provide(program, Layer.provide(layer, sqlite)))
    expect(error.message).toContain("was revoked")
  })

  it("lets a verb cover the ones before it, on its project only", () => {
    const principal = { name: "ada", scopes: [{ project: "fraud", verb: "write" as const }] }
    expect(Auth.allows(principal, "read", "fraud")).toBe(true)
    expect(Auth.allows(principal, "write", "fraud")).toBe(true)
    expect(Auth.allows(principal, "admin", "fraud")).toBe(false)
    expect(Auth.allows(principal, "read", "churn")).toBe(false)
  })
})
