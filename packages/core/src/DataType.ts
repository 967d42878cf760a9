/**
 * Element types of tensors and columns: the datatypes of the Open Inference Protocol, and the
 * typed arrays that hold them.
 *
 * @module
 */
import * as Schema from "effect/Schema"

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
