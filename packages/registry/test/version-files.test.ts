import { ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Artifacts, Models } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-version-files-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const layer = Layer.provide(Layer.merge(Models.layer, Artifacts.layer), [
  Sqlite.layer({ file: join(folder, "registry.sqlite") }),
  Fs.layer({ directory: join(folder, "blobs") }),
])

it("the files of a deleted version go, once no version is made of them", async () => {
  const program = Effect.gen(function* () {
    const models = yield* Models.Models
    const artifacts = yield* Artifacts.Artifacts
    const { directory } = yield* ModelPackage.write(join(folder, "package"), {
      flavor: "onnx",
      entry: "model.onnx",
      files: { "model.onnx": Buffer.from("weights") },
      signature: {
        inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
        outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
      },
    })
    const files = Effect.map(
      Effect.option(artifacts.get("registered-models/flights/1/model.onnx")),
      ({ _tag }) => _tag === "Some",
    )
    yield* models.register({ name: "flights", directory })
    yield* models.create({ name: "late" })
    yield* models.createVersion({ name: "late", source: "models:/flights/1" })
    const before = yield* files
    yield* models.removeVersion("flights", 1)
    const used = yield* files
    const copy = yield* models.fetch(
      yield* models.resolve({ name: "late", version: 1 }),
      join(folder, "cache"),
    )
    yield* models.removeVersion("late", 1)
    return { before, used, entry: copy.manifest.entry, after: yield* files }
  })
  expect(await Effect.runPromise(Effect.provide(program, layer))).toEqual({
    before: true,
    used: true,
    entry: "model.onnx",
    after: false,
  })
})
