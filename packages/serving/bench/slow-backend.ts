/** A model that keeps its thread for a second, as a large one does. */
import type { OpenedModel } from "@ashlar/serving/onnx"

/** Opens it. */
export const open = async (): Promise<OpenedModel> => ({
  close: async () => {},
  run: async (inputs) => {
    const end = performance.now() + 1000
    while (performance.now() < end) {}
    return { y: inputs["x"] ?? { datatype: "FP32", shape: [0], data: new Float32Array() } }
  },
})
