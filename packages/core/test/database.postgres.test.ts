import * as Postgres from "@ashlar/core/postgres"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { afterAll, beforeAll } from "vitest"
import * as DatabaseSuite from "../src/testing/DatabaseSuite.ts"
import { testPostgres, type TestPostgres } from "./support/postgres.ts"

let server: TestPostgres | undefined
beforeAll(async () => {
  server = await testPostgres()
})
afterAll(() => server?.[Symbol.asyncDispose]())

DatabaseSuite.run(
  "postgres",
  Layer.unwrap(
    Effect.sync(() =>
      Postgres.layer({ url: server?.url ?? "", schema: server?.schema ?? "", poolSize: 4 }),
    ),
  ),
)
