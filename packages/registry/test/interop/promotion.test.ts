import { Auth, ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Models, Promotions } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const python = process.env["ASHLAR_PYTHON"] ?? ""

/** The callers: each token is the name of who sends it. */
const people: Readonly<Record<string, ReadonlyArray<Auth.Scope>>> = {
  bot: [{ project: "flights", verb: "write" }],
  anna: [{ project: "governance", verb: "write" }],
  ben: [{ project: "governance", verb: "write" }],
}

describe.skipIf(python === "")("a promotion through MLflow's own client", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-mlflow-promotion-"))
  const runtime = ManagedRuntime.make(
    Mlflow.services.pipe(
      Layer.provide([
        Sqlite.layer({ file: join(folder, "registry.sqlite") }),
        Fs.layer({ directory: join(folder, "blobs") }),
      ]),
    ),
  )
  let server: HttpKit.Server
  let got: Record<string, unknown> = {}

  const prepare = Effect.gen(function* () {
    const models = yield* Models.Models
    for (const version of [1, 2]) {
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
    yield* (yield* Promotions.Promotions).setPolicy("flights", "champion", {
      version: 2,
      gates: [{ type: "signature" }, { type: "approvals", count: 2 }],
    })
  })

  beforeAll(async () => {
    await runtime.runPromise(prepare)
    server = await HttpKit.makeServer({
      auth: {
        verify: (token) => {
          const name = Redacted.value(token)
          const scopes = people[name]
          return scopes === undefined
            ? Effect.fail(
                new Auth.AuthError({ reason: "Unauthenticated", message: `who is ${name}?` }),
              )
            : Effect.succeed({ name, scopes })
        },
      },
      register: (app) => app.register(Mlflow.plugin, { runtime }),
    })
    const script = fileURLToPath(new URL("promotion.py", import.meta.url))
    const { stdout } = await promisify(execFile)(python, [script, server.url], {
      maxBuffer: 1 << 26,
    })
    got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  }, 120_000)
  afterAll(async () => {
    await server.drain()
    await runtime.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  const refused = (text: string) => [
    "RestException",
    "PERMISSION_DENIED",
    403,
    expect.stringContaining(`PERMISSION_DENIED: a policy protects flights@champion: ${text}`),
  ]

  it("is blocked with the reason while it is not satisfied", () => {
    expect(got).toMatchObject({
      "without a request": refused("promote the version"),
      asked: ["open", ["approvals"]],
      blocked: refused(""),
      "one approval": refused(""),
      "nobody yet": expect.arrayContaining(["INVALID_PARAMETER_VALUE"]),
    })
    expect(JSON.stringify(got["blocked"])).toContain("approvals: 0 of 2 approvals")
    expect(JSON.stringify(got["one approval"])).toContain("approvals: 1 of 2 approvals: anna")
  })

  it("succeeds once it is approved, for exactly that version", () => {
    expect(got).toMatchObject({
      approved: null,
      champion: "1",
      "another version": refused("promote the version"),
      removal: refused("promote the version"),
      "free alias": null,
      who: [1, "ben", ["anna", "ben"]],
    })
  })
})
