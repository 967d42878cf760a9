import * as Outbox from "@ashlar/core/outbox"
import * as Postgres from "@ashlar/core/postgres"
import * as Tokens from "@ashlar/core/tokens"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, beforeAll } from "vitest"
import * as AuthSuite from "../../src/testing/AuthSuite.ts"
import * as DatabaseSuite from "../../src/testing/DatabaseSuite.ts"
import * as EventsSuite from "../../src/testing/EventsSuite.ts"
import { testPostgres, type TestPostgres } from "../support/postgres.ts"

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres()
})
afterAll(() => server?.[Symbol.asyncDispose]())

const pool = (poolSize: number) =>
  Layer.unwrap(
    Effect.sync(() =>
      Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "", poolSize }),
    ),
  )

// With one connection, whatever needs a second one while it holds the first would wait for ever.
DatabaseSuite.run("postgres with one connection", pool(1))
DatabaseSuite.run("postgres with many connections", pool(20))
EventsSuite.run("outbox on postgres", Layer.provide(Outbox.layer({ pollMs: 50 }), pool(1)))
AuthSuite.run("tokens on postgres", Layer.provide(Tokens.layer(), pool(1)))
