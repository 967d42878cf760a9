import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { expect, it } from "vitest"
import { Auth } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import { Facade } from "@ashlar/core/promise"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Tokens from "@ashlar/core/tokens"

it("real tokens open the door, and close it once revoked; through the Promise face too", async () => {
  const layer = Layer.provide(Tokens.layer({ cacheMs: 0 }), Sqlite.layer({ file: ":memory:" }))
  await using auth = await Facade.make(Auth.Auth, layer)
  const created = await auth.createToken({
    principal: "ada",
    scopes: [{ project: "fraud", verb: "write" }],
  })
  const effects = ManagedRuntime.make(Layer.empty)
  await using server = await HttpKit.makeServer({
    auth,
    drain: { onSignals: false },
    register: (app) => {
      HttpKit.route(app, effects, {
        method: "GET",
        url: "/projects/:project",
        operation: "getProject",
        access: {
          verb: "read",
          project: ({ request }) => (request.params as { readonly project: string }).project,
        },
        handler: ({ principal }) => Effect.succeed({ caller: principal.name }),
      })
    },
  })
  const token = Redacted.value(created.token)
  const ask = (project: string, authorization: string) =>
    fetch(`${server.url}/projects/${project}`, { headers: { authorization } })
  const basic = Buffer.from(`token:${token}`).toString("base64")
  expect(await (await ask("fraud", `Bearer ${token}`)).json()).toEqual({ caller: "ada" })
  expect((await ask("fraud", `Basic ${basic}`)).status).toBe(200)
  expect((await ask("other", `Bearer ${token}`)).status).toBe(403)
  expect((await ask("fraud", `Bearer ${token.slice(0, -1)}x`)).status).toBe(401)
  await auth.revoke(created.id)
  expect((await ask("fraud", `Bearer ${token}`)).status).toBe(401)
})
