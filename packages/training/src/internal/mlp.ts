/**
 * A multilayer perceptron over standardised columns: what the network trainer learns, and how it
 * predicts without TensorFlow.js.
 *
 * @module
 */
import { elementType, encodeModel } from "./onnx-proto.ts"

/** Standardised inputs are cut to this many standard deviations, so an outlier cannot dominate. */
export const clip = 8

/** One dense layer: `weights[i * outputs + o]` connects input i to output o. */
export interface Layer {
  readonly inputs: number
  readonly outputs: number
  readonly weights: Float32Array
  readonly bias: Float32Array
}

/** A network for one probability. ReLU between layers, a sigmoid at the end. */
export interface Mlp {
  readonly mean: Float32Array
  readonly scale: Float32Array
  /** Features with missing values: each adds an input that is 1 where the value is missing. */
  readonly indicators: Int32Array
  readonly layers: ReadonlyArray<Layer>
}

/** Writes the inputs of one row: standardised values, missing as 0, then the indicators. */
export const writeInputs = (
  mlp: Pick<Mlp, "mean" | "scale" | "indicators">,
  columns: ReadonlyArray<Float32Array>,
  row: number,
  out: Float32Array,
  at: number,
): void => {
  for (let f = 0; f < columns.length; f++) {
    const x = (columns[f] as Float32Array)[row] as number
    const z = ((x - (mlp.mean[f] as number)) as number) * (mlp.scale[f] as number)
    out[at + f] = x !== x ? 0 : Math.max(-clip, Math.min(clip, z))
  }
  for (let k = 0; k < mlp.indicators.length; k++) {
    const x = (columns[mlp.indicators[k] as number] as Float32Array)[row] as number
    out[at + columns.length + k] = x !== x ? 1 : 0
  }
}

/** Probabilities, one for each row. */
export const predictMlp = (mlp: Mlp, columns: ReadonlyArray<Float32Array>): Float64Array => {
  const rows = columns[0]?.length ?? 0
  const out = new Float64Array(rows)
  const inputs = new Float32Array(columns.length + mlp.indicators.length)
  const buffers = mlp.layers.map((layer) => new Float64Array(layer.outputs))
  for (let row = 0; row < rows; row++) {
    writeInputs(mlp, columns, row, inputs, 0)
    let values: Float32Array | Float64Array = inputs
    mlp.layers.forEach((layer, l) => {
      const next = buffers[l] as Float64Array
      next.set(layer.bias)
      for (let i = 0; i < layer.inputs; i++) {
        const value = values[i] as number
        if (value === 0) continue
        const from = i * layer.outputs
        for (let o = 0; o < layer.outputs; o++) {
          next[o] = (next[o] as number) + value * (layer.weights[from + o] as number)
        }
      }
      if (l + 1 < mlp.layers.length)
        for (let o = 0; o < next.length; o++) next[o] = Math.max(0, next[o] as number)
      values = next
    })
    out[row] = 1 / (1 + Math.exp(-(values[0] as number)))
  }
  return out
}

/** Encodes a network: input `features` float32 `[-1, n]`, output `probability` float32 `[-1]`. */
export const mlpToOnnx = (mlp: Mlp): Uint8Array<ArrayBuffer> => {
  const features = mlp.mean.length
  const hasIndicators = mlp.indicators.length > 0
  const scalar = (name: string, value: number) => ({
    name,
    shape: [],
    data: Float32Array.of(value),
  })
  const last = mlp.layers.length - 1
  return encodeModel({
    name: "mlp",
    inputs: [{ name: "features", shape: [-1, features] }],
    outputs: [{ name: "probability", shape: [-1] }],
    constants: [
      { name: "mean", shape: [features], data: mlp.mean },
      { name: "scale", shape: [features], data: mlp.scale },
      scalar("zero", 0),
      scalar("low", -clip),
      scalar("high", clip),
      { name: "flat", shape: [1], data: BigInt64Array.of(-1n) },
      ...(hasIndicators
        ? [
            {
              name: "indicators",
              shape: [mlp.indicators.length],
              data: BigInt64Array.from(mlp.indicators, BigInt),
            },
          ]
        : []),
      ...mlp.layers.flatMap((layer, l) => [
        { name: `weights_${l}`, shape: [layer.inputs, layer.outputs], data: layer.weights },
        { name: `bias_${l}`, shape: [layer.outputs], data: layer.bias },
      ]),
    ],
    nodes: [
      { op: "IsNaN", inputs: ["features"], outputs: ["missing"] },
      { op: "Sub", inputs: ["features", "mean"], outputs: ["centred"] },
      { op: "Mul", inputs: ["centred", "scale"], outputs: ["scaled"] },
      { op: "Where", inputs: ["missing", "zero", "scaled"], outputs: ["filled"] },
      {
        op: "Clip",
        inputs: ["filled", "low", "high"],
        outputs: [hasIndicators ? "clipped" : "layer_0"],
      },
      ...(hasIndicators
        ? [
            {
              op: "Cast",
              inputs: ["missing"],
              outputs: ["flags"],
              attributes: { to: elementType.float },
            },
            {
              op: "Gather",
              inputs: ["flags", "indicators"],
              outputs: ["marked"],
              attributes: { axis: 1 },
            },
            {
              op: "Concat",
              inputs: ["clipped", "marked"],
              outputs: ["layer_0"],
              attributes: { axis: 1 },
            },
          ]
        : []),
      ...mlp.layers.flatMap((_, l) => [
        {
          op: "Gemm",
          inputs: [`layer_${l}`, `weights_${l}`, `bias_${l}`],
          outputs: [`dense_${l}`],
        },
        {
          op: l === last ? "Sigmoid" : "Relu",
          inputs: [`dense_${l}`],
          outputs: [`layer_${l + 1}`],
        },
      ]),
      { op: "Reshape", inputs: [`layer_${last + 1}`, "flat"], outputs: ["probability"] },
    ],
  })
}
