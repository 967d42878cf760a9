import { ModelFormat } from "@ashlar/registry"
import * as tf from "@tensorflow/tfjs-core"
import * as layers from "@tensorflow/tfjs-layers"
import "@tensorflow/tfjs-backend-cpu"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { crc32, deflateRawSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-formats-"))
const real = fileURLToPath(new URL("fixtures/formats", import.meta.url))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const recognise = (file: string) => Effect.runPromise(ModelFormat.recognise(file))

let count = 0
const place = (content: Uint8Array | string, name = "model"): string => {
  const directory = join(folder, `case-${count++}`)
  mkdirSync(directory)
  writeFileSync(join(directory, name), content)
  return join(directory, name)
}

const u16 = (...values: ReadonlyArray<number>) => Buffer.from(Uint16Array.from(values).buffer)
const u32 = (...values: ReadonlyArray<number>) => Buffer.from(Uint32Array.from(values).buffer)

/** A zip archive by the letter of APPNOTE: local headers, central directory, its end. */
const zip = (files: Readonly<Record<string, string>>, method: 0 | 8 = 0): Buffer => {
  const locals: Array<Buffer> = []
  const central: Array<Buffer> = []
  let offset = 0
  for (const [name, content] of Object.entries(files)) {
    const body = method === 0 ? Buffer.from(content) : deflateRawSync(content)
    const sizes = u32(crc32(content), body.length, Buffer.byteLength(content))
    const head = [u16(20, 0, method, 0, 0), sizes, u16(Buffer.byteLength(name), 0)]
    const local = Buffer.concat([u32(0x04034b50), ...head, Buffer.from(name), body])
    const tail = [u16(0, 0, 0), u32(0, offset), Buffer.from(name)]
    central.push(Buffer.concat([u32(0x02014b50), u16(20), ...head, ...tail]))
    locals.push(local)
    offset += local.length
  }
  const directory = Buffer.concat(central)
  const n = central.length
  const end = [u32(0x06054b50), u16(0, 0, n, n), u32(directory.length, offset), u16(0)]
  return Buffer.concat([...locals, directory, ...end])
}

const keras = {
  "metadata.json": '{"keras_version": "3.15.1", "date_saved": "2026-11-01@10:00:00"}',
  "config.json":
    '{"module": "keras", "class_name": "Sequential", "config": {"name": "tiny"}, "build_config": {"input_shape": [null, 3]}}',
  "model.weights.h5": "weights",
}
const torch = {
  "net/data.pkl": "\u0080\u0002}q.",
  "net/byteorder": "little",
  "net/data/0": "12345678",
  "net/data/1": "1234",
  "net/version": "3\n",
}
const pmml = `<?xml version="1.0" encoding="UTF-8"?>
<!-- a tree -->
<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4">
  <Header><Application name="maker" version="1.2"/></Header>
  <DataDictionary>
    <DataField name="distance" optype="continuous" dataType="double"/>
    <DataField name="a &amp; b > c" optype="categorical" dataType="string"><Value value="x"/></DataField>
    <DataField name="late" optype="categorical" dataType="integer"/>
  </DataDictionary>
  <TreeModel functionName="classification">
    <MiningSchema>
      <MiningField name="late" usageType="target"/>
      <MiningField name="distance"/><MiningField name="a &amp; b > c"/>
    </MiningSchema>
    <Output><OutputField name="probability(1)" dataType="double" feature="probability" value="1"/></Output>
    <Node score="1"><True/></Node>
  </TreeModel>
</PMML>`

/** Saves a network with TensorFlow.js itself. */
const saveTfjs = async (directory: string): Promise<void> => {
  await tf.setBackend("cpu")
  const model = layers.sequential({
    layers: [layers.layers.dense({ units: 2, inputShape: [3] }), layers.layers.dense({ units: 1 })],
  })
  mkdirSync(directory, { recursive: true })
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      const { modelTopology, weightSpecs, weightData, format, generatedBy, convertedBy } = artifacts
      if (!(weightData instanceof ArrayBuffer)) throw new Error("weights in one piece")
      const weightsManifest = [{ paths: ["weights.bin"], weights: weightSpecs }]
      writeFileSync(join(directory, "weights.bin"), Buffer.from(weightData))
      writeFileSync(
        join(directory, "model.json"),
        JSON.stringify({ modelTopology, format, generatedBy, convertedBy, weightsManifest }),
      )
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } }
    }),
  )
}

describe("recognise", () => {
  const tfjs = join(folder, "tfjs")
  beforeAll(() => saveTfjs(tfjs))

  it("knows every format by its content", async () => {
    const expected = {
      "binary.json": "xgboost",
      "binary.ubj": "xgboost",
      "external/linear.onnx": "onnx",
      "lgb-binary.txt": "lightgbm",
      "logistic.onnx": "onnx",
      sklearn: "scikit-learn",
      "weights.safetensors": "safetensors",
    }
    for (const [name, format] of Object.entries(expected)) {
      expect([name, (await recognise(join(real, name))).format]).toEqual([name, format])
    }
  })

  it("TensorFlow.js: weights are counted and must be there", async () => {
    const found = await recognise(tfjs)
    expect(found.format).toBe("tensorflowjs")
    expect(found.details).toMatchObject({
      kind: "layers-model",
      weightFiles: ["weights.bin"],
      weights: 4,
      weightBytes: 4 * (3 * 2 + 2 + 2 * 1 + 1),
      inputShape: [null, 3],
    })
    const copy = (name: string, edit: (text: string) => string) => {
      cpSync(tfjs, join(folder, name), { recursive: true })
      const file = join(folder, name, "model.json")
      writeFileSync(file, edit(readFileSync(file, "utf8")))
      return recognise(file)
    }
    await expect(copy("missing", (t) => t.replace("weights.bin", "w.bin"))).rejects.toMatchObject({
      field: "weightsManifest[0].paths[0]",
    })
    await expect(
      copy("escape", (t) => t.replace("weights.bin", "../tfjs/weights.bin")),
    ).rejects.toMatchObject({ field: "weightsManifest[0].paths[0]", reason: "InvalidInput" })
    writeFileSync(join(folder, "missing", "w.bin"), "short")
    await expect(recognise(join(folder, "missing"))).rejects.toMatchObject({
      message: expect.stringContaining("describes 44 bytes, its files have 5"),
    })
  })

  it("TensorFlow.js: the signature of a graph model", async () => {
    const tensor = (size: string, dtype: string) => ({
      dtype,
      tensorShape: { dim: [{ size: "-1" }, { size }] },
    })
    const model = {
      format: "graph-model",
      modelTopology: { node: [] },
      signature: {
        inputs: { "x:0": tensor("4", "DT_FLOAT") },
        outputs: { "y:0": tensor("2", "DT_INT32") },
      },
      weightsManifest: [],
    }
    const found = await recognise(place(JSON.stringify(model), "model.json"))
    expect(found.signature).toEqual({
      inputs: [{ name: "x:0", datatype: "FP32", shape: [-1, 4] }],
      outputs: [{ name: "y:0", datatype: "INT32", shape: [-1, 2] }],
    })
  })

  it.each([0, 8] as const)("archives of Keras and PyTorch, method %i", async (method) => {
    expect(await recognise(place(zip(keras, method)))).toEqual({
      format: "keras",
      details: {
        kerasVersion: "3.15.1",
        saved: "2026-11-01@10:00:00",
        className: "Sequential",
        name: "tiny",
        inputShape: [null, 3],
        weightsBytes: 7,
      },
    })
    const plain = { archive: "net", version: "3", byteOrder: "little", storages: 2 }
    expect(await recognise(place(zip(torch, method)))).toEqual({
      format: "pytorch",
      details: { ...plain, storageBytes: 12, code: [] },
    })
    const scripted = { ...torch, "net/constants.pkl": "", "net/code/__torch__.py": "" }
    expect(await recognise(place(zip(scripted, method)))).toMatchObject({
      format: "torchscript",
      details: { code: ["net/code/__torch__.py"] },
    })
  })

  it("PMML", async () => {
    expect(await recognise(place(pmml))).toEqual({
      format: "pmml",
      details: {
        version: "4.4",
        application: "maker 1.2",
        model: "TreeModel",
        functionName: "classification",
        fields: [
          { name: "distance", dataType: "double", opType: "continuous" },
          { name: "a & b > c", dataType: "string", opType: "categorical" },
          { name: "late", dataType: "integer", opType: "categorical" },
        ],
        targets: ["late"],
      },
      signature: {
        inputs: [
          { name: "distance", datatype: "FP64", shape: [-1] },
          { name: "a & b > c", datatype: "BYTES", shape: [-1] },
        ],
        outputs: [{ name: "probability(1)", datatype: "FP64", shape: [-1] }],
      },
    })
  })

  const tensors = (header: unknown, data = 8) => {
    const text = Buffer.from(JSON.stringify(header))
    return Buffer.concat([u32(text.length, 0), text, Buffer.alloc(data)])
  }
  const w = { dtype: "F32", shape: [2], data_offsets: [0, 8] }
  const bomb = zip({ ...keras, "config.json": `{"a": "${"0".repeat(40 << 20)}"}` }, 8)

  it.each([
    ["an empty file", "", "format"],
    ["text", "hello", "format"],
    ["HDF5", "\u0089HDF\r\n", "format"],
    [
      "a hole",
      tensors({ a: w, b: { ...w, data_offsets: [12, 20] } }, 20),
      'tensor "b".data_offsets',
    ],
    ["overlap", tensors({ a: w, b: w }, 8), 'tensor "b".data_offsets'],
    ["a size that lies", tensors({ a: { ...w, shape: [3] } }), 'tensor "a".data_offsets'],
    ["too many bytes", tensors({ a: w }, 9), "data"],
    ["an unknown dtype", tensors({ a: { ...w, dtype: "F31" } }), 'tensor "a".dtype'],
    ["a huge shape", tensors({ a: { ...w, shape: [2 ** 50, 2 ** 50] } }), 'tensor "a".shape'],
    [
      "a prototype",
      tensors(JSON.parse('{"__proto__": {"dtype": 1}}'), 0),
      'tensor "__proto__".dtype',
    ],
    ["a path in a zip", zip({ ...keras, "../evil": "" }), "central directory[3].name"],
    ["a zip bomb", bomb, "config.json"],
    ["a DOCTYPE", `<!DOCTYPE x [<!ENTITY a "b">]>${pmml}`, "XML"],
    ["an entity", pmml.replace("&amp;", "&evil;"), "DataField.name"],
    ["PMML 3", pmml.replace('version="4.4"', 'version="3.2"'), "PMML.version"],
    ["deep UBJSON", `{U\u0001a${"[".repeat(100)}`, "a"],
    ["deep JSON", `{"learner": ${"[".repeat(100_000)}`, "file"],
    ["a LightGBM without trees", "tree\nversion=v4\n", "header"],
  ])("refuses %s", async (_, content, field) => {
    const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content
    await expect(recognise(place(bytes))).rejects.toMatchObject({
      _tag: "ModelFormatError",
      field,
      reason: expect.stringMatching(/^(InvalidInput|TooLarge)$/),
    })
  })

  it("refuses links and paths that leave the model's directory", async () => {
    await expect(recognise(join(real, "escape.onnx"))).rejects.toMatchObject({
      field: "graph.initializer.external_data.location",
      message: expect.stringContaining("leaves the model's directory"),
    })
    const linear = place(readFileSync(join(real, "external/linear.onnx")), "linear.onnx")
    await expect(recognise(linear)).rejects.toMatchObject({
      message: expect.stringContaining('no file "linear.bin"'),
    })
    symlinkSync(join(real, "external/linear.bin"), join(linear, "../linear.bin"))
    await expect(recognise(linear)).rejects.toMatchObject({
      message: expect.stringContaining("link that leaves"),
    })
    await expect(recognise(join(folder, "nobody"))).rejects.toMatchObject({ reason: "NotFound" })
    await expect(recognise("a\0b")).rejects.toMatchObject({ reason: "InvalidInput" })
  })

  const files = (): Record<string, Uint8Array> => ({
    ...Object.fromEntries(
      readdirSync(real, { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => [name, readFileSync(join(real, name))]),
    ),
    MLmodel: readFileSync(join(real, "sklearn/MLmodel")),
    "model.json": readFileSync(join(tfjs, "model.json")),
    "tree.pmml": Buffer.from(pmml),
    "tiny.keras": zip(keras, 8),
    "net.pt": zip(torch),
  })

  it(
    "survives every cut and any changed bytes with a typed error",
    { timeout: 120_000 },
    async () => {
      for (const [name, bytes] of Object.entries(files())) {
        const file = place(bytes, name)
        const target = name === "MLmodel" ? join(file, "..") : file
        const outcome = async () => {
          const error = await Effect.runPromise(
            Effect.match(ModelFormat.recognise(target), {
              onFailure: (e) => e,
              onSuccess: () => undefined,
            }),
          )
          if (error === undefined) return
          expect([name, error._tag, error.message]).toEqual([
            name,
            "ModelFormatError",
            error.message,
          ])
          expect(["InvalidInput", "TooLarge"]).toContain(error.reason)
          expect(error.field).not.toBe("")
          expect(error.field).toBeTypeOf("string")
        }
        await fc.assert(
          fc.asyncProperty(fc.nat(bytes.length - 1), async (length) => {
            writeFileSync(file, bytes.subarray(0, length))
            await outcome()
          }),
          { numRuns: 60, seed: 1 },
        )
        const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255))
        await fc.assert(
          fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
            const changed = Uint8Array.from(bytes)
            for (const [at, value] of changes) changed[at] = value
            writeFileSync(file, changed)
            await outcome()
          }),
          { numRuns: 150, seed: 2 },
        )
      }
    },
  )
})

describe("an error", () => {
  it("names the file, the field and what to do", async () => {
    const error = await Effect.runPromise(Effect.flip(ModelFormat.recognise(place("hello"))))
    expect(error.code).toBe("ModelFormatError.InvalidInput")
    expect(error.message).toMatch(/format the file's first bytes .* export the model again/)
  })
})
