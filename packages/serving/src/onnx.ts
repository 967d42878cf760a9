/**
 * Backend for ONNX models, on onnxruntime-node. Serving loads it inside worker threads.
 *
 * @module
 */
import type { DataType } from "@ashlar/core"
import type * as Ort from "onnxruntime-node"
import type { Open, OpenedModel, OpenOptions } from "./internal/protocol.ts"

export type { OpenedModel, OpenOptions } from "./internal/protocol.ts"

const ortTypes: Readonly<Record<DataType.DataType, Ort.Tensor.Type>> = {
  BOOL: "bool",
  UINT8: "uint8",
  UINT16: "uint16",
  UINT32: "uint32",
  UINT64: "uint64",
  INT8: "int8",
  INT16: "int16",
  INT32: "int32",
  INT64: "int64",
  FP16: "float16",
  FP32: "float32",
  FP64: "float64",
  BYTES: "string",
}

const dataTypes = new Map<string, DataType.DataType>()
for (const name of Object.keys(ortTypes)) {
  const datatype = name as DataType.DataType
  dataTypes.set(ortTypes[datatype], datatype)
}

const load = async (): Promise<typeof Ort> => {
  try {
    return await import("onnxruntime-node")
  } catch (cause) {
    throw new Error(
      "serving ONNX models needs the package onnxruntime-node: npm install onnxruntime-node (with ONNXRUNTIME_NODE_INSTALL=skip where downloads are not allowed)",
      { cause },
    )
  }
}

const toOrt = (ort: typeof Ort, tensor: DataType.Tensor): Ort.Tensor => {
  const data =
    tensor.datatype === "BYTES"
      ? Array.from(tensor.data as ReadonlyArray<string | Uint8Array>, (value) =>
          typeof value === "string" ? value : Buffer.from(value).toString("utf8"),
        )
      : tensor.data
  return new ort.Tensor(ortTypes[tensor.datatype], data as Ort.Tensor.DataType, tensor.shape)
}

const fromOrt = (name: string, tensor: Ort.Tensor): DataType.Tensor => {
  const datatype = dataTypes.get(tensor.type)
  if (datatype === undefined) {
    throw new Error(`output ${name} has type ${tensor.type}, which the protocol cannot carry`)
  }
  return { datatype, shape: [...tensor.dims], data: tensor.data as DataType.TensorData }
}

/** Opens an ONNX file; rejects with ONNX Runtime's message when it cannot be loaded. */
export const open: Open = async (file: string, options: OpenOptions): Promise<OpenedModel> => {
  const ort = await load()
  const session = await ort.InferenceSession.create(file, {
    executionProviders: ["cpu"],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    // Spinning threads burn the cores that the HTTP server and other models need.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  })
  return {
    run: async (inputs, outputs) => {
      const feeds = Object.fromEntries(
        Object.entries(inputs).map(([name, tensor]) => [name, toOrt(ort, tensor)]),
      )
      const fetches = outputs === undefined ? session.outputNames : [...outputs]
      const results = await session.run(feeds, fetches)
      return Object.fromEntries(
        Object.entries(results).map(([name, tensor]) => [name, fromOrt(name, tensor)]),
      )
    },
    close: () => session.release(),
  }
}
