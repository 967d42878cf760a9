import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { ModelPackage } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { parse } from "yaml"

const run = <A>(effect: Effect.Effect<A, ModelPackage.ModelPackageError>): Promise<A> =>
  Effect.runPromise(effect)
const fails = (effect: Effect.Effect<unknown, ModelPackage.ModelPackageError>) =>
  Effect.runPromise(Effect.flip(Effect.map(effect, () => "it succeeded")))

let folder = ""
let count = 0
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ashlar-package-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const fresh = () => path.join(folder, `model-${count++}`)

const input: ModelPackage.WriteInput = {
  flavor: "onnx",
  entry: "model.onnx",
  files: { "model.onnx": Buffer.from("weights"), "extra/labels.txt": Buffer.from("late\n") },
  signature: {
    inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2], columns: ["delay", "distance"] }],
    outputs: [{ name: "p", datatype: "FP32", shape: [-1, 1] }],
    params: { threshold: 0.5 },
  },
  runId: "0195f2a0-0000-7000-8000-000000000000",
  metadata: { seed: 7 },
  created: 1_000_000_000_123_456,
}

describe("a package", () => {
  it("is read back as it was written, and verifies", async () => {
    const directory = fresh()
    const written = await run(ModelPackage.write(directory, input))
    const read = await run(Effect.flatMap(ModelPackage.read(directory), ModelPackage.verify))
    expect(read).toEqual(written)
    expect(read.manifest.signature).toEqual(input.signature)
    expect(read.manifest.files.map((file) => [file.path, file.size])).toEqual([
      ["model.onnx", 7],
      ["extra/labels.txt", 5],
    ])
    const model: unknown = parse(await readFile(path.join(directory, "MLmodel"), "utf8"))
    expect(model).toMatchObject({
      flavors: {
        onnx: { data: "model.onnx" },
        python_function: { loader_module: "mlflow.onnx", data: "model.onnx" },
      },
      model_size_bytes: 12,
      run_id: input.runId,
      utc_time_created: "2001-09-09 01:46:40.123456",
      signature: {
        inputs: '[{"name":"x","type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,2]}}]',
      },
    })
  })

  it("has a digest of its content alone", async () => {
    const one = await run(ModelPackage.write(fresh(), input))
    const copy = path.join(one.directory, "extra/labels.txt")
    const again = await run(
      ModelPackage.write(fresh(), {
        ...input,
        files: { "extra/labels.txt": { copy }, "model.onnx": Buffer.from("weights") },
        created: 5,
      }),
    )
    expect(again.manifest.digest).toBe(one.manifest.digest)
    const other = await run(
      ModelPackage.write(fresh(), { ...input, files: { "model.onnx": Buffer.from("weight5") } }),
    )
    expect(other.manifest.digest).not.toBe(one.manifest.digest)
  })

  it("without ashlar.json is read from its MLmodel", async () => {
    const { directory, manifest } = await run(ModelPackage.write(fresh(), input))
    await rm(path.join(directory, "ashlar.json"))
    const read = await run(Effect.flatMap(ModelPackage.read(directory), ModelPackage.verify))
    expect(read.manifest.digest).toBe(manifest.digest)
    expect(read.manifest).toMatchObject({
      flavor: "onnx",
      entry: "model.onnx",
      runId: input.runId,
      created: input.created,
      signature: { inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }] },
    })
  })
})

describe("a write", () => {
  it.each(["../out", "/etc/x", "a//b", "a\\b", "C:/x", "./a", ""])(
    "refuses the path %j",
    async (name) => {
      const directory = fresh()
      const files = { ...input.files, [name]: Buffer.from("x") }
      expect(await fails(ModelPackage.write(directory, { ...input, files }))).toMatchObject({
        reason: "InvalidInput",
        field: name,
      })
      expect(await readdir(folder)).not.toContain(path.basename(directory))
    },
  )

  it("refuses a taken directory, a missing entry and a missing file, and leaves nothing", async () => {
    const { directory } = await run(ModelPackage.write(fresh(), input))
    const before = await readdir(folder)
    expect(await fails(ModelPackage.write(directory, input))).toMatchObject({
      reason: "AlreadyExists",
    })
    expect(await fails(ModelPackage.write(fresh(), { ...input, entry: "no" }))).toMatchObject({
      field: "entry",
    })
    const files = { "model.onnx": { copy: path.join(folder, "nothing") } }
    expect(await fails(ModelPackage.write(fresh(), { ...input, files }))).toMatchObject({
      reason: "NotFound",
    })
    const reserved = { ...input.files, mlmodel: Buffer.from("x") }
    expect((await fails(ModelPackage.write(fresh(), { ...input, files: reserved }))).field).toBe(
      "mlmodel",
    )
    expect((await readdir(folder)).sort()).toEqual(before.sort())
  })
})

describe("a read", () => {
  const broken = async (change: (directory: string) => Promise<unknown>) => {
    const { directory } = await run(ModelPackage.write(fresh(), input))
    await change(directory)
    return fails(Effect.flatMap(ModelPackage.read(directory), ModelPackage.verify))
  }
  const edit = (directory: string, from: string | RegExp, to: string) =>
    readFile(path.join(directory, "ashlar.json"), "utf8").then((text) =>
      writeFile(path.join(directory, "ashlar.json"), text.replace(from, to)),
    )

  it("refuses what was changed, lost or points elsewhere", async () => {
    expect(await fails(ModelPackage.read(fresh()))).toMatchObject({ reason: "NotFound" })
    const changed = await broken((d) => writeFile(path.join(d, "model.onnx"), "weightz"))
    expect(changed).toMatchObject({ reason: "Corrupt", field: "model.onnx" })
    expect(await broken((d) => rm(path.join(d, "model.onnx")))).toMatchObject({
      reason: "NotFound",
    })
    expect(await broken((d) => edit(d, "extra/labels.txt", "../../x"))).toMatchObject({
      reason: "InvalidInput",
    })
    expect(await broken((d) => edit(d, "extra/labels.txt", "extra/none"))).toMatchObject({
      reason: "NotFound",
    })
    expect(await broken((d) => edit(d, /"size": 5/, '"size": "5"'))).toMatchObject({
      reason: "Corrupt",
    })
    const swapped = await broken((d) => edit(d, /sha256:[0-9a-f]{4}/, "sha256:0000"))
    expect(swapped).toMatchObject({ reason: "Corrupt", field: "digest" })
    const linked = await broken(async (d) => {
      await writeFile(path.join(folder, "secret"), "weights")
      await rm(path.join(d, "model.onnx"))
      await symlink(path.join(folder, "secret"), path.join(d, "model.onnx"))
    })
    expect(linked).toMatchObject({ reason: "InvalidInput", field: "model.onnx" })
    expect(linked.message).toContain("leads out of the package")
    expect(await broken((d) => truncate(path.join(d, "MLmodel"), 5_000_000))).toMatchObject({
      reason: "TooLarge",
    })
    expect(await broken((d) => writeFile(path.join(d, "MLmodel"), "a: [b"))).toMatchObject({
      reason: "Corrupt",
    })
  })

  it("refuses a foreign directory without signature or with a link out of it", async () => {
    const directory = fresh()
    await mkdir(directory)
    const model = "flavors:\n  onnx:\n    data: model.onnx\n"
    await writeFile(path.join(directory, "MLmodel"), model)
    expect(await fails(ModelPackage.read(directory))).toMatchObject({ field: "signature" })
    await writeFile(path.join(directory, "MLmodel"), `${model}signature: {inputs: '[]'}\n`)
    await symlink("/etc/hostname", path.join(directory, "model.onnx"))
    expect((await fails(ModelPackage.read(directory))).message).toContain("leads out")
    const bomb =
      "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]\n"
    await writeFile(path.join(directory, "MLmodel"), bomb)
    expect(await fails(ModelPackage.read(directory))).toMatchObject({ reason: "Corrupt" })
  })
})
