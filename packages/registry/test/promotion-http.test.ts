import { type Auth, Digest, ModelPackage, PromotionGate } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Audit, Models } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-promotion-http-"))

/** Challengers with an even number win; without data nobody asks. */
const gate = Layer.succeed(
  PromotionGate.PromotionGate,
  PromotionGate.PromotionGate.of({
    compare: ({ challenger }) =>
      Effect.succeed({
        passed: (challenger.version ?? 0) % 2 === 0,
        checks: [{ name: "auc", passed: (challenger.version ?? 0) % 2 === 0, message: "compared" }],
      }),
  }),
)

/** The callers: each token is the name of who sends it. */
const people: Readonly<Record<string, ReadonlyArray<Auth.Scope>>> = {
  bot: [{ project: "flights", verb: "write" }],
  ci: [{ project: "flights", verb: "write" }],
  anna: [{ project: "governance", verb: "write" }],
  ben: [{ project: "governance", verb: "write" }],
  boss: [{ project: "governance", verb: "admin" }],
  guest: [{ project: "flights", verb: "read" }],
}

describe("promotion over HTTP", () => {
  const runtime = ManagedRuntime.make(
    Mlflow.services.pipe(
      Layer.provide([
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        Fs.layer({ directory: join(folder, "blobs") }),
        gate,
      ]),
    ),
  )
  let server: HttpKit.Server

  beforeAll(async () => {
    await runtime.runPromise(
      Effect.gen(function* () {
        const models = yield* Models.Models
        for (const version of [1, 2, 3]) {
          const { directory } = yield* ModelPackage.write(join(folder, `package-${version}`), {
            flavor: "onnx",
            entry: "model.onnx",
            files: { "model.onnx": Buffer.from(`model ${version}`) },
            signature: {
              inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
              outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
            },
          })
          yield* models.register({ name: "flights", directory })
        }
      }),
    )
    server = await HttpKit.makeServer({
      auth: {
        principalOf: (request) => {
          const name = String(request.headers["x-user"] ?? "guest")
          return { name, scopes: people[name] ?? [] }
        },
      },
      register: (app) => app.register(Mlflow.plugin, { runtime }),
    })
  })
  afterAll(async () => {
    await server.drain()
    await runtime.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  const call = async (user: string, method: string, path: string, body?: unknown) => {
    const answer = await fetch(`${server.url}/api/${path}`, {
      method,
      headers: {
        "x-user": user,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    return { status: answer.status, text, body: text === "" ? undefined : parsed(text) }
  }
  const parsed = (text: string) => {
    try {
      return JSON.parse(text)
    } catch {
      return undefined
    }
  }
  const own = (user: string, method: string, path: string, body?: unknown) =>
    call(user, method, `ashlar/registry/${path}`, body)
  const setAlias = (user: string, version: string) =>
    call(user, "POST", "2.0/mlflow/registered-models/alias", {
      name: "flights",
      alias: "champion",
      version,
    })

  const policy = {
    version: 2,
    gates: [
      {
        type: "metric",
        metric: "auc",
        label: "late",
        evaluation: { name: "april", uri: "file:///april.parquet" },
      },
      { type: "tests", names: ["bias"] },
      { type: "approvals", count: 2 },
    ],
    rollback: "always",
  }

  it("gives each verb of governance to who has its scope", async () => {
    const put = (user: string) => own(user, "PUT", "models/flights/policies/champion", policy)
    expect((await put("bot")).status).toBe(403)
    expect((await put("anna")).status).toBe(403)
    expect((await put("boss")).status).toBe(204)
    const { body } = await own("guest", "GET", "models/flights/policies")
    expect(body).toEqual({ policies: { champion: policy } })
    const wrong = await own("boss", "PUT", "models/flights/policies/champion", {
      version: 2,
      gates: [{ type: "threshold", metric: "auc" }],
    })
    expect(wrong).toMatchObject({ status: 400, body: { error: { reason: "InvalidInput" } } })
    expect(wrong.body.error.field).toMatch(/^body\.gates/)
    expect((await own("boss", "PUT", "models/flights/policies/a%20b", policy)).status).toBe(400)
    const ask = { name: "flights", alias: "champion", version: 1 }
    expect((await own("guest", "POST", "promotions", ask)).status).toBe(403)
  })

  it("asks, waits, is approved and moves; MLflow's endpoint honours it", async () => {
    const bypass = await setAlias("bot", "2")
    expect(bypass).toMatchObject({ status: 403, body: { error_code: "PERMISSION_DENIED" } })

    const refused = await own("bot", "POST", "promotions", {
      name: "flights",
      alias: "champion",
      version: 1,
    })
    expect(refused).toMatchObject({
      status: 200,
      body: {
        status: "refused",
        requester: "bot",
        gates: [
          { gate: "metric", passed: false },
          { gate: "tests", pending: true },
          { gate: "approvals", pending: true },
        ],
      },
    })
    const { body: open } = await own("bot", "POST", "promotions", {
      name: "flights",
      alias: "champion",
      version: 2,
      key: "april",
      reason: "retrained",
    })
    expect(open).toMatchObject({ status: "open", created: expect.stringMatching(/Z$/) })
    const path = `promotions/${open.id}`
    expect((await own("bot", "POST", `${path}/approve`)).status).toBe(403)
    expect((await own("anna", "POST", `${path}/approve`, { comment: "fine" })).body).toMatchObject({
      status: "open",
      votes: [{ by: "anna", vote: "approve", comment: "fine" }],
    })
    const blocked = await setAlias("bot", "2")
    expect(blocked.status).toBe(403)
    expect(blocked.body.message).toContain("tests: 'bias' has not reported")
    expect(blocked.body.message).toContain("approvals: 1 of 2 approvals")
    expect((await own("ben", "POST", `${path}/approve`)).body).toMatchObject({ status: "open" })
    const evidence = { test: "bias", status: "passed", digest: Digest.of("report") }
    expect(await own("ci", "POST", "models/flights/versions/2/evidence", evidence)).toMatchObject({
      status: 200,
      body: { by: "ci", test: "bias" },
    })
    expect((await own("guest", "GET", path)).body).toMatchObject({ status: "promoted" })
    expect((await setAlias("bot", "2")).status).toBe(200)
    expect((await setAlias("bot", "3")).status).toBe(403)
    const listed = await own("guest", "GET", "promotions?name=flights&limit=1")
    expect(listed.body).toMatchObject({ items: [{ id: open.id }], next: expect.any(String) })

    const { body } = await own("guest", "GET", "models/flights/champion?alias=champion")
    expect(body.champion).toMatchObject({
      version: 2,
      by: "ci",
      requester: "bot",
      reason: "retrained",
      request: open.id,
      approvals: [{ by: "anna", comment: "fine" }, { by: "ben" }],
      gates: [{ gate: "metric" }, { gate: "tests" }, { gate: "approvals" }],
    })
    const past = await own(
      "guest",
      "GET",
      "models/flights/champion?alias=champion&at=2001-01-01T00:00:00Z",
    )
    expect(past.body.champion).toBeNull()
  })

  it("lets who asked take it back, and nobody else", async () => {
    const { body: open } = await own("bot", "POST", "promotions", {
      name: "flights",
      alias: "champion",
      version: 2,
    })
    expect((await own("ci", "POST", `promotions/${open.id}/withdraw`)).status).toBe(403)
    expect((await own("bot", "POST", `promotions/${open.id}/withdraw`)).body).toMatchObject({
      status: "rejected",
    })
    expect((await own("anna", "POST", `promotions/${open.id}/approve`)).status).toBe(409)
  })

  it("protects a stage: the transition uses up a request that is satisfied", async () => {
    const stage = "stage:Production"
    const rules = { version: 2, gates: [{ type: "signature" }, { type: "approvals", count: 1 }] }
    const transition = (version: string, to: string) =>
      call("bot", "POST", "2.0/mlflow/model-versions/transition-stage", {
        name: "flights",
        version,
        stage: to,
        archive_existing_versions: to === "Production",
      })
    expect((await transition("1", "Production")).status).toBe(200)
    expect((await own("boss", "PUT", `models/flights/policies/${stage}`, rules)).status).toBe(204)
    const blocked = await transition("2", "production")
    expect(blocked).toMatchObject({ status: 403, body: { error_code: "PERMISSION_DENIED" } })
    expect(blocked.body.message).toContain("a policy protects stage Production of flights")
    const { body: open } = await own("bot", "POST", "promotions", {
      name: "flights",
      stage: "Production",
      version: 2,
    })
    expect(open.gates[0].checks[0].message).toBe("takes what version 1 takes")
    expect((await transition("2", "Production")).body.message).toContain("0 of 1 approvals")
    const approved = await own("anna", "POST", `promotions/${open.id}/approve`)
    expect(approved.body).toMatchObject({
      status: "open",
      gates: [{ passed: true }, { passed: true }],
    })
    expect((await transition("3", "Production")).status).toBe(403)
    const moved = await transition("2", "Production")
    expect(moved.body.model_version).toMatchObject({ version: "2", current_stage: "Production" })
    expect((await own("guest", "GET", `promotions/${open.id}`)).body).toMatchObject({
      status: "promoted",
      previous: 1,
    })
    // The champion leaves only for another.
    expect((await transition("2", "Archived")).status).toBe(403)
    const said = await own("guest", "GET", "models/flights/champion?stage=Production")
    expect(said.body.champion).toMatchObject({ version: 2, by: "bot", approvals: [{ by: "anna" }] })
  })

  it("rolls back, and exports the audit", async () => {
    const back = "models/flights/aliases/champion/rollback"
    expect((await own("bot", "POST", back, { reason: "x" })).status).toBe(403)
    // There was no champion before.
    expect((await own("anna", "POST", back, { reason: "x" })).status).toBe(412)
    expect((await own("guest", "GET", "audit")).status).toBe(403)
    const { text, status } = await own("anna", "GET", "audit")
    expect(status).toBe(200)
    expect(Audit.verifyLines(text)).toEqual({ entries: text.trim().split("\n").length })
  })

  it("answers bad input with 4xx and the field", async () => {
    const cases: ReadonlyArray<readonly [string, string, unknown?]> = [
      ["POST", "promotions", { name: "flights", alias: "champion" }],
      ["POST", "promotions", { name: "flights", alias: "champion", version: "2" }],
      ["POST", "promotions", { name: "flights", version: 2 }],
      ["POST", "promotions", { name: "flights", version: 2, alias: "x".repeat(300) }],
      ["POST", "promotions", { name: "nothing", version: 2, alias: "champion" }],
      ["GET", "promotions/not-an-id"],
      ["GET", "promotions?limit=0"],
      ["GET", "promotions?token=zzz"],
      ["GET", "models/flights/champion"],
      ["GET", "models/flights/champion?alias=champion&at=yesterday"],
      ["GET", "models/flights/champion?stage=Moon"],
      ["POST", "models/flights/versions/0/evidence", {}],
      ["POST", "models/flights/versions/2/evidence", { test: "a", status: "maybe", digest: "x" }],
    ]
    for (const [method, path, body] of cases) {
      const answer = await own("bot", method, path, body)
      expect([400, 404], `${method} ${path}: ${answer.text}`).toContain(answer.status)
      expect(answer.body.error.message.length).toBeGreaterThan(10)
    }
  })
})
