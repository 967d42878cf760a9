/**
 * Arrow columns to float32 in shared memory.
 *
 * @module
 */
import * as Arrow from "apache-arrow"

/** Collects one column over many batches. */
export interface ColumnBuilder {
  readonly append: (vector: Arrow.Vector) => void
  readonly finish: () => Float32Array
}

type Numbers = ArrayLike<number> | BigInt64Array | BigUint64Array

const isPlainNumber = (type: Arrow.DataType): boolean =>
  Arrow.DataType.isInt(type) ||
  (Arrow.DataType.isFloat(type) && type.precision !== Arrow.Precision.HALF) ||
  Arrow.DataType.isTimestamp(type) ||
  Arrow.DataType.isDate(type) ||
  Arrow.DataType.isTime(type) ||
  Arrow.DataType.isDuration(type)

const shared = (length: number): Float32Array => new Float32Array(new SharedArrayBuffer(length * 4))

/** A builder for numbers and booleans; undefined for other types. `rows` is a hint. */
export const makeColumn = (
  type: Arrow.DataType,
  rows: number | undefined,
): ColumnBuilder | undefined => {
  const isBool = Arrow.DataType.isBool(type)
  if (!isBool && !isPlainNumber(type)) return undefined
  let out = shared(rows ?? 1024)
  let length = 0
  const append = (vector: Arrow.Vector): void => {
    if (length + vector.length > out.length) {
      const larger = shared(Math.max(out.length * 2, length + vector.length))
      larger.set(out)
      out = larger
    }
    for (const data of vector.data) {
      if (isBool) {
        for (let i = 0; i < data.length; i++) {
          const bit = i + data.offset
          out[length + i] = (((data.values as Uint8Array)[bit >> 3] as number) >> (bit & 7)) & 1
        }
      } else {
        const values = data.values as Numbers
        if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
          for (let i = 0; i < data.length; i++) out[length + i] = Number(values[i])
        } else {
          for (let i = 0; i < data.length; i++) out[length + i] = values[i] as number
        }
      }
      if (data.nullCount > 0) {
        const valid = data.nullBitmap as Uint8Array
        for (let i = 0; i < data.length; i++) {
          const bit = i + data.offset
          if ((((valid[bit >> 3] as number) >> (bit & 7)) & 1) === 0) out[length + i] = Number.NaN
        }
      }
      length += data.length
    }
  }
  return { append, finish: () => (length === out.length ? out : out.subarray(0, length)) }
}
