import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import { afterAll, describe, expect, it } from "vitest"
import { Auth } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"

const runtime = ManagedRuntime.make(Layer.empty)
afterAll(() => runtime.dispose())

const echo = (auth: HttpKit.KitOptions["auth"] = "off-on-loopback") =>
  HttpKit.makeServer({
    auth,
    drain: { onSignals: false },
    register: (app) =>
      HttpKit.route(app, runtime, {
        method: "POST",
        url: "/echo",
        operation: "echo",
        access: { verb: "read" },
        body: Schema.Json,
        handler: ({ body }) => Effect.succeed(HttpKit.reply(JSON.stringify(body))),
      }),
  })

const post = async (server: HttpKit.Server, body: string, signal?: AbortSignal) => {
  const headers = { "content-type": "application/json", authorization: "Bearer x" }
  const init = { method: "POST", headers, body, ...(signal === undefined ? {} : { signal }) }
  const response = await fetch(`${server.url}/echo`, init)
  return { status: response.status, text: await response.text() }
}

describe("a JSON body", () => {
  it("of half a million numbers and an escape is taken", async () => {
    await using server = await echo()
    const body = JSON.stringify({ x: Array.from({ length: 500_000 }, (_, i) => i), t: "\u0001" })
    expect(await post(server, body)).toEqual({ status: 200, text: body })
  })

  it.each(["[", '{"a":', '[{"]]]]":'])(
    "nested too deep with %s is the caller's fault",
    async (open) => {
      await using server = await echo()
      const close = open.startsWith("[") ? (open.length > 1 ? "}]" : "]") : "}"
      for (const depth of [1000, 100_000]) {
        const body = `${open.repeat(depth)}1${close.repeat(depth)}`
        const { status, text } = await post(server, body)
        expect([status, text]).toEqual([400, expect.stringContaining("deeper than 128 levels")])
      }
      const fine = `${open.repeat(60)}1${close.repeat(60)}`
      expect(await post(server, fine)).toEqual({ status: 200, text: fine })
    },
  )

  it("may spell brackets in its strings", async () => {
    await using server = await echo()
    const body = JSON.stringify(["[".repeat(1000), `${"\\".repeat(7)}"${"{".repeat(1000)}`])
    expect(await post(server, body)).toEqual({ status: 200, text: body })
  })
})

describe("a caller", () => {
  it("is not taken for an attacker while the token database is down", async () => {
    const down = new Auth.AuthError({ reason: "Unavailable", message: "the database is down" })
    await using server = await echo({ verify: () => Effect.fail(down) })
    for (let i = 0; i < 40; i++) expect((await post(server, "1")).status).toBe(503)
  })

  it("who left while it was being recognised is not served", async () => {
    const log: Array<string> = []
    const handler = () =>
      Effect.onInterrupt(
        Effect.andThen(
          Effect.sync(() => log.push("started")),
          Effect.never,
        ),
        () => Effect.sync(() => log.push("interrupted")),
      )
    const principal = { name: "ada", scopes: [{ project: "*", verb: "read" }] } as const
    await using server = await HttpKit.makeServer({
      auth: { verify: () => Effect.as(Effect.sleep(150), principal) },
      drain: { onSignals: false, graceMs: 10 },
      register: (app) =>
        HttpKit.route(app, runtime, {
          method: "GET",
          url: "/echo",
          operation: "wait",
          access: { verb: "read" },
          handler,
        }),
    })
    const leaving = fetch(`${server.url}/echo`, {
      headers: { authorization: "Bearer x" },
      signal: AbortSignal.timeout(50),
    })
    await expect(leaving).rejects.toThrow("timeout")
    await sleep(300)
    expect(log.filter((entry) => entry === "started")).toHaveLength(
      log.filter((entry) => entry === "interrupted").length,
    )
  })
})
