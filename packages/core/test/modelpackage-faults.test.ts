import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { ModelPackage } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { onSmallDisk, underFileLimit } from "./support/fullDisk.ts"

const writer = fileURLToPath(new URL("./fixtures/full-disk-writer.ts", import.meta.url))

const fails = (effect: Effect.Effect<unknown, ModelPackage.ModelPackageError>) =>
  Effect.runPromise(Effect.flip(Effect.map(effect, () => "it succeeded")))

let folder = ""
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ashlar-package-"))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const input: ModelPackage.WriteInput = {
  flavor: "onnx",
  entry: "model.onnx",
  files: { "model.onnx": Buffer.from("weights") },
  signature: { inputs: [], outputs: [] },
}

/** A directory as MLflow writes it, whose flavor loads `entry`. */
const foreign = async (entry: string) => {
  const directory = path.join(folder, "foreign")
  await mkdir(directory)
  const signature = "signature:\n  inputs: '[]'\n  outputs: '[]'\n"
  await writeFile(
    path.join(directory, "MLmodel"),
    `flavors:\n  onnx:\n    data: ${JSON.stringify(entry)}\n${signature}`,
  )
  return directory
}

describe("a directory from elsewhere", () => {
  it.each(["../../../etc/hostname", "/etc/hostname", "a/../../x", "..\\x"])(
    "cannot name the file %s to load",
    async (entry) => {
      const directory = await foreign(entry)
      expect(await fails(ModelPackage.read(directory))).toMatchObject({
        code: "ModelPackageError.InvalidInput",
        field: entry,
      })
    },
  )

  it("cannot name a file that is not there", async () => {
    const directory = await foreign("model.onnx")
    expect(await fails(ModelPackage.read(directory))).toMatchObject({ reason: "NotFound" })
  })

  it.skipIf(process.platform === "win32")("does not wait for a named pipe", async () => {
    const directory = await foreign("model.onnx")
    execFileSync("mkfifo", [path.join(directory, "model.onnx")])
    expect(await fails(ModelPackage.read(directory))).toMatchObject({ reason: "InvalidInput" })
    await rm(path.join(directory, "MLmodel"))
    execFileSync("mkfifo", [path.join(directory, "MLmodel")])
    expect(await fails(ModelPackage.read(directory))).toMatchObject({ reason: "InvalidInput" })
  })

  it.each(["[".repeat(1_000_000), "- ".repeat(1_000_000), `${"{a: ".repeat(100_000)}`])(
    "with an MLmodel nested too deep is refused before it is parsed",
    async (text) => {
      await writeFile(path.join(folder, "MLmodel"), text)
      const error = await fails(ModelPackage.read(folder))
      expect(error).toMatchObject({ reason: "Corrupt" })
      expect((error as Error).message).toContain("deeper than 100 levels")
    },
  )
})

describe("a package that cannot be read again", () => {
  it.each([
    ["created", { created: Number.NaN }],
    ["created", { created: 1.5 }],
    ["metadata", { metadata: { score: Number.NaN } }],
    ["a flavor", { flavor: "__proto__" }],
    ["a flavor", { flavors: JSON.parse('{"__proto__": {"x": 1}}') as Record<string, object> }],
  ] as const)("is not written: %s", async (_, change) => {
    const target = path.join(folder, "model")
    const error = await fails(
      ModelPackage.write(target, { ...input, ...change } as ModelPackage.WriteInput),
    )
    expect(error).toMatchObject({ code: "ModelPackageError.InvalidInput" })
    expect(await readdir(folder)).toEqual([])
  })
})

describe("an interrupted write", () => {
  it("leaves nothing, neither at once nor later", async () => {
    const files: Record<string, Uint8Array> = { "model.onnx": Buffer.from("weights") }
    for (let i = 0; i < 200; i++) files[`part-${i}`] = new Uint8Array(1000)
    for (const after of [2, 10, 30]) {
      const target = path.join(folder, `model-${after}`)
      const fiber = Effect.runFork(ModelPackage.write(target, { ...input, files }))
      await new Promise((resolve) => setTimeout(resolve, after))
      await Effect.runPromise(Fiber.interrupt(fiber))
      expect(await readdir(folder)).toEqual([])
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await readdir(folder)).toEqual([])
  })
})

describe("a full disk", () => {
  it.skipIf(process.platform === "win32")("is OutOfSpace at a file size limit", () => {
    expect(underFileLimit(1_000_000, [writer, "package", folder, "4000000"])).toEqual([
      "ModelPackageError.OutOfSpace",
      "[]",
    ])
  })

  it("is OutOfSpace and leaves nothing, on a full file system", async (context) => {
    const reached = await onSmallDisk(folder, async (disk) => {
      const files = { "model.onnx": new Uint8Array(5_000_000) }
      await Effect.runPromise(ModelPackage.write(path.join(disk, "first"), { ...input, files }))
      expect(
        await fails(ModelPackage.write(path.join(disk, "second"), { ...input, files })),
      ).toMatchObject({ code: "ModelPackageError.OutOfSpace" })
      expect(await readdir(disk)).toEqual(["first"])
      await Effect.runPromise(
        Effect.flatMap(ModelPackage.read(path.join(disk, "first")), ModelPackage.verify),
      )
    })
    if (!reached) context.skip("a small tmpfs cannot be mounted here: that takes root")
  })
})
