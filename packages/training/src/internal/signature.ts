/**
 * The signature every trained model has.
 *
 * @module
 */
import type { Signature } from "@ashlar/core"

/** Name of the output: what the number means. */
export const outputOf = (objective: "binary" | "regression"): "probability" | "value" =>
  objective === "binary" ? "probability" : "value"

/** One float32 matrix in, one float32 number a row out. */
export const signatureOf = (
  features: ReadonlyArray<string>,
  output: string,
): Signature.Signature => ({
  inputs: [{ name: "features", datatype: "FP32", shape: [-1, features.length], columns: features }],
  outputs: [{ name: output, datatype: "FP32", shape: [-1] }],
})
