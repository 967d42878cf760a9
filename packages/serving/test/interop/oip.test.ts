import * as HttpKit from "@ashlar/core/fastify"
import { Serving } from "@ashlar/serving"
import * as Oip from "@ashlar/serving/fastify"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import * as ModelStore from "../model-store.ts"
import { doubler, echo, longDoubler, negation, squarer } from "../onnx-model.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""

describe.skipIf(python === "")("Triton's and Open Inference's own clients", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-serving-clients-"))
  const store = ModelStore.make(folder)
  store.add("numbers", doubler(3), 3)
  store.add("numbers", squarer(3), 3)
  store.setAlias("numbers", "champion", 1)
  store.add("longs", longDoubler(1), 1, "INT64")
  store.add("flags", negation(2), 2, "BOOL")
  store.add("words", echo(2), 2, "BYTES")
  const runtime = ManagedRuntime.make(Layer.provide(Serving.layer(), store.layer))
  let server: HttpKit.Server
  let got: Record<string, unknown> = {}

  beforeAll(async () => {
    server = await HttpKit.makeServer({
      auth: "off-on-loopback",
      register: (app) => app.register(Oip.plugin, { runtime }),
    })
    const script = fileURLToPath(new URL("clients.py", import.meta.url))
    const { stdout } = await promisify(execFile)(python, [script, server.url])
    got = JSON.parse(stdout.trim().split("\n").at(-1) ?? "")
  })
  afterAll(async () => {
    await server.drain()
    await runtime.dispose()
    rmSync(folder, { recursive: true, force: true })
  })

  it("ask for health and metadata", () => {
    expect(got).toMatchObject({
      live: true,
      ready: true,
      model_ready: true,
      version_ready: true,
      nobody_ready: false,
      server: { name: "ashlar" },
      model: { name: "numbers", versions: ["1"], platform: "onnx_onnxv1" },
      config: {
        name: "numbers",
        max_batch_size: 0,
        input: [{ name: "x", data_type: "TYPE_FP32", dims: [-1, 3] }],
      },
      "open-inference server": "ashlar",
      "open-inference model": {
        name: "numbers",
        inputs: [{ name: "x", datatype: "FP32", shape: [-1, 3] }],
      },
    })
  })

  it.each(["FP32", "INT64", "BOOL", "BYTES"].flatMap((type) => [`${type} json`, `${type} binary`]))(
    "get the model's values: %s",
    (what) => {
      expect(got[what]).toBe(true)
    },
  )

  it("infer compressed, concurrently, by version, with an id, with all outputs", () => {
    expect(got).toMatchObject({
      gzip: true,
      deflate: true,
      async: true,
      version: true,
      "all outputs": true,
      "id json": ["r1", "numbers", "1"],
      "id binary": ["r1", "numbers", "1"],
      "open-inference infer": {
        id: "o1",
        outputs: [{ name: "y", datatype: "FP32", shape: [1, 3], data: [2, 4, 6] }],
      },
    })
  })

  it("understand the refusals", () => {
    const refused = (status: string, text: string) => [status, expect.stringContaining(text)]
    expect(got).toMatchObject({
      "bad name": refused("400", "x"),
      "bad type": refused("400", "INT64"),
      "bad shape": refused("400", "x"),
      "bad output": refused("400", "nope"),
      "no model": refused("404", "does not exist"),
      classification: refused("501", "classification"),
      sequence: refused("501", "sequence"),
      "open-inference bad request": 400,
      "open-inference not found": 404,
    })
  })

  it("read the repository and the statistics, load and unload", () => {
    const named = (list: unknown) => (list as Array<{ name: string }>).map(({ name }) => name)
    expect(named(got["index"]).sort()).toEqual(["flags", "longs", "numbers", "numbers", "words"])
    expect(named(got["index after unload"])).not.toContain("flags")
    expect(got).toMatchObject({
      "all statistics": 5,
      statistics: { model_stats: [{ name: "numbers", version: "1" }] },
    })
  })
})
