import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Artifacts, Runs } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { createHash, randomBytes } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-artifacts-http-"))
const makeRuntime = (options: Artifacts.ArtifactsOptions = {}) =>
  ManagedRuntime.make(
    Layer.merge(Mlflow.services, Artifacts.layerWith(options)).pipe(
      Layer.provide([
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        Fs.layer({ directory: join(folder, "blobs") }),
      ]),
    ),
  )
const runtime = makeRuntime()
let server: HttpKit.Server
let run: { readonly experimentId: string; readonly runId: string }
let base: string
beforeAll(async () => {
  server = await HttpKit.makeServer({
    auth: "off-on-loopback",
    register: (app) => app.register(Mlflow.plugin, { runtime }),
  })
  base = `${server.url}/api/2.0/mlflow-artifacts`
  run = await runtime.runPromise(Runs.Runs.use((runs) => runs.start({ experiment: "files" })))
})
afterAll(async () => {
  await server.drain()
  await runtime.dispose()
  rmSync(folder, { recursive: true, force: true })
})

const put = async (path: string, body: NonNullable<RequestInit["body"]> | undefined) => {
  const answer = await fetch(`${base}/artifacts/${path}`, {
    method: "PUT",
    ...(body === undefined ? {} : { body }),
  })
  return { status: answer.status, body: await answer.json() }
}
const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(`${base}/artifacts/${path}`, { headers })
const post = async (url: string, body: unknown) => {
  const answer = await fetch(url, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}
const list = async (path?: string) => {
  const query = path === undefined ? "" : `?path=${encodeURIComponent(path)}`
  return (await fetch(`${base}/artifacts${query}`)).json()
}

/** What a socket answers to bytes that no client library would send. */
const raw = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const { port } = new URL(server.url)
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(text))
    let got = ""
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1")
      if (got.includes("\r\n\r\n")) socket.end()
    })
    socket.on("close", () => resolve(got))
    socket.on("error", reject)
  })

describe("MLflow's proxy of artifacts", () => {
  it("stores, lists, reads and deletes", async () => {
    expect(await put("p/model/MLmodel", "flavors: {}")).toEqual({ status: 200, body: {} })
    expect(await put("p/model/späť file.bin", randomBytes(300_000))).toMatchObject({ status: 200 })
    expect(await put("p/empty", undefined)).toMatchObject({ status: 200 })
    expect(await list("p")).toEqual({
      files: [
        { path: "empty", is_dir: false },
        { path: "model", is_dir: true },
      ],
    })
    expect(await list("p/model")).toEqual({
      files: [
        { path: "MLmodel", is_dir: false, file_size: 11 },
        { path: "späť file.bin", is_dir: false, file_size: 300_000 },
      ],
    })
    expect(await list("p/model/MLmodel")).toEqual({})
    expect(await list("nothing")).toEqual({})
    const answer = await get("p/model/MLmodel")
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "text/plain",
      "content-length": "11",
      "content-disposition": "attachment; filename=MLmodel",
      "x-content-type-options": "nosniff",
      "accept-ranges": "bytes",
    })
    expect(await answer.text()).toBe("flavors: {}")
    const named = await get("p/model/sp%C3%A4%C5%A5%20file.bin")
    expect(named.headers.get("content-disposition")).toBe(
      `attachment; filename="spat file.bin"; filename*=UTF-8''sp%C3%A4%C5%A5%20file.bin`,
    )
    await named.arrayBuffer()
    expect((await get("p/empty")).headers.get("content-length")).toBe("0")
    expect((await get("p/model")).status).toBe(400)
    const missing = await get("p/none")
    expect([missing.status, await missing.json()]).toEqual([
      404,
      { error_code: "RESOURCE_DOES_NOT_EXIST", message: expect.stringContaining("p/none") },
    ])
    expect((await put("p/model", "x")).status).toBe(400)
    const removed = await fetch(`${base}/artifacts/p/model`, { method: "DELETE" })
    expect([removed.status, await removed.json()]).toEqual([200, {}])
    expect(await list("p")).toEqual({ files: [{ path: "empty", is_dir: false }] })
    expect((await fetch(`${base}/artifacts/`, { method: "DELETE" })).status).toBe(400)
  })

  it("answers ranges and who has the file already", async () => {
    await put("r/digits", "0123456789")
    const tag = `"sha256:${createHash("sha256").update("0123456789").digest("hex")}"`
    const ask = async (headers: Record<string, string>) => {
      const answer = await get("r/digits", headers)
      return [answer.status, await answer.text(), answer.headers.get("content-range")]
    }
    expect(await ask({ range: "bytes=2-4" })).toEqual([206, "234", "bytes 2-4/10"])
    expect(await ask({ range: "bytes=7-" })).toEqual([206, "789", "bytes 7-9/10"])
    expect(await ask({ range: "bytes=-2" })).toEqual([206, "89", "bytes 8-9/10"])
    expect(await ask({ range: "bytes=5-99" })).toEqual([206, "56789", "bytes 5-9/10"])
    expect(await ask({ range: "bytes=-99" })).toEqual([206, "0123456789", "bytes 0-9/10"])
    expect((await ask({ range: "bytes=10-" }))[0]).toBe(416)
    expect((await ask({ range: "bytes=-0" }))[0]).toBe(416)
    for (const range of ["bytes=4-2", "bytes=a-b", "bytes=0-1,4-5", "lines=1-2", "bytes=-"]) {
      expect(await ask({ range })).toEqual([200, "0123456789", null])
    }
    expect(await ask({ range: "bytes=0-0", "if-range": tag })).toEqual([206, "0", "bytes 0-0/10"])
    expect((await ask({ range: "bytes=0-0", "if-range": '"other"' }))[0]).toBe(200)
    expect(await ask({ "if-none-match": tag })).toEqual([304, "", null])
    expect((await ask({ "if-none-match": '"other"' }))[0]).toBe(200)
    const head = await fetch(`${base}/artifacts/r/digits`, { method: "HEAD" })
    expect([head.status, head.headers.get("content-length"), head.headers.get("etag")]).toEqual([
      200,
      "10",
      tag,
    ])
  })

  it("refuses every path that leaves the tree, however it is spelled", async () => {
    const paths = [
      "../x",
      "a/../../x",
      "%2e%2e/x",
      "%2E%2E%2Fx",
      "%252e%252e%252fx",
      "%25252e%25252e/x",
      "..%5cx",
      "a%5cb",
      "%2fetc/passwd",
      "/etc/passwd",
      "a%00b",
      "a%2500b",
      "file:/etc/passwd",
      "file%3a%2f%2f%2fetc",
      "C:%5cx",
      "C:/x",
      "a%23b",
      "%ff",
      "%",
    ]
    for (const path of paths) {
      for (const method of ["GET", "PUT", "DELETE"]) {
        const got = await raw(
          `${method} /api/2.0/mlflow-artifacts/artifacts/${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${method === "PUT" ? 1 : 0}\r\n\r\n${method === "PUT" ? "x" : ""}`,
        )
        expect([path, method, got.split("\r\n", 1)[0]]).toEqual([
          path,
          method,
          "HTTP/1.1 400 Bad Request",
        ])
      }
      const listed = await raw(
        `GET /api/2.0/mlflow-artifacts/artifacts?path=${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`,
      )
      // One sign of percent is a name like any other in a query.
      if (path !== "%")
        expect([path, listed.split("\r\n", 1)[0]]).toEqual([path, "HTTP/1.1 400 Bad Request"])
      const body = '{"path": "x"}'
      for (const step of ["create", "complete", "abort"]) {
        const got = await raw(
          `POST /api/2.0/mlflow-artifacts/mpu/${step}/${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        )
        expect([path, got.split("\r\n", 1)[0]]).toEqual([path, "HTTP/1.1 400 Bad Request"])
      }
      const run_id = run.runId
      const link = await post(`${server.url}/api/2.0/mlflow/artifacts/presigned-download-url`, {
        run_id,
        path,
      })
      expect([path, [400, 404].includes(link.status)]).toEqual([path, true])
      const one = await fetch(
        `${server.url}/get-artifact?run_id=${run_id}&path=${encodeURIComponent(path)}`,
      )
      expect([path, [400, 404].includes(one.status)]).toEqual([path, true])
    }
    expect(await list("registry")).toEqual({})
  })

  it("never takes what is sent for a mistake of its own", async () => {
    const pieces =
      "a b .. . / // %2e %2F %5c %25 %00 %c3%a4 %ff %zz : C: file: ~ % ? & = ; + *".split(" ")
    const random = (() => {
      let state = 20
      return (below: number) => {
        state = (state * 48_271) % 2_147_483_647
        return state % below
      }
    })()
    const routes = [
      "artifacts/",
      "artifacts?path=",
      "mpu/create/",
      "mpu/complete/",
      "presigned/",
      "signed/",
    ]
    for (let i = 0; i < 400; i++) {
      const path = Array.from({ length: random(8) }, () => pieces[random(pieces.length)]).join("")
      const method = ["GET", "PUT", "DELETE", "POST"][random(4)] ?? "GET"
      const route = routes[random(routes.length)] ?? ""
      const body = ["", "{", '{"path":1}', '{"path":"../x","num_parts":1}', "[]"][random(5)] ?? ""
      const got = await raw(
        `${method} /api/2.0/mlflow-artifacts/${route}${path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      )
      const status = Number(got.slice(9, 12))
      expect([method, route, path, body, status >= 200 && status < 500]).toEqual([
        method,
        route,
        path,
        body,
        true,
      ])
    }
  })

  it("cuts the connection before the last bytes of damaged content", async () => {
    const content = randomBytes(3_000_000)
    await put("c/damaged", content)
    const digest = createHash("sha256").update(content).digest("hex")
    const all = readdirSync(join(folder, "blobs"), { recursive: true, withFileTypes: true })
    for (const entry of all) {
      if (!entry.isFile()) continue
      const file = join(entry.parentPath, entry.name)
      const bytes = readFileSync(file)
      if (bytes.length < 3_000_000 || bytes.length > 3_100_000) continue
      bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 255
      writeFileSync(file, bytes)
    }
    const answer = await get("c/damaged")
    expect([answer.status, answer.headers.get("etag")]).toEqual([200, `"sha256:${digest}"`])
    await expect(answer.arrayBuffer()).rejects.toThrow("terminated")
  })

  it("stores nothing of an upload that breaks off", async () => {
    await new Promise<void>((resolve) => {
      const upload = request(`${base}/artifacts/b/broken`, {
        method: "PUT",
        headers: { "content-length": 1_000_000 },
      })
      upload.on("error", () => resolve())
      upload.write(randomBytes(200_000), () => setTimeout(() => upload.destroy(), 50))
    })
    await expect.poll(async () => list("b")).toEqual({})
  })

  it("limits the size of files", async () => {
    const limited = makeRuntime({ maxBytes: 1000 })
    const other = await HttpKit.makeServer({
      auth: "off-on-loopback",
      drain: { onSignals: false },
      register: (app) => app.register(Mlflow.plugin, { runtime: limited }),
    })
    const send = async (body: NonNullable<RequestInit["body"]>) => {
      const answer = await fetch(`${other.url}/api/2.0/mlflow-artifacts/artifacts/l/x`, {
        method: "PUT",
        body,
        duplex: "half",
      } as RequestInit)
      return answer.status
    }
    expect(await send(randomBytes(1001))).toBe(413)
    const streamed = new ReadableStream({
      start: (controller) => {
        controller.enqueue(randomBytes(600))
        controller.enqueue(randomBytes(600))
        controller.close()
      },
    })
    expect(await send(streamed)).toBe(400)
    expect(await send(randomBytes(1000))).toBe(200)
    await other.drain()
    await limited.dispose()
  })

  it("takes parts on a plain disk, by URLs that need no credentials", async () => {
    const created = await post(`${base}/mpu/create/m/dir`, {
      path: "C:\\work\\big.bin",
      num_parts: "2",
    })
    expect(created.status).toBe(200)
    const { upload_id, credentials } = created.body as {
      upload_id: string
      credentials: Array<{ url: string; part_number: number; headers: object }>
    }
    expect(credentials.map(({ part_number, headers }) => [part_number, headers])).toEqual([
      [1, {}],
      [2, {}],
    ])
    const parts: Array<{ part_number: number; etag: string | null }> = []
    for (const { url, part_number } of credentials.toReversed()) {
      const answer = await fetch(url, { method: "PUT", body: `part ${part_number};` })
      expect(answer.status).toBe(200)
      parts.unshift({ part_number, etag: answer.headers.get("etag") })
    }
    const path = "/data/big.bin"
    const complete = (body: object) =>
      post(`${base}/mpu/complete/m/dir`, { path, upload_id, parts, ...body })
    expect((await complete({ parts: parts.slice(0, 1) })).status).toBe(400)
    expect((await complete({ parts: [] })).status).toBe(400)
    expect((await complete({ upload_id: "none" })).status).toBe(404)
    expect((await complete({ path: "other.bin" })).status).toBe(404)
    expect(await complete({})).toEqual({ status: 200, body: {} })
    expect(await complete({})).toEqual({ status: 200, body: {} })
    expect(await (await get("m/dir/big.bin")).text()).toBe("part 1;part 2;")
    const url = credentials[0]?.url ?? ""
    expect((await fetch(url, { method: "PUT", body: "late" })).status).toBe(404)
    expect((await fetch(url)).status).toBe(403)
    const forged = `${url.slice(0, -1)}${url.endsWith("A") ? "B" : "A"}`
    expect(
      (await fetch(forged.replace(/(signed\/e)./, "$1x"), { method: "PUT", body: "x" })).status,
    ).toBe(403)
    for (const name of ["", "/", "..", "a/..", "dir/"]) {
      expect((await post(`${base}/mpu/create/m`, { path: name, num_parts: 1 })).status).toBe(400)
    }
    for (const num_parts of [0, -1, 10_001, 1.5, "many"]) {
      expect((await post(`${base}/mpu/create/m`, { path: "x", num_parts })).status).toBe(400)
    }
    expect((await post(`${base}/mpu/create/m`, {})).body).toMatchObject({
      message: expect.stringContaining("Missing value for required parameter 'path'"),
    })
    const again = await post(`${base}/mpu/create/m`, { path: "gone.bin" })
    const abort = { path: "gone.bin", upload_id: again.body["upload_id"] }
    expect(await post(`${base}/mpu/abort/m`, abort)).toEqual({ status: 200, body: {} })
    expect(await post(`${base}/mpu/abort/m`, abort)).toEqual({ status: 200, body: {} })
  })
})

it("joins parts to the end for a client that did not wait", async () => {
  const created = await post(`${base}/mpu/create/w`, { path: "x.bin", num_parts: 3 })
  const { upload_id, credentials } = created.body as {
    upload_id: string
    credentials: Array<{ url: string; part_number: number }>
  }
  const content = randomBytes(4_000_000)
  const parts: Array<{ part_number: number; etag: string | null }> = []
  for (const { url, part_number } of credentials) {
    const answer = await fetch(url, { method: "PUT", body: content })
    parts.push({ part_number, etag: answer.headers.get("etag") })
  }
  const impatient = fetch(`${base}/mpu/complete/w`, {
    method: "POST",
    body: JSON.stringify({ path: "x.bin", upload_id, parts }),
    headers: { "content-type": "application/json" },
    signal: AbortSignal.timeout(10),
  })
  await impatient.catch(() => undefined)
  await expect
    .poll(() => list("w"), { timeout: 10_000 })
    .toEqual({ files: [{ path: "x.bin", is_dir: false, file_size: 12_000_000 }] })
})

describe("files of runs", () => {
  const api = () => `${server.url}/api/2.0/mlflow`
  const store = (path: string, content: string) =>
    put(`${run.experimentId}/${run.runId}/artifacts/${path}`, content)

  it("lists and hands them out", async () => {
    await store("model/MLmodel", "model")
    await store("page.html", "<script>alert(1)</script>")
    const listed = async (query: string) =>
      (await fetch(`${api()}/artifacts/list?run_id=${run.runId}${query}`)).json()
    const root_uri = `mlflow-artifacts:/${run.experimentId}/${run.runId}/artifacts`
    expect(await listed("")).toEqual({
      root_uri,
      files: [
        { path: "model", is_dir: true },
        { path: "page.html", is_dir: false, file_size: 25 },
      ],
    })
    expect(await listed("&path=model")).toEqual({
      root_uri,
      files: [{ path: "model/MLmodel", is_dir: false, file_size: 5 }],
    })
    expect(await listed("&path=..%2F..")).toEqual({
      error_code: "INVALID_PARAMETER_VALUE",
      message: "Invalid path",
    })
    expect(await listed("&page_token=x")).toMatchObject({ error_code: "INVALID_PARAMETER_VALUE" })
    const page = await fetch(`${server.url}/get-artifact?run_id=${run.runId}&path=page.html`)
    expect(Object.fromEntries(page.headers)).toMatchObject({
      "content-type": "text/html",
      "content-disposition": "attachment; filename=page.html",
      "x-content-type-options": "nosniff",
    })
    const old = await fetch(`${server.url}/get-artifact?run_uuid=${run.runId}&path=model/MLmodel`)
    expect(await old.text()).toBe("model")
    expect((await fetch(`${server.url}/get-artifact?run_id=${run.runId}`)).status).toBe(400)
    expect((await fetch(`${server.url}/get-artifact?run_id=none&path=x`)).status).toBe(404)
  })

  it("takes small files from pages", async () => {
    const send = async (query: string, body: NonNullable<RequestInit["body"]> | undefined) => {
      const answer = await fetch(`${server.url}/ajax-api/2.0/mlflow/upload-artifact?${query}`, {
        method: "POST",
        ...(body === undefined ? {} : { body }),
      })
      const text = await answer.text()
      return [answer.status, text === "" ? "" : JSON.parse(text).message]
    }
    const of = `run_uuid=${run.runId}`
    expect(await send(`${of}&path=notes/a.txt`, "note")).toEqual([200, ""])
    expect(await send("path=a", "x")).toEqual([400, "Request must specify run_uuid."])
    expect(await send(of, "x")).toEqual([400, "Request must specify path."])
    expect(await send(`${of}&path=a`, undefined)).toEqual([400, "Request must specify data."])
    expect(await send(`${of}&path=a`, randomBytes(10 * 1024 * 1024 + 1))).toEqual([
      400,
      "Artifact size is too large. Max size is 10MB.",
    ])
    expect(await send(`${of}&path=../a`, "x")).toEqual([400, "Invalid path"])
    const answer = await fetch(`${server.url}/get-artifact?${of}&path=notes/a.txt`)
    expect(await answer.text()).toBe("note")
  })

  it("signs URLs that read and write one file", async () => {
    const link = (body: object) => post(`${api()}/artifacts/presigned-upload-url`, body)
    const up = await link({ run_id: run.runId, path: "signed.txt" })
    const to = String(up.body["presigned_url"])
    expect((await fetch(to, { method: "PUT", body: "signed" })).status).toBe(200)
    expect((await fetch(to)).status).toBe(403)
    const down = await post(`${api()}/artifacts/presigned-download-url`, {
      run_id: run.runId,
      path: "signed.txt",
    })
    expect(down.body).toMatchObject({ file_size: 6 })
    const from = String(down.body["presigned_url"])
    const part = await fetch(from, { headers: { range: "bytes=0-2" } })
    expect([part.status, await part.text()]).toEqual([206, "sig"])
    expect((await fetch(from, { method: "PUT", body: "x" })).status).toBe(403)
    await store("signed.txt", "another")
    expect((await fetch(from)).status).toBe(409)
    const proxied = await fetch(
      `${base}/presigned/${run.experimentId}/${run.runId}/artifacts/signed.txt`,
    )
    const answer = (await proxied.json()) as { url: string; file_size: number }
    expect([answer.file_size, await (await fetch(answer.url)).text()]).toEqual([7, "another"])
    expect((await link({ path: "x" })).body["message"]).toBe(
      "Exactly one of run_id and model_id must be provided.",
    )
    expect((await link({ run_id: "a", model_id: "b", path: "x" })).status).toBe(400)
    expect((await link({ run_id: run.runId, path: "x", expiration: 0 })).status).toBe(400)
    expect((await link({ run_id: run.runId, path: "x", expiration: 604_801 })).body).toMatchObject({
      message: "expiration must be between 1 and 604800 seconds (got 604801).",
    })
  })

  it("collects when an administrator says so", async () => {
    const gc = (body: unknown) => post(`${server.url}/api/ashlar/registry/gc`, body)
    const { status, body } = await gc({ dryRun: true, purgeDeletedOlderThanSeconds: 0 })
    expect([status, body]).toEqual([
      200,
      expect.objectContaining({ dryRun: true, blobs: 0, purged: expect.any(Object) }),
    ])
    expect((await gc({ olderThanSeconds: 1 })).status).toBe(400)
    expect((await gc({ limit: "x" })).status).toBe(400)
    const effect = Artifacts.Artifacts.use((artifacts) => artifacts.list(""))
    expect((await runtime.runPromise(Effect.asVoid(effect))) === undefined).toBe(true)
  })
})

describe("with tokens", () => {
  it("lets each caller do what its scopes say, and the holder of a signed URL that alone", async () => {
    const scopes = { reader: "read", writer: "write", keeper: "admin" } as const
    const guarded = await HttpKit.makeServer({
      auth: {
        principalOf: ({ headers }) => {
          const name = String(headers.authorization).replace("Bearer ", "")
          const verb = Object.hasOwn(scopes, name) ? scopes[name as keyof typeof scopes] : undefined
          return { name, scopes: verb === undefined ? [] : [{ project: "*", verb }] }
        },
      },
      drain: { onSignals: false },
      register: (app) =>
        app.register(Mlflow.plugin, { runtime, publicUrl: "https://models.example.org/" }),
    })
    const proxy = `${guarded.url}/api/2.0/mlflow-artifacts`
    const ask = async (who: string, method: string, url: string, body?: string) => {
      const answer = await fetch(url, {
        method,
        headers: { authorization: `Bearer ${who}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body }),
      })
      return { status: answer.status, text: await answer.text() }
    }
    const file = `${proxy}/artifacts/t/file`
    expect((await ask("nobody", "GET", file)).status).toBe(403)
    expect((await ask("reader", "PUT", file, "x")).status).toBe(403)
    expect((await ask("writer", "PUT", file, "x")).status).toBe(200)
    expect((await ask("reader", "GET", file)).text).toBe("x")
    expect((await ask("reader", "DELETE", file)).status).toBe(403)
    expect((await ask("reader", "POST", `${proxy}/mpu/create/t`, '{"path":"p"}')).status).toBe(403)
    const gc = `${guarded.url}/api/ashlar/registry/gc`
    expect((await ask("writer", "POST", gc, '{"dryRun":true}')).status).toBe(403)
    expect((await ask("keeper", "POST", gc, '{"dryRun":true}')).status).toBe(200)
    const created = await ask("writer", "POST", `${proxy}/mpu/create/t`, '{"path":"p"}')
    const { credentials } = JSON.parse(created.text) as {
      credentials: ReadonlyArray<{ url: string }>
    }
    const url = credentials[0]?.url ?? ""
    expect(url).toMatch(/^https:\/\/models\.example\.org\/api\//)
    const here = url.replace("https://models.example.org", guarded.url)
    expect((await fetch(here, { method: "PUT", body: "part" })).status).toBe(200)
    expect((await fetch(here)).status).toBe(403)
    await guarded.drain()
  })
})
