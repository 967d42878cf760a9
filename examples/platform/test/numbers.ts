import { type BlobStore, type Database, ModelPackage } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Models } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect } from "vitest"
import { doubler } from "../../../packages/serving/test/onnx-model.ts"

const shape = [-1, 3]

/** The backends a server has in its directory by default. */
export const embedded = (directory: string) =>
  Layer.mergeAll(
    Sqlite.layer({ file: join(directory, "ashlar.sqlite") }),
    Fs.layer({ directory: join(directory, "blobs") }),
  )

/** Registers the model `numbers`, which doubles three numbers, and makes it champion. */
export const register = async <E>(
  backends: Layer.Layer<Database.Database | BlobStore.BlobStore, E>,
): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-numbers-"))
  try {
    await Effect.runPromise(
      Effect.gen(function* () {
        yield* ModelPackage.write(join(folder, "model"), {
          flavor: "onnx",
          entry: "model.onnx",
          files: { "model.onnx": doubler(3) },
          signature: {
            inputs: [{ name: "x", datatype: "FP32", shape }],
            outputs: [{ name: "y", datatype: "FP32", shape }],
          },
        })
        const models = yield* Models.Models
        const { version } = yield* models.register({
          name: "numbers",
          directory: join(folder, "model"),
        })
        yield* models.setAlias("numbers", "champion", version)
      }).pipe(Effect.provide(Models.layer.pipe(Layer.provide(backends)))),
    )
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Asks the server to double numbers, and expects them doubled. */
export const expectInference = async (
  call: (path: string, body?: unknown) => Promise<Response>,
): Promise<void> => {
  const response = await call("/v2/models/numbers/infer", {
    inputs: [{ name: "x", shape: [1, 3], datatype: "FP32", data: [1, 2.5, -3] }],
  })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  const answer: unknown = JSON.parse(text)
  expect(answer).toMatchObject({
    model_name: "numbers",
    outputs: [{ name: "y", shape: [1, 3], data: [2, 5, -6] }],
  })
}
