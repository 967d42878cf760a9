import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { ModelPackage, Signature } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ask } from "./oracle.ts"

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ashlar-mlflow-"))
  ask("write_onnx", path.join(folder, "model.onnx"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const run = <A, E>(effect: Effect.Effect<A, E>) => Effect.runPromise(effect)

describe("a model package with MLflow", () => {
  it("is loaded by it: manifest, signature, ONNX file and predictions", async () => {
    const directory = path.join(folder, "ours")
    const signature: Signature.Signature = {
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1, 1] }],
      params: { threshold: 0.5 },
    }
    const { manifest } = await run(
      ModelPackage.write(directory, {
        flavor: "onnx",
        entry: "model.onnx",
        files: { "model.onnx": { copy: path.join(folder, "model.onnx") } },
        signature,
        runId: "8f14e45fceea467a9575bb4a3c1c6b1d",
        metadata: { seed: 7, data: "sha256:00" },
      }),
    )
    expect(ask("load_mlflow", directory)).toMatchObject({
      signature: await run(Signature.toMlflow(signature)).then((text) => ({
        inputs: expect.toSatisfy((theirs) => same(theirs, text.inputs)),
        outputs: expect.toSatisfy((theirs) => same(theirs, text.outputs)),
        params: expect.toSatisfy((theirs) => same(theirs, text.params)),
      })),
      run_id: "8f14e45fceea467a9575bb4a3c1c6b1d",
      uuid: manifest.modelUuid,
      size: manifest.files[0]?.size,
      metadata: { seed: 7, data: "sha256:00" },
      inputs: ["x"],
      predicted: [3, 7],
    })
  })

  it("that it saved is read, and verifies", async () => {
    ask("save_mlflow", folder)
    const saved = path.join(folder, "saved")
    const model = await run(Effect.flatMap(ModelPackage.read(saved), ModelPackage.verify))
    expect(model.manifest).toMatchObject({
      flavor: "onnx",
      entry: "model.onnx",
      metadata: { by: "mlflow" },
      signature: {
        inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
        outputs: [{ name: "y", datatype: "FP32", shape: [-1, 1] }],
      },
    })
    expect(model.manifest.created).toBeGreaterThan(1.7e15)
    expect(model.manifest.files.map((file) => file.path)).toContain("requirements.txt")
  })
})

const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : typeof value === "object" && value !== null
      ? Object.fromEntries(
          Object.entries(value)
            .map(([key, member]) => [key, sorted(member)] as const)
            .toSorted(([a], [b]) => (a < b ? -1 : 1)),
        )
      : value

const same = (theirs: unknown, ours: string | null | undefined): boolean =>
  typeof theirs === "string" &&
  JSON.stringify(sorted(JSON.parse(theirs))) === JSON.stringify(sorted(JSON.parse(ours ?? "null")))
