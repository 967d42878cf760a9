import { connect } from "node:net"
import { type IncomingMessage, request as httpRequest } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { FastifyInstance } from "fastify"
import Fastify from "fastify"
import { afterEach, describe, expect, it } from "vitest"
import { Auth, BlobStore } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"

const log: Array<string> = []
const logged: Array<string> = []
const logger = Logger.map(Logger.formatLogFmt, (line) => void logged.push(line))
const runtime = ManagedRuntime.make(Logger.layer([logger]))
const opened: Array<AsyncDisposable> = []

afterEach(async () => {
  log.length = 0
  for (const each of opened.splice(0)) await each[Symbol.asyncDispose]()
})

const principals: Readonly<Record<string, Auth.Principal>> = {
  reader: { name: "reader", scopes: [{ project: "blue", verb: "read" }] },
  writer: { name: "writer", scopes: [{ project: "blue", verb: "write" }] },
}

const auth = {
  verify: (token: Redacted.Redacted<string>) => {
    const principal = principals[Redacted.value(token)]
    return principal === undefined
      ? Effect.fail(new Auth.AuthError({ reason: "Unauthenticated", message: "no such token" }))
      : Effect.succeed(principal)
  },
}

const counted = Metric.counter("fastify_test_things_total")

const routes = (app: FastifyInstance) => {
  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/projects/:project/things/:id",
    operation: "putThing",
    summary: "Stores a thing",
    access: { verb: "write", project: ({ params }) => params.project },
    params: Schema.Struct({ project: Schema.String, id: Schema.FiniteFromString }),
    query: Schema.Struct({ dry: Schema.optionalKey(Schema.Literals(["yes", "no"])) }),
    body: Schema.Struct({ name: Schema.String, tags: Schema.Array(Schema.Int) }),
    response: Schema.Struct({ id: Schema.FiniteFromString, tags: Schema.Int }),
    status: 201,
    handler: ({ params, body }) => Effect.succeed({ id: params.id, tags: body.tags.length }),
  })
  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/whoami",
    operation: "whoAmI",
    access: { verb: "read" },
    handler: ({ principal }) => Effect.succeed({ name: principal.name }),
  })
  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/fail/:reason",
    operation: "fail",
    access: "public",
    params: Schema.Struct({ reason: Schema.Literals(["NotFound", "Unavailable", "Internal"]) }),
    handler: ({ params }) =>
      Effect.fail(
        new BlobStore.BlobStoreError({ reason: params.reason, message: "secret detail" }),
      ),
  })
  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/bug",
    operation: "bug",
    access: "public",
    handler: () => Effect.die(new Error("password=hunter2")),
  })
  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/slow",
    operation: "slow",
    access: "public",
    timeoutMs: 150,
    handler: () =>
      Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => log.push("interrupted")))),
  })
  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/bytes",
    operation: "bytes",
    access: "public",
    body: "bytes",
    bodyBytes: 64,
    handler: ({ body }) => Effect.succeed({ size: body.length }),
  })
  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/echo",
    operation: "echo",
    access: "public",
    body: "stream",
    bodyBytes: 1024 * 1024,
    handler: ({ body }) =>
      Effect.succeed(HttpKit.reply(body, { headers: { "content-type": "application/x-thing" } })),
  })
  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/missing-stream",
    operation: "missingStream",
    access: "public",
    handler: () =>
      Effect.succeed(
        HttpKit.reply(
          Stream.fail(new BlobStore.BlobStoreError({ reason: "NotFound", message: "no blob" })),
        ),
      ),
  })
  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/protocol",
    operation: "protocol",
    access: "public",
    formatError: (failure) => ({
      body: { error_code: failure.reason, message: failure.message },
      headers: { "x-protocol": "1" },
    }),
    handler: () =>
      Effect.fail(new BlobStore.BlobStoreError({ reason: "NotFound", message: "nothing here" })),
  })
  HttpKit.route(app, runtime, {
    method: "DELETE",
    url: "/nothing",
    operation: "nothing",
    access: "public",
    handler: () => Metric.update(counted, 2),
  })
}

const start = async (options: Partial<HttpKit.ServerOptions> = {}): Promise<HttpKit.Server> => {
  const server = await HttpKit.makeServer({
    auth,
    register: routes,
    drain: { onSignals: false },
    ...options,
  })
  opened.push(server)
  return server
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const json = { "content-type": "application/json" }
const call = (server: HttpKit.Server, path: string, init: RequestInit = {}) =>
  fetch(`${server.url}${path}`, init)

describe("requests", () => {
  it("are decoded, handled and encoded by their schemas", async () => {
    const server = await start()
    const response = await call(server, "/projects/blue/things/7?dry=no", {
      method: "POST",
      headers: { ...bearer("writer"), ...json },
      body: JSON.stringify({ name: "a", tags: [1, 2] }),
    })
    expect(response.status).toBe(201)
    expect(await response.json()).toEqual({ id: "7", tags: 2 })
    expect((await call(server, "/nothing", { method: "DELETE" })).status).toBe(204)
  })

  it.each([
    ["/projects/blue/things/7", { name: 1, tags: [1, "x"] }, ["body.name", "body.tags[1]"]],
    ["/projects/blue/things/7", undefined, ["body"]],
    ["/projects/blue/things/x", { name: "a", tags: [] }, ["params.id"]],
    ["/projects/blue/things/7?dry=maybe", { name: "a", tags: [] }, ["query.dry"]],
  ])("that do not fit name every field: %s", async (path, body, fields) => {
    const server = await start()
    const response = await call(server, path, {
      method: "POST",
      headers: { ...bearer("writer"), ...json },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as {
      readonly error: { readonly code: string; readonly issues: ReadonlyArray<{ field: string }> }
    }
    expect(error.code).toBe("HttpError.InvalidInput")
    expect(error.issues.map((issue) => issue.field)).toEqual(fields)
  })

  it.each([
    ["{", "application/json", 400],
    ['{"name":"a","tags":[],"__proto__":{"admin":true}}', "application/json", 400],
    ['{"name":"a","tags":[],"\\u005f_proto__":{"admin":true}}', "application/json", 400],
    ['{"name":"a","tags":[],"constructor":{"prototype":{"admin":true}}}', "application/json", 400],
    ['{"name":"a","tags":[]}', "text/plain", 400],
    ['{"name":"__proto__ and constructor","tags":[]}', "application/json", 201],
    ['{"name":"a","tags":[]}', "application/merge-patch+json", 201],
  ])("with the body %s as %s answer %i", async (body, type, status) => {
    const server = await start()
    const response = await call(server, "/projects/blue/things/7", {
      method: "POST",
      headers: { ...bearer("writer"), "content-type": type },
      body,
    })
    expect(response.status).toBe(status)
    expect(Object.hasOwn(Object.prototype, "admin")).toBe(false)
  })

  it("with broken UTF-8 or compressed JSON are refused", async () => {
    const server = await start()
    for (const [headers, body] of [
      [json, Buffer.from([0x22, 0xff, 0x22])],
      [{ ...json, "content-encoding": "gzip" }, Buffer.from("{}")],
    ] as const) {
      const response = await call(server, "/projects/blue/things/7", {
        method: "POST",
        headers: { ...bearer("writer"), ...headers },
        body,
      })
      expect(response.status).toBe(400)
    }
  })

  it("carry ids: a sane one is kept, any other replaced", async () => {
    const server = await start()
    const kept = await call(server, "/nothing", {
      method: "DELETE",
      headers: { "x-request-id": "abc-12345" },
    })
    expect(kept.headers.get("x-request-id")).toBe("abc-12345")
    const replaced = await call(server, "/bug", { headers: { "x-request-id": "a b<script>" } })
    expect(replaced.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/)
  })
})

describe("errors", () => {
  it("map to the status of their reason and hide what is internal", async () => {
    const server = await start()
    const missing = await call(server, "/fail/NotFound")
    expect(missing.status).toBe(404)
    expect(await missing.json()).toMatchObject({
      error: { code: "BlobStoreError.NotFound", message: "secret detail" },
    })
    expect((await call(server, "/fail/Unavailable")).status).toBe(503)
    const streamed = await call(server, "/missing-stream")
    expect(streamed.status).toBe(404)
    for (const path of ["/fail/Internal", "/bug"]) {
      const response = await call(server, path, { headers: { "x-request-id": "request-1" } })
      const text = await response.text()
      expect(response.status).toBe(500)
      expect(text).toContain("request-1")
      expect(text).not.toMatch(/secret|hunter2/)
    }
    // The log of the routes' own runtime has what the caller is not told.
    const mistakes = logged.filter((line) => line.includes("request-1"))
    expect(mistakes.join("\n")).toMatch(/secret detail[\s\S]*hunter2/)
  })

  it("take the shape of a protocol", async () => {
    const server = await start()
    const response = await call(server, "/protocol")
    expect(response.status).toBe(404)
    expect(response.headers.get("x-protocol")).toBe("1")
    expect(await response.json()).toEqual({ error_code: "NotFound", message: "nothing here" })
  })

  it("say what is not there, and never answer a malformed request with a 5xx", async () => {
    const server = await start()
    expect((await call(server, "/nowhere")).status).toBe(404)
    expect((await call(server, "/bug", { method: "PATCH" })).status).toBe(404)
    expect((await call(server, "/fail/%E0%A4%A")).status).toBe(400)
    expect((await call(server, "/fail/Other")).status).toBe(400)
  })
})

describe("authentication", () => {
  it("takes Bearer and Basic tokens and challenges callers without", async () => {
    const server = await start()
    const none = await call(server, "/whoami")
    expect(none.status).toBe(401)
    expect(none.headers.get("www-authenticate")).toMatch(/^Bearer .*Basic /)
    const basic = Buffer.from("anybody:reader").toString("base64")
    for (const authorization of ["Bearer reader", "bearer reader", `Basic ${basic}`]) {
      const response = await call(server, "/whoami", { headers: { authorization } })
      expect(await response.json()).toEqual({ name: "reader" })
    }
    for (const authorization of ["Bearer wrong", "Digest x", "Bearer", "Bearer a b"]) {
      expect((await call(server, "/whoami", { headers: { authorization } })).status).toBe(401)
    }
  })

  it("holds callers to their scopes", async () => {
    const server = await start()
    const put = (token: string, project: string) =>
      call(server, `/projects/${project}/things/7`, {
        method: "POST",
        headers: { ...bearer(token), ...json },
        body: '{"name":"a","tags":[]}',
      })
    expect((await put("writer", "blue")).status).toBe(201)
    expect((await put("writer", "red")).status).toBe(403)
    const denied = await put("reader", "blue")
    expect(denied.status).toBe(403)
    expect(await denied.text()).toContain('\\"reader\\" may not write on project \\"blue\\"')
  })

  it("slows down an address that keeps failing", async () => {
    const server = await start({ limits: { failedAuthRate: { perSecond: 0.1, burst: 3 } } })
    const statuses: Array<number> = []
    for (let attempt = 0; attempt < 4; attempt++) {
      statuses.push((await call(server, "/whoami", { headers: bearer(`guess${attempt}`) })).status)
    }
    expect(statuses).toEqual([401, 401, 401, 429])
  })

  it("is off only for this machine", async () => {
    await expect(start({ auth: "off-on-loopback", host: "0.0.0.0" })).rejects.toMatchObject({
      code: "HttpError.InvalidInput",
      field: "host",
    })
    const server = await start({ auth: "off-on-loopback" })
    expect(await (await call(server, "/whoami")).json()).toEqual({ name: "local" })
    const elsewhere = { origin: "https://evil.example" }
    expect((await call(server, "/whoami", { headers: elsewhere })).status).toBe(403)
    const rebound = await server.app.inject({ url: "/whoami", headers: { host: "evil.example" } })
    expect(rebound.statusCode).toBe(403)
  })

  it("covers routes of the scope that say nothing about access", async () => {
    const server = await start({
      register: (app) => {
        app.get("/plain", async () => "plain")
      },
    })
    expect((await call(server, "/plain")).status).toBe(401)
    expect((await call(server, "/plain", { headers: bearer("reader") })).status).toBe(200)
  })
})

describe("limits", () => {
  it("refuse bodies that are too large, announced or not", async () => {
    const server = await start()
    const post = (body: RequestInit["body"]) =>
      call(server, "/bytes", { method: "POST", body: body ?? null, duplex: "half" } as RequestInit)
    expect(await (await post(Buffer.alloc(64))).json()).toEqual({ size: 64 })
    expect((await post(Buffer.alloc(65))).status).toBe(413)
    const chunked = new ReadableStream({
      start(controller) {
        controller.enqueue(new Uint8Array(40))
        controller.enqueue(new Uint8Array(40))
        controller.close()
      },
    })
    expect((await post(chunked)).status).toBe(413)
  })

  it("interrupt what takes too long", async () => {
    const server = await start()
    const response = await call(server, "/slow")
    expect(response.status).toBe(504)
    expect(log).toEqual(["interrupted"])
  })

  it("hold a caller to its rate and say when to come back", async () => {
    const server = await start({ limits: { rate: { perSecond: 0.5, burst: 2 } } })
    const ask = () => call(server, "/whoami", { headers: bearer("reader") })
    expect([(await ask()).status, (await ask()).status]).toEqual([200, 200])
    const limited = await ask()
    expect(limited.status).toBe(429)
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThanOrEqual(1)
    expect((await call(server, "/whoami", { headers: bearer("writer") })).status).toBe(200)
  })

  it("interrupt the handler when the client goes away", async () => {
    const server = await start()
    const { port } = new URL(server.url)
    const socket = connect(Number(port), "127.0.0.1")
    socket.write("GET /slow HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    await sleep(50)
    socket.destroy()
    await expect.poll(() => log, { timeout: 140 }).toEqual(["interrupted"])
  })
})

describe("streams", () => {
  it("go in and out without being held in memory", async () => {
    const server = await start()
    const content = Buffer.alloc(300_000, 7)
    const response = await call(server, "/echo", { method: "POST", body: content })
    expect(response.headers.get("content-type")).toBe("application/x-thing")
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true)
  })

  it("echo the first chunk before the last is sent", async () => {
    const server = await start()
    const { port } = new URL(server.url)
    const request = httpRequest({ port, path: "/echo", method: "POST" })
    request.write("first")
    const response = await new Promise<IncomingMessage>((resolve) => {
      request.on("response", resolve)
    })
    const chunks = response[Symbol.asyncIterator]()
    expect(String((await chunks.next()).value)).toBe("first")
    request.end("last")
    expect(String((await chunks.next()).value)).toBe("last")
    expect((await chunks.next()).done).toBe(true)
  })
})

describe("clients that go away", () => {
  it("in the middle of a body do no harm", async () => {
    const server = await start()
    const { port } = new URL(server.url)
    for (const path of ["/bytes", "/echo"]) {
      const socket = connect(Number(port), "127.0.0.1")
      socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\nhalf`)
      await sleep(30)
      socket.destroy()
    }
    await sleep(30)
    const metrics = await call(server, "/metrics", { headers: bearer("reader") })
    const text = await metrics.text()
    expect(text).not.toMatch(/status="500"/)
    // What is being served is this very request.
    expect(text).toContain("http_server_active_requests 1\n")
  })

  it("in the middle of an answer stop its stream", async () => {
    const server = await start({
      register: (app) => {
        HttpKit.route(app, runtime, {
          method: "GET",
          url: "/ticks",
          operation: "ticks",
          access: "public",
          handler: () =>
            Effect.succeed(
              HttpKit.reply(
                Stream.fromEffectRepeat(Effect.as(Effect.sleep(2), Buffer.from("tick "))).pipe(
                  Stream.ensuring(Effect.sync(() => log.push("released"))),
                ),
              ),
            ),
        })
      },
    })
    const controller = new AbortController()
    const response = await call(server, "/ticks", { signal: controller.signal })
    const reader = response.body?.getReader()
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toContain("tick")
    controller.abort()
    await reader?.closed.catch(() => undefined)
    await expect.poll(() => log).toEqual(["released"])
  })
})

describe("probes", () => {
  it("tell liveness, readiness and why not", async () => {
    let broken = false
    const server = await start({
      register: (app) => {
        HttpKit.addCheck(
          app,
          "blobs",
          Effect.suspend(() =>
            broken
              ? Effect.fail(
                  new BlobStore.BlobStoreError({ reason: "Unavailable", message: "disk is gone" }),
                )
              : Effect.void,
          ),
        )
      },
    })
    expect((await call(server, "/health/live")).status).toBe(200)
    const ready = await call(server, "/health/ready")
    expect(await ready.json()).toEqual({ status: "ready", checks: { blobs: "ok" } })
    broken = true
    const unready = await call(server, "/health/ready")
    expect(unready.status).toBe(503)
    expect(await unready.json()).toEqual({
      status: "unavailable",
      checks: { blobs: "disk is gone" },
    })
  })

  it("count requests by route, and show Effect's metrics", async () => {
    const server = await start()
    await call(server, "/fail/NotFound")
    await call(server, "/fail/Unavailable")
    await call(server, "/random/path")
    await call(server, "/nothing", { method: "DELETE" })
    expect((await call(server, "/metrics")).status).toBe(401)
    const text = await (await call(server, "/metrics", { headers: bearer("reader") })).text()
    expect(text).toContain(
      'http_server_request_duration_seconds_count{method="GET",route="/fail/:reason",status="404"} 1',
    )
    expect(text).toContain('route="unmatched",status="404"} 1')
    expect(text).not.toContain("/random/path")
    expect(text).toMatch(/^fastify_test_things_total \d+$/m)
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
    const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
    const malformed = samples.filter((line) => !/^[a-z_]+(\{.*\})? [-+.\deE]+$/.test(line))
    expect(malformed).toEqual([])
  })

  it("describe the routes as OpenAPI 3.1", async () => {
    const server = await start()
    const document = (await (await call(server, "/openapi.json")).json()) as Record<string, unknown>
    expect(document).toMatchObject({
      openapi: "3.1.0",
      paths: {
        "/projects/{project}/things/{id}": {
          post: {
            operationId: "putThing",
            parameters: [
              { name: "project", in: "path", required: true },
              { name: "id", in: "path", required: true },
              { name: "dry", in: "query", required: false },
            ],
            requestBody: {
              content: {
                "application/json": {
                  schema: { type: "object", required: ["name", "tags"] },
                },
              },
            },
            responses: { "201": { description: "Success" } },
          },
        },
        "/bug": { get: { operationId: "bug", security: [] } },
        "/bytes": { post: { requestBody: { content: { "application/octet-stream": {} } } } },
      },
    })
  })
})

describe("the plugin in a host application", () => {
  it("stays within its scope and is installed once", async () => {
    const app = Fastify()
    opened.push({ [Symbol.asyncDispose]: () => app.close() })
    app.get("/host", async () => ({ host: true }))
    await app.register(
      async (scope) => {
        await scope.register(HttpKit.plugin, { auth })
        await scope.register(HttpKit.plugin, { auth: "off-on-loopback" })
        routes(scope)
      },
      { prefix: "/ml" },
    )
    expect((await app.inject("/host")).json()).toEqual({ host: true })
    expect((await app.inject("/host")).headers["x-request-id"]).toBeUndefined()
    expect((await app.inject("/ml/whoami")).statusCode).toBe(401)
    const me = await app.inject({ url: "/ml/whoami", headers: bearer("reader") })
    expect(me.json()).toEqual({ name: "reader" })
    const openapi = (await app.inject("/ml/openapi.json")).json<{ paths: object }>()
    expect(Object.keys(openapi.paths)).toContain("/ml/whoami")
  })

  it("takes the host's own way of recognising callers", async () => {
    const app = Fastify()
    opened.push({ [Symbol.asyncDispose]: () => app.close() })
    const principalOf = () => ({ name: "ada", scopes: [{ project: "*", verb: "read" as const }] })
    await app.register(HttpKit.plugin, { auth: { principalOf } })
    routes(app)
    expect((await app.inject("/whoami")).json()).toEqual({ name: "ada" })
  })

  it("says when it is missing", async () => {
    const app = Fastify()
    opened.push({ [Symbol.asyncDispose]: () => app.close() })
    expect(() => routes(app)).toThrow("register HttpKit.plugin")
  })
})

describe("tracing", () => {
  it("makes one span a request, under the caller's", async () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      },
    })
    const traced = ManagedRuntime.make(Layer.succeed(Tracer.Tracer, tracer))
    const app = Fastify()
    opened.push({ [Symbol.asyncDispose]: () => app.close() })
    await app.register(HttpKit.plugin, { auth: "off-on-loopback" })
    HttpKit.route(app, traced, {
      method: "GET",
      url: "/things/:id",
      operation: "getThing",
      access: "public",
      handler: () =>
        Effect.fail(new BlobStore.BlobStoreError({ reason: "NotFound", message: "none" })),
    })
    await app.inject({
      url: "/things/1",
      headers: {
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        authorization: "Bearer secret-token",
      },
    })
    expect(spans).toHaveLength(1)
    const [span] = spans
    expect(span?.name).toBe("GET /things/:id")
    expect(span?.traceId).toBe("0af7651916cd43dd8448eb211c80319c")
    expect(span?.attributes.get("http.response.status_code")).toBe(404)
    expect(JSON.stringify(Array.from(span?.attributes ?? []))).not.toContain("secret-token")
    await traced.dispose()
  })
})

describe("starting", () => {
  it("says what is wrong with the address, and does not start without its services", async () => {
    const first = await start()
    const { port } = new URL(first.url)
    await expect(start({ port: Number(port) })).rejects.toMatchObject({
      code: "HttpError.Unavailable",
      field: "port",
    })
    const broken = ManagedRuntime.make(
      Layer.effectDiscard(
        Effect.fail(new BlobStore.BlobStoreError({ reason: "Unavailable", message: "no disk" })),
      ),
    )
    const register = (app: FastifyInstance) =>
      HttpKit.route(app, broken, {
        method: "GET",
        url: "/",
        operation: "root",
        access: "public",
        handler: () => Effect.void,
      })
    await expect(start({ register })).rejects.toThrow("no disk")
  })
})
