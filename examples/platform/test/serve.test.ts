import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as Numbers from "./numbers.ts"
import { client, firstToken, type Running, start, tokensIn, until } from "./Platform.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-platform-"))
const directory = join(folder, "data")
const definitions = join(import.meta.dirname, "definitions.ts")
const args = ["--directory", directory, "--definitions", definitions]

let server: Running
let token: string

beforeAll(async () => {
  server = await start({ args })
  token = await firstToken(server)
  await Numbers.register(Numbers.embedded(directory))
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const call = (path: string, body?: unknown) => client(server.url, token)(path, body)

const balanceOf = async (account: string): Promise<unknown> => {
  const response = await call("/get-online-features", {
    features: ["account_balance:balance"],
    entities: { account: [account] },
  })
  expect(response.status).toBe(200)
  return response.json()
}

describe("a first start", () => {
  it("prints one admin token to the terminal and none to the log", async () => {
    expect(tokensIn(server.output.stdout)).toEqual([token])
    expect(server.output.stdout).toContain(`curl -H "Authorization: Bearer $ASHLAR_TOKEN"`)
    await until(
      () => server.output.stderr,
      (log) => log.includes("listening"),
    )
    expect(tokensIn(server.output.stderr)).toEqual([])
  })

  it("answers 401 without a token or with a wrong one, and 200 with it", async () => {
    const anonymous = await client(server.url)("/v2/models/stats")
    expect(anonymous.status).toBe(401)
    expect(anonymous.headers.get("www-authenticate")).toContain("Bearer")
    const wrong = token.replace(/.$/, (last) => (last === "A" ? "B" : "A"))
    expect((await client(server.url, wrong)("/v2/models/stats")).status).toBe(401)
    expect((await call("/v2/models/stats")).status).toBe(200)
  })
})

describe("what is mounted", () => {
  it("answers inference requests with a registered model", async () => {
    await Numbers.expectInference(call)
  })

  it("tracks a run over MLflow's REST API, and finds the model there", async () => {
    const mlflow = async (path: string, body: unknown): Promise<Record<string, unknown>> => {
      const response = await call(`/api/2.0/mlflow${path}`, body)
      const text = await response.text()
      expect(response.status, text).toBe(200)
      return JSON.parse(text)
    }
    const { experiment_id } = await mlflow("/experiments/create", { name: "doubling" })
    const { run } = await mlflow("/runs/create", { experiment_id, start_time: Date.now() })
    const { run_id } = (run as { readonly info: { readonly run_id: string } }).info
    await mlflow("/runs/log-metric", { run_id, key: "auc", value: 0.75, timestamp: Date.now() })
    const found = await call(`/api/2.0/mlflow/runs/get?run_id=${run_id}`)
    expect(await found.json()).toMatchObject({
      run: { data: { metrics: [{ key: "auc", value: 0.75 }] } },
    })
    const models = await call("/api/2.0/mlflow/registered-models/search?max_results=10")
    expect(await models.json()).toMatchObject({ registered_models: [{ name: "numbers" }] })
  })

  it("serves the features of the definitions module", async () => {
    const pushed = await call("/push", {
      push_source_name: "balances",
      df: {
        account: ["a", "b"],
        time: ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"],
        balance: [12.5, 7],
      },
      to: "online",
    })
    expect(pushed.status, await pushed.text()).toBe(200)
    expect(await balanceOf("a")).toMatchObject({
      results: expect.arrayContaining([expect.objectContaining({ values: [12.5] })]),
    })
  })

  it("takes predictions and labels into monitoring, and lists runs", async () => {
    const taken = await call("/monitoring/v1/predictions", {
      predictions: [
        {
          predictionId: "p1",
          model: "numbers",
          version: "1",
          time: "2026-01-01T00:00:00Z",
          features: { x: 1 },
          outputs: { y: 2 },
        },
      ],
    })
    expect(taken.status, await taken.text()).toBe(200)
    expect(await (await call("/monitoring/v1/models")).json()).toMatchObject({
      models: [{ model: "numbers", predictions: 1 }],
    })
    expect(await (await call("/orchestrator/v1/runs")).json()).toEqual({ items: [] })
  })

  it("has one page, whose links all lead somewhere", async () => {
    const page = await client(server.url)("/")
    expect(page.status).toBe(200)
    expect(page.headers.get("content-type")).toContain("text/html")
    const html = await page.text()
    // Nothing is fetched from anywhere else, and no script runs.
    expect(html).not.toMatch(/<script|(?:src|href)="(?:https?:)?\/\//)
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'")
    const links = Array.from(html.matchAll(/href="([^"]+)"/g), ([, path = ""]) => path)
    expect(links.length).toBeGreaterThan(6)
    for (const path of links) expect((await call(path)).status, path).toBe(200)
  })

  it("describes every module in one OpenAPI document", async () => {
    const document: unknown = await (await client(server.url)("/openapi.json")).json()
    expect(document).toMatchObject({
      paths: {
        "/v2/models/{model}/infer": {},
        "/api/2.0/mlflow/runs/create": {},
        "/get-online-features": {},
        "/monitoring/v1/predictions": {},
        "/orchestrator/v1/runs": {},
      },
    })
  })
})

describe("how it is watched", () => {
  it("counts requests, for holders of a token", async () => {
    expect((await client(server.url)("/metrics")).status).toBe(401)
    const text = await (await call("/metrics")).text()
    expect(text).toMatch(
      /http_server_request_duration_seconds_count\{method="POST",route="\/v2\/models\/:model\/infer",status="200"\} \d/,
    )
  })

  it("logs requests as JSON lines, without what they carry", async () => {
    const id = "request-of-a-test"
    await fetch(`${server.url}/v2/models/numbers?password=hunter2`, {
      headers: { authorization: `Bearer ${token}`, "x-request-id": id },
    })
    const line = await until(
      () => server.output.stderr.split("\n").find((each) => each.includes(id)),
      (found) => found !== undefined,
    )
    expect(JSON.parse(line ?? "")).toMatchObject({
      message: "request",
      level: "INFO",
      annotations: {
        method: "GET",
        route: "/v2/models/:model",
        status: 200,
        requestId: id,
        principal: "admin",
      },
    })
    expect(server.output.stderr).not.toContain("hunter2")
    expect(tokensIn(server.output.stderr)).toEqual([])
  })

  it("is ready while database and blobs work, and says which does not", async () => {
    const ready = async () => {
      const response = await client(server.url)("/health/ready")
      return { status: response.status, body: await response.text() }
    }
    expect((await client(server.url)("/health/live")).status).toBe(200)
    expect(await ready()).toMatchObject({ status: 200 })
    const blobs = join(directory, "blobs")
    renameSync(blobs, `${blobs}-away`)
    writeFileSync(blobs, "a file is no folder")
    try {
      const broken = await until(ready, ({ status }) => status === 503)
      expect(JSON.parse(broken.body)).toMatchObject({
        status: "unavailable",
        checks: { database: "ok", blobs: expect.not.stringMatching(/^ok$/) },
      })
    } finally {
      rmSync(blobs)
      renameSync(`${blobs}-away`, blobs)
    }
    await until(ready, ({ status }) => status === 200)
  })
})

describe("a stop and another start", () => {
  it("answers the request under way on SIGTERM, takes no more, and ends with 0", async () => {
    const body = JSON.stringify({
      inputs: [{ name: "x", shape: [1, 3], datatype: "FP32", data: [1, 2, 3] }],
    })
    const half = body.length >> 1
    const { hostname, port } = new URL(server.url)
    const sent = request({
      hostname,
      port,
      path: "/v2/models/numbers/infer",
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-length": body.length },
    })
    const answered = new Promise<{ status: number | undefined; text: string }>(
      (resolve, reject) => {
        sent.on("error", reject).on("response", (response) => {
          let text = ""
          response.on("data", (chunk: Buffer) => (text += chunk.toString()))
          response.on("end", () => resolve({ status: response.statusCode, text }))
        })
      },
    )
    sent.write(body.slice(0, half))
    // The server has begun to read it once it counts it among those being served.
    await until(
      async () => (await call("/metrics")).text(),
      (text) => text.includes("http_server_active_requests 2"),
    )
    server.child.kill("SIGTERM")
    await until(
      () =>
        client(server.url)("/health/live").then(
          ({ status }) => status,
          () => 0,
        ),
      (status) => status !== 200,
    )
    sent.end(body.slice(half))
    expect(await answered).toMatchObject({ status: 200, text: expect.stringContaining("[2,4,6]") })
    expect(await server.ended).toEqual({ code: 0 })
    expect(server.output.stderr).toContain('"message":"drained"')
  })

  it("keeps token, models and features, and makes no other token", async () => {
    server = await start({ args })
    await Numbers.expectInference(call)
    expect(await balanceOf("b")).toMatchObject({
      results: expect.arrayContaining([expect.objectContaining({ values: [7] })]),
    })
    expect(await (await call("/monitoring/v1/models")).json()).toMatchObject({
      models: [{ model: "numbers" }],
    })
    expect(tokensIn(server.output.stdout)).toEqual([])
    expect(existsSync(join(directory, "ashlar.sqlite"))).toBe(true)
  })
})
