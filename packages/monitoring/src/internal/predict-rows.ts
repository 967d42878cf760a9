/**
 * Predicts rows of a feature matrix through core's `Predictor`, whatever way the model's signature
 * takes its features: one `[-1, n]` tensor with named columns, or one tensor for each column.
 *
 * @module
 */
import { DataType, type ModelRef, Predictor, type Signature } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { MonitoringError } from "../MonitoringError.ts"

/** Features by name, one value for each row; NaN is missing. */
export type FeatureColumns = ReadonlyMap<string, Float32Array | Float64Array>

const invalid = (message: string, field: string): MonitoringError =>
  new MonitoringError({ reason: "InvalidInput", message, field })

/** Names of the features a signature takes, in order. */
export const featureNames = (signature: Signature.Signature): ReadonlyArray<string> =>
  signature.inputs.flatMap((input) => input.columns ?? [input.name])

const typedColumn = (
  datatype: DataType.DataType,
  column: ArrayLike<number>,
  name: string,
): DataType.TensorData => {
  switch (datatype) {
    case "FP32":
      return Float32Array.from(column)
    case "FP64":
      return Float64Array.from(column)
    case "INT32":
      return Int32Array.from(column)
    case "INT64":
      return BigInt64Array.from(Array.from(column, (value) => BigInt(Math.trunc(value))))
    case "BOOL":
      return Uint8Array.from(column)
    default:
      throw invalid(
        `input '${name}' is ${datatype}; numeric features can fill FP32, FP64, INT32, INT64 and BOOL`,
        name,
      )
  }
}

const columnOf = (columns: FeatureColumns, name: string): Float32Array | Float64Array => {
  const column = columns.get(name)
  if (column !== undefined) return column
  throw invalid(
    `the data lacks the model's feature '${name}'; it has ${[...columns.keys()].join(", ")}`,
    name,
  )
}

/** Input tensors of rows `from` to `to`. */
export const tensorsOf = (
  signature: Signature.Signature,
  columns: FeatureColumns,
  from: number,
  to: number,
): Record<string, DataType.Tensor> => {
  const rows = to - from
  return Object.fromEntries(
    signature.inputs.map((input) => {
      const names = input.columns
      if (names === undefined) {
        const column = columnOf(columns, input.name).subarray(from, to)
        const shape = input.shape.length > 1 ? [rows, 1] : [rows]
        return [
          input.name,
          {
            datatype: input.datatype,
            shape,
            data: typedColumn(input.datatype, column, input.name),
          },
        ]
      }
      const data = new Float64Array(rows * names.length)
      names.forEach((name, j) => {
        const column = columnOf(columns, name)
        for (let i = 0; i < rows; i++) data[i * names.length + j] = column[from + i] as number
      })
      return [
        input.name,
        {
          datatype: input.datatype,
          shape: [rows, names.length],
          data: typedColumn(input.datatype, data, input.name),
        },
      ]
    }),
  )
}

/** One score for each row from an output: a vector, a single column, or the last of two classes. */
export const scoresOf = (name: string, tensor: DataType.Tensor, rows: number): Float64Array => {
  const { data, shape } = tensor
  const width = rows === 0 ? 1 : data.length / rows
  const numeric = data instanceof Float32Array || data instanceof Float64Array
  if (!numeric || (width !== 1 && width !== 2)) {
    throw invalid(
      `output '${name}' is ${tensor.datatype} [${shape.join(", ")}]; a score is a float for each row, or two class probabilities`,
      "output",
    )
  }
  return Float64Array.from({ length: rows }, (_, i) => data[i * width + width - 1] as number)
}

/** The output that holds the score: the one named, or the first float one. */
export const scoreOutput = (signature: Signature.Signature, wanted: string | undefined): string => {
  const floats = signature.outputs.filter(
    (output) => output.datatype === "FP32" || output.datatype === "FP64",
  )
  const pick = wanted === undefined ? floats[0] : floats.find((output) => output.name === wanted)
  if (pick !== undefined) return pick.name
  throw invalid(
    `the model has no float output${wanted === undefined ? "" : ` '${wanted}'`}; it has ${signature.outputs.map((o) => `'${o.name}' ${o.datatype}`).join(", ")}`,
    "output",
  )
}

/** Rows in one request to the predictor. */
const batchRows = 8192

/** Scores of all rows, in batches. */
export const predictScores = Effect.fnUntraced(function* (request: {
  readonly model: ModelRef.ModelRef
  readonly signature: Signature.Signature
  readonly columns: FeatureColumns
  readonly rows: number
  readonly output?: string | undefined
}) {
  const predictor = yield* Predictor.Predictor
  const { model, signature, columns, rows } = request
  const caught = <A>(work: () => A): Effect.Effect<A, MonitoringError> =>
    Effect.try({
      try: work,
      catch: (cause) =>
        cause instanceof MonitoringError
          ? cause
          : new MonitoringError({ reason: "Internal", message: String(cause), cause }),
    })
  const output = yield* caught(() => scoreOutput(signature, request.output))
  const scores = new Float64Array(rows)
  for (let from = 0; from < rows; from += batchRows) {
    const to = Math.min(rows, from + batchRows)
    const inputs = yield* caught(() => tensorsOf(signature, columns, from, to))
    const response = yield* predictor.predict({ model, inputs, outputs: [output] })
    const tensor = response.outputs[output]
    if (tensor === undefined) {
      return yield* invalid(`the predictor gave no output '${output}'`, "output")
    }
    scores.set(yield* caught(() => scoresOf(output, tensor, to - from)), from)
  }
  return scores
})
