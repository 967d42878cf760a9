/** ONNX Runtime, for comparing its predictions with ours. */
import { InferenceSession, Tensor } from "onnxruntime-node"
import { expect } from "vitest"
import { rowMajor } from "./data.ts"

/** Runs an ONNX model over columns. */
export const runOnnx = async (
  model: Uint8Array<ArrayBuffer>,
  columns: ReadonlyArray<Float32Array>,
  output: string,
): Promise<Float32Array> => {
  const session = await InferenceSession.create(model)
  const rows = columns[0]?.length ?? 0
  const results = await session.run({
    features: new Tensor("float32", rowMajor(columns), [rows, columns.length]),
  })
  await session.release()
  const tensor = results[output]
  expect(tensor?.dims).toEqual([rows])
  return tensor?.data as Float32Array
}
