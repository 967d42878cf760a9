import { connect, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { afterAll, describe, expect, it } from "vitest"
import * as HttpKit from "@ashlar/core/fastify"

const runtime = ManagedRuntime.make(Layer.empty)
afterAll(() => runtime.dispose())

/** Waits 200 ms for bytes. */
const serve = () =>
  HttpKit.makeServer({
    auth: "off-on-loopback",
    limits: { bodyTimeoutMs: 200 },
    drain: { onSignals: false, graceMs: 10 },
    register: (app) => {
      const common = { method: "POST", access: { verb: "read" } } as const
      HttpKit.route(app, runtime, {
        ...common,
        url: "/json",
        operation: "json",
        body: Schema.Json,
        handler: ({ body }) => Effect.succeed(HttpKit.reply(JSON.stringify(body))),
      })
      HttpKit.route(app, runtime, {
        ...common,
        url: "/stream",
        operation: "stream",
        body: "stream",
        handler: ({ body }) =>
          Effect.map(
            Stream.runFold(
              body,
              () => 0,
              (sum, chunk) => sum + chunk.length,
            ),
            (bytes) => ({ bytes }),
          ),
      })
    },
  })

const open = async (server: HttpKit.Server, url: string, length: number) => {
  const got: Array<string> = []
  const socket: Socket = connect(Number(new URL(server.url).port), "127.0.0.1")
  socket.on("data", (chunk) => got.push(String(chunk)))
  socket.on("error", () => undefined)
  const closed = new Promise<string>((resolve) => {
    socket.on("close", () => resolve(got.join("")))
  })
  socket.write(
    `POST ${url} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`,
  )
  return { socket, closed }
}

describe("a body that comes slowly", () => {
  it.each(["/json", "/stream"])("is not waited for when nothing of it comes to %s", async (url) => {
    await using server = await serve()
    const { closed } = await open(server, url, 10)
    expect(await closed).not.toContain("200 OK")
  })

  it("is taken as a stream for as long as bytes come, however long that is", async () => {
    await using server = await serve()
    const { socket, closed } = await open(server, "/stream", 10)
    for (let i = 0; i < 10; i++) {
      socket.write("x")
      await sleep(60)
    }
    const answer = await closed
    expect(answer).toContain("200 OK")
    expect(answer).toContain('{"bytes":10}')
  })

  it("has to be there in time when it is kept in memory", async () => {
    await using server = await serve()
    const { socket, closed } = await open(server, "/json", 10)
    let isOpen = true
    const ended = closed.then((answer) => {
      isOpen = false
      return answer
    })
    for (let i = 0; i < 10 && isOpen; i++) {
      socket.write("1")
      await sleep(60)
    }
    expect(await ended).not.toContain("200 OK")
  })
})
