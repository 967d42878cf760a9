/** TensorFlow.js: `model.json` and the weight files it names. */
import type { DataType, Signature } from "@ashlar/core"
import * as path from "node:path"
import {
  type JsonObject,
  list,
  member,
  object,
  optionalString,
  readObject,
  string,
  whole,
} from "./json.ts"
import { Fault, sizeInside, withFile } from "./source.ts"

/** What a TensorFlow.js model says of itself. */
export interface TfjsDetails {
  readonly kind: "layers-model" | "graph-model"
  readonly generatedBy: string
  readonly convertedBy: string
  readonly weightFiles: ReadonlyArray<string>
  readonly weights: number
  readonly weightBytes: number
  /** Input shape of the first layer of a layers model; null is a free dimension. */
  readonly inputShape?: ReadonlyArray<number | null>
}

const maxJson = 64 << 20

/** Bytes of one element of a weight, by TensorFlow.js's dtype. */
const widths: Readonly<Record<string, number>> = {
  float32: 4,
  int32: 4,
  uint32: 4,
  uint16: 2,
  int16: 2,
  float16: 2,
  uint8: 1,
  int8: 1,
  bool: 1,
  complex64: 8,
}

const datatypes: Readonly<Record<string, DataType.DataType>> = {
  DT_FLOAT: "FP32",
  DT_DOUBLE: "FP64",
  DT_HALF: "FP16",
  DT_INT8: "INT8",
  DT_INT16: "INT16",
  DT_INT32: "INT32",
  DT_INT64: "INT64",
  DT_UINT8: "UINT8",
  DT_UINT16: "UINT16",
  DT_UINT32: "UINT32",
  DT_UINT64: "UINT64",
  DT_BOOL: "BOOL",
  DT_STRING: "BYTES",
}

/** Bytes of a group of weights; undefined where strings or unknown dtypes make it unknowable. */
const groupBytes = (weights: ReadonlyArray<unknown>, field: string): number | undefined => {
  let total: number | undefined = 0
  for (const [i, value] of weights.entries()) {
    const where = `${field}.weights[${i}]`
    const weight = object(value, where)
    string(member(weight, "name"), `${where}.name`)
    const dtype = string(member(weight, "dtype"), `${where}.dtype`)
    const shape = list(member(weight, "shape"), `${where}.shape`, 64)
    const size = shape.reduce((product: number, next) => product * whole(next, `${where}.shape`), 1)
    if (!Number.isSafeInteger(size * 8)) throw new Fault(`${where}.shape`, "is beyond 2^53 bytes")
    const quantization = member(weight, "quantization")
    const stored =
      quantization === undefined || quantization === null
        ? dtype
        : string(
            member(object(quantization, `${where}.quantization`), "dtype"),
            `${where}.quantization.dtype`,
          )
    const width = Object.hasOwn(widths, stored) ? widths[stored] : undefined
    total = total === undefined || width === undefined ? undefined : total + size * width
  }
  return total
}

const graphSpecs = (value: unknown, field: string): Array<Signature.TensorSpec> | undefined => {
  const specs: Array<Signature.TensorSpec> = []
  for (const [name, entry] of Object.entries(object(value ?? {}, field))) {
    const where = `${field}.${name.slice(0, 100)}`
    const tensor = object(entry, where)
    const dtype = optionalString(member(tensor, "dtype"), `${where}.dtype`) ?? ""
    const datatype = Object.hasOwn(datatypes, dtype) ? datatypes[dtype] : undefined
    const shape = object(member(tensor, "tensorShape") ?? {}, `${where}.tensorShape`)
    if (datatype === undefined || member(shape, "unknownRank") === true) return undefined
    specs.push({
      name,
      datatype,
      shape: list(member(shape, "dim") ?? [], `${where}.tensorShape.dim`, 64).map((size, i) =>
        whole(
          member(object(size, `${where}.tensorShape.dim[${i}]`), "size") ?? 0,
          `${where}.tensorShape.dim[${i}].size`,
          -1,
        ),
      ),
    })
  }
  return specs.length === 0 ? undefined : specs
}

const layersInput = (topology: JsonObject): ReadonlyArray<number | null> | undefined => {
  const where = "modelTopology.model_config"
  const model = object(member(topology, "model_config") ?? topology, where)
  const config = member(model, "config")
  const layers = Array.isArray(config)
    ? config
    : list(member(object(config, `${where}.config`), "layers"), `${where}.config.layers`, 100_000)
  const first = object(layers[0], `${where}.config.layers[0]`)
  const settings = object(member(first, "config"), `${where}.config.layers[0].config`)
  const shape = member(settings, "batch_input_shape") ?? member(settings, "batch_shape")
  if (shape === undefined || shape === null) return undefined
  return list(shape, `${where}.config.layers[0].config.batch_input_shape`, 64).map((size) =>
    size === null ? null : whole(size, `${where}.config.layers[0].config.batch_input_shape`),
  )
}

/** Reads `model.json` and checks that the weight files are there and as long as it says. */
export const read = (
  file: string,
): Promise<{ readonly details: TfjsDetails; readonly signature?: Signature.Signature }> =>
  withFile(file, async (source) => {
    const model = await readObject(source, "model.json", maxJson)
    const topology = object(member(model, "modelTopology"), "modelTopology")
    const said = optionalString(member(model, "format"), "format")
    const kind = said ?? (Object.hasOwn(topology, "node") ? "graph-model" : "layers-model")
    if (kind !== "layers-model" && kind !== "graph-model") {
      throw new Fault(
        "format",
        `is ${JSON.stringify(kind.slice(0, 40))}; layers-model and graph-model are read`,
      )
    }
    const weightFiles: Array<string> = []
    const totals = { weights: 0, weightBytes: 0 }
    const groups = list(member(model, "weightsManifest"), "weightsManifest", 10_000)
    for (const [i, value] of groups.entries()) {
      const field = `weightsManifest[${i}]`
      const group = object(value, field)
      const weights = list(member(group, "weights"), `${field}.weights`, 500_000)
      const expected = groupBytes(weights, field)
      let actual = 0
      for (const [j, item] of list(member(group, "paths"), `${field}.paths`, 100_000).entries()) {
        const name = string(item, `${field}.paths[${j}]`)
        const size = await sizeInside(path.dirname(file), name, `${field}.paths[${j}]`)
        if (size === undefined) {
          throw new Fault(
            `${field}.paths[${j}]`,
            `no file ${JSON.stringify(name)} beside model.json`,
          )
        }
        weightFiles.push(name)
        actual += size
      }
      if (expected !== undefined && expected !== actual) {
        throw new Fault(field, `describes ${expected} bytes, its files have ${actual}`)
      }
      totals.weights += weights.length
      totals.weightBytes += actual
    }
    const inputShape = kind === "layers-model" ? layersInput(topology) : undefined
    const details: TfjsDetails = {
      kind,
      generatedBy: optionalString(member(model, "generatedBy"), "generatedBy") ?? "",
      convertedBy: optionalString(member(model, "convertedBy"), "convertedBy") ?? "",
      weightFiles,
      ...totals,
      ...(inputShape === undefined ? {} : { inputShape }),
    }
    const signature = object(member(model, "signature") ?? {}, "signature")
    const inputs = graphSpecs(member(signature, "inputs"), "signature.inputs")
    const outputs = graphSpecs(member(signature, "outputs"), "signature.outputs")
    return inputs === undefined || outputs === undefined
      ? { details }
      : { details, signature: { inputs, outputs } }
  })
