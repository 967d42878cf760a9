import { Auth } from "@ashlar/core"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Tokens from "@ashlar/core/tokens"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { mkdtempSync, rmSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Api, openMlflow } from "./support/mlflow.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-transport-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const json = { "content-type": "application/json" }

describe("MLflow's transport", () => {
  let api: Api
  beforeAll(async () => {
    api = await openMlflow({
      database: Sqlite.layer({ file: join(folder, "open.sqlite") }),
      blobs: join(folder, "open"),
    })
  })
  afterAll(() => api[Symbol.asyncDispose]())

  /** A GET with a body, which `fetch` refuses to send. */
  const getWithBody = (path: string, body: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const sent = request(
        `${api.url}${path}`,
        { method: "GET", headers: { ...json, "content-length": Buffer.byteLength(body) } },
        (answer) => {
          const chunks: Array<Buffer> = []
          answer.on("data", (chunk: Buffer) => chunks.push(chunk))
          answer.on("end", () => resolve(Buffer.concat(chunks).toString()))
        },
      )
      sent.on("error", reject)
      sent.end(body)
    })

  it("says that it is there, which version it speaks, and what it can", async () => {
    expect(await api.raw("GET", "/health")).toMatchObject({ status: 200, body: { text: "OK" } })
    expect(await api.raw("GET", "/version")).toMatchObject({ body: { text: "3.17.2" } })
    for (const root of ["/api", "/ajax-api"]) {
      for (const method of ["GET", "POST"]) {
        const answer = await api.raw(method, `${root}/3.0/mlflow/server-info`, {
          headers: method === "POST" ? json : {},
        })
        expect(answer).toMatchObject({
          status: 200,
          body: {
            store_type: "SqlStore",
            workspaces_enabled: false,
            trace_archival_enabled: false,
          },
        })
      }
    }
  })

  it("answers below every root that clients use, and 404 elsewhere", async () => {
    for (const root of [
      "/api/2.0/mlflow",
      "/ajax-api/2.0/mlflow",
      "/api/2.0/preview/mlflow",
      "/ajax-api/2.0/preview/mlflow",
    ]) {
      const answer = await api.raw("GET", `${root}/experiments/get?experiment_id=0`)
      expect([root, answer.body.experiment.name]).toEqual([root, "Default"])
    }
    for (const path of [
      "/api/3.0/mlflow/experiments/get",
      "/api/3.0/mlflow/workspaces",
      "/api/3.0/mlflow/scorers/list",
      "/api/2.0/mlflow/nothing",
    ]) {
      expect(await api.raw("GET", path)).toMatchObject({
        status: 404,
        body: { error_code: "ENDPOINT_NOT_FOUND" },
      })
    }
  })

  it("takes bodies as old and new clients send them", async () => {
    const post = (body: string, headers: Readonly<Record<string, string>> = json) =>
      api.raw("POST", "/api/2.0/mlflow/runs/create", { body, headers })
    const plain = await post('{"experiment_id":"0","run_name":"plain","colour":"red","tags":null}')
    expect(plain.body.run.info.run_name).toBe("plain")
    const twice = await post(JSON.stringify('{"experiment_id":0,"run_name":"twice"}'))
    expect(twice.body.run.info.run_name).toBe("twice")
    const charset = { "content-type": "application/json; charset=utf-8" }
    expect((await post('{"start_time":"5"}', charset)).body.run.info).toMatchObject({
      start_time: 5,
    })
    const { run_id } = plain.body.run.info
    const old = await api.post("runs/set-tag", { run_uuid: run_id, key: "k", value: "v" })
    expect(old.status).toBe(200)
    expect((await api.get(`runs/get?run_uuid=${run_id}`)).body.run.info.run_id).toBe(run_id)
    const answer = await getWithBody("/api/2.0/mlflow/runs/get", JSON.stringify({ run_id }))
    expect(JSON.parse(answer)).toMatchObject({ run: { info: { run_id } } })
    const other = await getWithBody("/api/2.0/mlflow/runs/get?run_id=x", JSON.stringify({ run_id }))
    expect(JSON.parse(other)).toMatchObject({ message: "Run with id=x not found" })
    expect(await getWithBody("/api/2.0/mlflow/runs/get", "{")).toMatch(/Missing value for required/)
  })

  it("says in MLflow's words what is wrong with a request, and never answers 5xx", async () => {
    const hint = "See the API docs for more information about request parameters."
    for (const [method, path, init, message] of [
      [
        "POST",
        "runs/log-metric",
        { body: "{}", headers: json },
        `Missing value for required parameter 'run_id'. ${hint}`,
      ],
      [
        "POST",
        "experiments/create",
        { body: '{"name":5}', headers: json },
        `Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'. ${hint}`,
      ],
      [
        "POST",
        "experiments/create",
        { body: '{"name":["é"]}', headers: json },
        `Invalid value ["\\u00e9"] for parameter 'name' supplied:  Hint: Value was of type 'list'. ${hint}`,
      ],
      [
        "POST",
        "experiments/create",
        { body: '{"name":null}', headers: json },
        `Missing value for required parameter 'name'. ${hint}`,
      ],
      [
        "POST",
        "runs/create",
        { body: '{"experiment_id":"0","tags":[{"value":"v"}]}', headers: json },
        `Missing value for required parameter 'tags[0].key'. ${hint}`,
      ],
      ["POST", "experiments/search", {}, "Bad Request. Content-Type header is missing."],
      [
        "POST",
        "experiments/search",
        { body: "{}", headers: { "content-type": "text/plain" } },
        "Bad Request. Content-Type must be one of ['application/json'].",
      ],
      ["POST", "experiments/search", { body: "[1]", headers: json }, /JSON object/],
      ["POST", "experiments/search", { body: "{", headers: json }, /not valid JSON/],
      ["GET", "runs/get", {}, `Missing value for required parameter 'run_id'. ${hint}`],
    ] as const) {
      const answer = await api.raw(method, `/api/2.0/mlflow/${path}`, init)
      expect(answer).toMatchObject({
        status: 400,
        body: {
          error_code: "INVALID_PARAMETER_VALUE",
          message: typeof message === "string" ? message : expect.stringMatching(message),
        },
      })
    }
  })

  it("leaves the health check to others when it is told to", async () => {
    await using other = await openMlflow({
      database: Sqlite.layer({ file: join(folder, "other.sqlite") }),
      blobs: join(folder, "other"),
      plugin: { health: false },
    })
    expect((await other.raw("GET", "/health")).status).toBe(404)
  })

  it("cuts long values, or refuses them where that is wanted", async () => {
    await using strict = await openMlflow({
      database: Sqlite.layer({ file: join(folder, "strict.sqlite") }),
      blobs: join(folder, "strict"),
      plugin: { truncateLongValues: false },
    })
    for (const [server, status] of [
      [api, 200],
      [strict, 400],
    ] as const) {
      const { run_id } = (await server.post("runs/create", { experiment_id: "0" })).body.run.info
      const param = { run_id, key: "p", value: "v".repeat(6001) }
      const tag = { run_id, key: "t", value: "v".repeat(8001) }
      expect((await server.post("runs/log-parameter", param)).status).toBe(status)
      expect((await server.post("runs/set-tag", tag)).status).toBe(status)
      const batch = { run_id, params: [{ key: "q", value: "v".repeat(6001) }] }
      expect((await server.post("runs/log-batch", batch)).status).toBe(status)
      const created = { experiment_id: "0", tags: [{ key: "t", value: "v".repeat(8001) }] }
      expect((await server.post("runs/create", created)).status).toBe(status)
      const { data } = (await server.get(`runs/get?run_id=${run_id}`)).body.run
      expect((data.params ?? []).map(({ value }) => value.length)).toEqual(
        status === 200 ? [6000, 6000] : [],
      )
    }
  })
})

describe("MLflow's authentication", () => {
  it("takes a token as Bearer and as the password of Basic, and challenges otherwise", async () => {
    const database = Sqlite.layer({ file: join(folder, "auth.sqlite") })
    const tokens = ManagedRuntime.make(Tokens.layer().pipe(Layer.provide(database)))
    const auth = await tokens.runPromise(Auth.Auth)
    const tokenOf = async (verb: "read" | "write") => {
      const { token } = await Effect.runPromise(
        auth.createToken({ principal: verb, scopes: [{ project: "*", verb }] }),
      )
      return Redacted.value(token)
    }
    const [reader, writer] = [await tokenOf("read"), await tokenOf("write")]
    await using api = await openMlflow({
      database: Sqlite.layer({ file: join(folder, "closed.sqlite") }),
      blobs: join(folder, "closed"),
      auth,
    })
    const get = (authorization?: string) =>
      api.raw("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", {
        headers: authorization === undefined ? {} : { authorization },
      })
    const basic = (password: string) =>
      `Basic ${Buffer.from(`anybody:${password}`).toString("base64")}`
    expect((await get(`Bearer ${reader}`)).status).toBe(200)
    expect((await get(basic(reader))).status).toBe(200)
    for (const wrong of [undefined, "Bearer ash_no_no", basic("no"), "Digest x"]) {
      const refused = await get(wrong)
      expect(refused).toMatchObject({ status: 401, body: { error_code: "UNAUTHENTICATED" } })
      expect(refused.headers.get("www-authenticate")).toBe('Basic realm="mlflow"')
    }
    const create = (token: string) =>
      api.raw("POST", "/api/2.0/mlflow/experiments/create", {
        body: '{"name":"mine"}',
        headers: { ...json, authorization: basic(token) },
      })
    expect(await create(reader)).toMatchObject({
      status: 403,
      body: { error_code: "PERMISSION_DENIED" },
    })
    expect((await create(writer)).status).toBe(200)
    for (const open of ["/health", "/version"]) {
      expect((await api.raw("GET", open)).status).toBe(200)
    }
    await tokens.dispose()
  })
})
