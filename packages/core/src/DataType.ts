/**
 * Element types of tensors and columns: the datatypes of the Open Inference Protocol, and the
 * typed arrays that hold them.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Failure from "./Failure.ts"

/** Datatypes of the Open Inference Protocol (V2). */
export const names = [
  "BOOL",
  "UINT8",
  "UINT16",
  "UINT32",
  "UINT64",
  "INT8",
  "INT16",
  "INT32",
  "INT64",
  "FP16",
  "FP32",
  "FP64",
  "BYTES",
] as const

/** Schema of a datatype name. */
export const DataType = Schema.Literals(names)

/** A datatype of the Open Inference Protocol. */
export type DataType = (typeof names)[number]

/** Values of a tensor in row-major order; `FP16` as raw bits, `BYTES` as strings or bytes. */
export type TensorData =
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array
  | ReadonlyArray<string>
  | ReadonlyArray<Uint8Array>

/** A dense tensor in row-major order. */
export interface Tensor {
  readonly datatype: DataType
  readonly shape: ReadonlyArray<number>
  readonly data: TensorData
}

/** Bytes of one element; 0 for `BYTES`, whose elements vary. */
export const byteSize: Readonly<Record<DataType, number>> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
}

/** Values do not fit a datatype, a shape or a signature. */
export class TensorError extends Schema.TaggedError<TensorError>()(
  "TensorError",
  Failure.fields(["InvalidInput"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** NumPy's names of the datatypes; text is `str`. */
export const numpyName: Readonly<Record<DataType, string>> = {
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
  BYTES: "str",
}

/** The typed array that holds each datatype; text has none. */
export const arrayOf = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const

/** True when the data is the array that holds the datatype. */
export const holds = (datatype: DataType, data: TensorData): boolean =>
  datatype === "BYTES" ? Array.isArray(data) : data instanceof arrayOf[datatype]

/** Elements of a tensor of the shape; 1 for a scalar. */
export const sizeOf = (shape: ReadonlyArray<number>): number =>
  shape.reduce((size, dimension) => size * dimension, 1)

const refuse = (i: number, value: unknown, rule: string): TensorError =>
  new TensorError({
    reason: "InvalidInput",
    message: `element ${i} is ${typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : String(value)}; ${rule}`,
    field: `data[${i}]`,
  })

const wholeNumber = (datatype: DataType, bits: number, signed: boolean) => {
  const low = signed ? -(2n ** BigInt(bits - 1)) : 0n
  const high = signed ? 2n ** BigInt(bits - 1) - 1n : 2n ** BigInt(bits) - 1n
  const rule = `${datatype} holds whole numbers from ${low} to ${high}`
  return (value: unknown, i: number): bigint => {
    if (typeof value === "number" && Number.isInteger(value)) {
      if (Number.isSafeInteger(value)) {
        if (BigInt(value) >= low && BigInt(value) <= high) return BigInt(value)
      } else if (bits === 64) {
        throw refuse(i, value, "a number beyond 2^53 has lost digits; send it as a decimal string")
      }
    }
    const text = typeof value === "string" && /^-?\d{1,20}$/.test(value)
    if (typeof value === "bigint" || text) {
      const whole = BigInt(value)
      if (whole >= low && whole <= high) return whole
    }
    throw refuse(i, value, rule)
  }
}

const float16Bits = (value: number): number => {
  const float = new Float32Array([value])
  const bits = new Uint32Array(float.buffer)[0] ?? 0
  const sign = (bits >>> 16) & 0x8000
  if (Number.isNaN(value)) return sign | 0x7e00
  const magnitude = Math.abs(float[0] ?? 0)
  if (magnitude >= 65520) return sign | 0x7c00
  if (magnitude < 2 ** -14) return sign | roundEven(magnitude * 2 ** 24)
  const exponent = Math.floor(Math.log2(magnitude))
  const scale = 2 ** exponent > magnitude ? exponent - 1 : exponent
  return sign | (((scale + 15) << 10) + roundEven((magnitude / 2 ** scale - 1) * 1024))
}

const roundEven = (value: number): number => {
  const floor = Math.floor(value)
  const rest = value - floor
  if (rest !== 0.5) return Math.round(value)
  return floor % 2 === 0 ? floor : floor + 1
}

/**
 * The typed array of a datatype for plain values, as they come in JSON. Whole numbers are checked
 * against the range; a 64-bit one beyond 2^53 must be a bigint or a decimal string. Floats may be
 * NaN or infinite, also as the strings `NaN`, `Infinity` and `-Infinity`. `FP16` gives raw bits.
 *
 * @example
 * ```ts
 * import { DataType } from "@ashlar/core"
 * import * as Effect from "effect/Effect"
 *
 * Effect.runSync(DataType.fromValues("INT64", [1, "9007199254740993"]))
 * // => BigInt64Array.of(1n, 9007199254740993n)
 * ```
 */
export const fromValues = (
  datatype: DataType,
  values: ReadonlyArray<unknown>,
): Effect.Effect<TensorData, TensorError> =>
  Effect.try({
    try: (): TensorData => {
      if (datatype === "BYTES") {
        return values.map((value, i) => {
          if (typeof value !== "string") throw refuse(i, value, "BYTES holds strings")
          return value
        })
      }
      if (datatype === "BOOL") {
        return Uint8Array.from(values, (value, i) => {
          if (typeof value === "boolean") return value ? 1 : 0
          if (value === 0 || value === 1) return value
          throw refuse(i, value, "BOOL holds true and false")
        })
      }
      if (datatype === "FP32" || datatype === "FP64" || datatype === "FP16") {
        const float = (value: unknown, i: number): number => {
          if (typeof value === "number") return value
          if (value === "NaN" || value === "Infinity" || value === "-Infinity") return Number(value)
          throw refuse(i, value, `${datatype} holds numbers`)
        }
        if (datatype === "FP32") return Float32Array.from(values, float)
        if (datatype === "FP64") return Float64Array.from(values, float)
        return Uint16Array.from(values, (value, i) => float16Bits(float(value, i)))
      }
      const whole = wholeNumber(datatype, byteSize[datatype] * 8, datatype.startsWith("I"))
      if (datatype === "INT64") return BigInt64Array.from(values, whole)
      if (datatype === "UINT64") return BigUint64Array.from(values, whole)
      const out = new arrayOf[datatype](values.length)
      values.forEach((value, i) => {
        out[i] = Number(whole(value, i))
      })
      return out
    },
    catch: (cause) =>
      cause instanceof TensorError
        ? cause
        : new TensorError({ reason: "InvalidInput", message: String(cause), cause }),
  })
