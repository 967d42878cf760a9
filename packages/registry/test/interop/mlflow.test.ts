import { ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Models } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const python = process.env["ASHLAR_PYTHON"] ?? ""

describe.skipIf(python === "")("MLflow's own client", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-mlflow-client-"))
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

  const register = Effect.gen(function* () {
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
      yield* models.register({ name: "flights", directory, runId: `run-${version}` })
    }
    yield* models.setAlias("flights", "baseline", 1)
    yield* models.setPolicy("flights", "champion", { metric: "auc", label: "late" })
  })

  beforeAll(async () => {
    await runtime.runPromise(register)
    server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      register: (app) => app.register(Mlflow.plugin, { runtime }),
    })
    const script = fileURLToPath(new URL("client.py", import.meta.url))
    const { stdout } = await promisify(execFile)(python, [script, server.url], {
      maxBuffer: 1 << 26,
    })
    got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  })
  afterAll(async () => {
    await server.drain()
    await runtime.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  const refused = (code: string, text: string) => [code, expect.stringContaining(text)]

  it("creates and finds experiments", () => {
    expect(got).toMatchObject({
      default: "Default",
      experiment: ["flights / 2001", "active", { team: "delay" }],
      "by name": true,
      "no name": null,
      twice: refused("RESOURCE_ALREADY_EXISTS", "already exists"),
      "missing experiment": refused("RESOURCE_DOES_NOT_EXIST", "77"),
      experiments: ["page 4", "page 3", "page 2", "page 1", "page 0", "flights / 2001", "Default"],
    })
  })

  it("tracks runs", () => {
    expect(got).toMatchObject({
      run: {
        name: "trial",
        status: "FINISHED",
        ended: true,
        params: { rate: "0.1", trees: "100", long: 6000 },
        tags: { kind: "gbdt", note: "späť", "mlflow.runName": "trial" },
        auc: 0.74,
        loss: 0.5,
        nan: true,
        inf: true,
        artifacts: true,
      },
      resumed: 1,
      updated: ["FAILED", "renamed"],
    })
  })

  it("logs batches once, and reads histories and pages", () => {
    expect(got).toMatchObject({
      history: [1000, true],
      latest: 999,
      "no history": [],
      search: [7, 7, [10]],
    })
  })

  it("finds runs by filter, in the order asked for", () => {
    expect(got).toMatchObject({
      filter: [["trial"], [], ["trial"], ["renamed"], ["trial"]],
      ordered: ["renamed", "trial"],
      "bad filter": refused("INVALID_PARAMETER_VALUE", "numeric value"),
      "bad order": refused("INVALID_PARAMETER_VALUE", "nothing"),
    })
  })

  it("understands the refusals", () => {
    expect(got).toMatchObject({
      "changed param": refused("INVALID_PARAMETER_VALUE", "Changing param values is not allowed."),
      "bad key": refused("INVALID_PARAMETER_VALUE", "../x"),
      "no run": refused("RESOURCE_DOES_NOT_EXIST", "not found"),
    })
  })

  it("finds models, and moves the aliases that no policy protects", () => {
    expect(got).toMatchObject({
      alias: ["flights", "1", "READY", ["baseline"]],
      "no alias": refused("INVALID_PARAMETER_VALUE", "nobody"),
      "set alias": "2",
      "removed alias": refused("INVALID_PARAMETER_VALUE", "candidate"),
      protected: refused("PERMISSION_DENIED", "policy protects flights@champion"),
      reserved: refused("INVALID_PARAMETER_VALUE", "v3"),
      registered: ["nothing yet", { a: "b" }],
      "registered twice": refused("RESOURCE_ALREADY_EXISTS", "empty"),
      models: ["empty", "flights"],
      "latest version": ["2", { baseline: "1" }],
      versions: ["2", "1"],
      version: "run-1",
      "no version": refused("RESOURCE_DOES_NOT_EXIST", "9"),
      "no model": refused("RESOURCE_DOES_NOT_EXIST", "nobody"),
    })
  })

  it("gets MLflow's words for requests that do not fit", () => {
    const error = (text: string) => [
      400,
      { error_code: "INVALID_PARAMETER_VALUE", message: expect.stringContaining(text) },
    ]
    expect(got).toMatchObject({
      "missing field": error("Missing value for required parameter 'run_id'."),
      "wrong field": error("Invalid value 31 for parameter 'metrics[0].key' supplied"),
      ajax: 200,
      "old id": [200, {}],
      double: [200, {}],
      unsupported: [404, { error_code: "ENDPOINT_NOT_FOUND", message: expect.any(String) }],
      many: 400,
      "page size": 400,
      artifacts: { root_uri: expect.stringContaining("mlflow-artifacts:/") },
    })
  })
})
