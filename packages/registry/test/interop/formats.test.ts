import { ModelFormat, TensorBoard } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const python = process.env["ASHLAR_PYTHON"] ?? ""
const columns = ["distance", "hour", "carrier"]

/** What the libraries say of the files they wrote. */
interface Says {
  readonly features?: number
  readonly output?: ReadonlyArray<number>
  readonly tensors?: Readonly<Record<string, readonly [string, ReadonlyArray<number>]>>
  readonly inputs?: ReadonlyArray<unknown>
  readonly [field: string]: unknown
}

describe.skipIf(python === "")("files that other libraries wrote", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-formats-"))
  const script = fileURLToPath(new URL("formats.py", import.meta.url))
  const call = async (...args: ReadonlyArray<string>) => {
    const { stdout } = await promisify(execFile)(python, [script, ...args], { maxBuffer: 1 << 26 })
    return stdout.trim().split("\n").at(-1) ?? ""
  }
  const recognise = (name: string) => Effect.runPromise(ModelFormat.recognise(join(folder, name)))
  let says: Readonly<Record<string, Says>> = {}

  beforeAll(async () => {
    says = JSON.parse(await call("models", folder))
    for (const name of ["tensorboard", "tensorboardx"]) mkdirSync(join(folder, name))
    await call("events", folder)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.each(["logistic.onnx", "zipmap.onnx", "external/linear.onnx"])("onnx: %s", async (name) => {
    const found = await recognise(name)
    expect(found.format).toBe("onnx")
    expect(found.details).toMatchObject(says[name] ?? { missing: name })
  })

  it("onnx: signature, external data", async () => {
    expect((await recognise("logistic.onnx")).signature).toEqual({
      inputs: [{ name: "X", datatype: "FP32", shape: [-1, 3] }],
      outputs: [
        { name: "label", datatype: "INT64", shape: [-1] },
        { name: "probabilities", datatype: "FP32", shape: [-1, 2] },
      ],
    })
    expect((await recognise("zipmap.onnx")).signature).toBeUndefined()
    const linear = await recognise("external")
    expect(linear.details).toMatchObject({ externalData: ["linear.bin"] })
    expect(linear.signature).toEqual({
      inputs: [{ name: "x", datatype: "FP32", shape: [-1, 3] }],
      outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2] }],
    })
    await expect(recognise("escape.onnx")).rejects.toMatchObject({
      reason: "InvalidInput",
      field: "graph.initializer.external_data.location",
    })
  })

  it("safetensors", async () => {
    const found = await recognise("weights.safetensors")
    if (found.format !== "safetensors") throw new Error(found.format)
    const { tensors, metadata } = found.details
    const expected = says["weights.safetensors"]
    expect(metadata).toEqual(expected?.["metadata"])
    expect(Object.fromEntries(tensors.map((t) => [t.name, [t.dtype, t.shape]]))).toEqual(
      expected?.tensors,
    )
  })

  it.each(
    ["binary", "softprob", "softmax", "targets", "unnamed", "linear"].flatMap((name) => [
      `${name}.json`,
      `${name}.ubj`,
    ]),
  )("xgboost: %s", async (name) => {
    const found = await recognise(name)
    const { output, ...expected } = says[name] ?? {}
    expect(found.format).toBe("xgboost")
    expect(found.details).toMatchObject({ encoding: name.split(".")[1], ...expected })
    expect(found.signature).toEqual({
      inputs: [
        {
          name: "features",
          datatype: "FP32",
          shape: [-1, expected.features],
          ...(name.startsWith("unnamed") ? {} : { columns }),
        },
      ],
      outputs: [{ name: "prediction", datatype: "FP32", shape: output }],
    })
  })

  it.each(["lgb-binary.txt", "lgb-multi.txt"])("lightgbm: %s", async (name) => {
    const found = await recognise(name)
    const { output, ...expected } = says[name] ?? {}
    expect(found.format).toBe("lightgbm")
    expect(found.details).toMatchObject(expected)
    expect(found.signature).toEqual({
      inputs: [{ name: "features", datatype: "FP64", shape: [-1, 3], columns }],
      outputs: [{ name: "prediction", datatype: "FP64", shape: output }],
    })
  })

  it("scikit-learn through MLmodel; a bare pickle is refused", async () => {
    const found = await recognise("sklearn")
    const { inputs, ...expected } = says["sklearn"] ?? {}
    expect(found.format).toBe("scikit-learn")
    expect(found.details).toMatchObject({ ...expected, entry: "model.pkl" })
    expect(found.signature?.inputs.map(({ name }) => name)).toEqual(inputs)
    expect(found.signature?.outputs).toEqual([{ name: "late", datatype: "INT64", shape: [-1] }])
    await expect(recognise("pickle.pkl")).rejects.toMatchObject({
      field: "format",
      message: expect.stringContaining("pickle"),
    })
  })

  const eventsOf = async (name: string) => {
    const [file = ""] = await Effect.runPromise(TensorBoard.filesOf(join(folder, name)))
    return Effect.runPromise(Stream.runCollect(TensorBoard.read(file)))
  }

  it("events of TensorBoard's writer, scalars as tensors", async () => {
    const events = await eventsOf("tensorboard")
    expect(events[0]?.fileVersion).toBe("brain.Event:2")
    expect(
      events.slice(1).map(({ time, step, scalars }) => [time, step, scalars[0]?.value]),
    ).toEqual([0, 1, 2, 3, 4].map((i) => [1_000_500_000 + i * 1e6, i, Math.fround(1 / (i + 1))]))
  })

  it("events of tensorboardX, with histograms and text beside them, and hparams", async () => {
    const scalars = (await eventsOf("tensorboardx")).flatMap((event) =>
      event.scalars.map(({ tag, value }) => [tag, event.step, value]),
    )
    expect(scalars.filter(([tag]) => tag === "train/loss")).toEqual(
      Array.from({ length: 1500 }, (_, i) => ["train/loss", i, i / 2]),
    )
    expect(scalars.filter(([tag]) => tag !== "train/loss")).toEqual([["acc_best", 3, 0.75]])
    const hparams = (await eventsOf("tensorboardx/h")).flatMap((event) => event.hparams ?? [])
    expect(hparams).toMatchObject([
      { params: { rate: 0.5, optimizer: "adam", deep: true } },
      { status: "SUCCESS" },
    ])
  })

  it("TensorBoard reads ours", async () => {
    const directory = join(folder, "ours")
    await Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const writer = yield* TensorBoard.make(directory)
          yield* writer.start({ rate: 0.5, optimizer: "adam", deep: true })
          for (const step of [0, 1, 300, 2 ** 40]) {
            const points = [
              { tag: "loss", value: step / 4 },
              { tag: "späť/auc", value: 0.5 },
            ]
            yield* writer.scalars(points, { step, time: 1_500_000 + step })
          }
          yield* writer.end("SUCCESS")
        }),
      ),
    )
    const read: unknown = JSON.parse(await call("read", directory))
    const series = (value: (step: number) => number) =>
      [0, 1, 300, 2 ** 40].map((step) => [step, (1_500_000 + step) / 1e6, value(step)])
    expect(read).toEqual({
      scalars: { loss: series((step) => step / 4), "späť/auc": series(() => 0.5) },
      hparams: { rate: 0.5, optimizer: "adam", deep: true },
      status: 1,
    })
  })
})
