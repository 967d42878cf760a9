import type { DataType, Signature } from "@ashlar/core"
import type { ModelStatus } from "../Serving.ts"

const tensorOf = ({ name, datatype, shape }: Signature.TensorSpec) => ({ name, datatype, shape })

/** Model metadata of the protocol. */
export const metadata = ({ name, version, flavor, signature }: ModelStatus) => ({
  name,
  versions: [String(version)],
  platform: flavor === "onnx" ? "onnx_onnxv1" : flavor,
  inputs: signature.inputs.map(tensorOf),
  outputs: signature.outputs.map(tensorOf),
})

const configType = (datatype: DataType.DataType): string =>
  datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${datatype}`

/**
 * Triton's model configuration, as far as it applies. `max_batch_size` 0 says that the dimensions
 * include the batch, as the signature's do.
 */
export const config = ({ name, version, flavor, signature }: ModelStatus) => {
  const tensors = (specs: ReadonlyArray<Signature.TensorSpec>) =>
    specs.map((spec) => ({
      name: spec.name,
      data_type: configType(spec.datatype),
      dims: spec.shape,
    }))
  return {
    name,
    platform: flavor === "onnx" ? "onnxruntime_onnx" : flavor,
    backend: flavor === "onnx" ? "onnxruntime" : flavor,
    version_policy: { specific: { versions: [version] } },
    max_batch_size: 0,
    input: tensors(signature.inputs),
    output: tensors(signature.outputs),
  }
}

const duration = (count: number, micros: number) => ({ count, ns: Math.round(micros * 1000) })

/** Statistics of the protocol's extension. */
export const statistics = (status: ModelStatus) => ({
  name: status.name,
  version: String(status.version),
  inference_count: status.rows,
  execution_count: status.runs,
  inference_stats: {
    success: duration(status.requests, status.requestMicros),
    fail: duration(status.failures, 0),
    queue: duration(status.requests, status.queueMicros),
    compute_infer: duration(status.runs, status.computeMicros),
  },
})
