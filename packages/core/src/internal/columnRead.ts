/** Columns of a table as contiguous typed arrays. */
import * as Arrow from "apache-arrow"
import type * as Effect from "effect/Effect"
import { booleans as flagsOf, join, offsets32, validity } from "./arrowData.ts"
import { type Codes, encode, isText } from "./columnText.ts"
import { nameOf } from "./columnType.ts"
import { attempt, type DatasetError, invalid } from "./datasetError.ts"

/** The column's chunks; fails when there is no such column. */
const columnOf = (table: Arrow.Table, name: string): Arrow.Vector => {
  const column = table.getChild(name)
  if (column === null) {
    throw invalid(
      name,
      `no column '${name}'; the table has ${table.schema.names.map((n) => `'${String(n)}'`).join(", ")}`,
    )
  }
  return column
}

const wrongType = (name: string, type: Arrow.DataType, wanted: string): DatasetError =>
  invalid(name, `column '${name}' is ${nameOf(type)}, not ${wanted}; cast it, or read it as it is`)

/** A 64-bit integer column as numbers; fails beyond 2^53, where numbers are no longer exact. */
const fillInt64 = (
  name: string,
  chunk: Arrow.Data,
  out: Float64Array,
  at: number,
  divide: number,
): void => {
  const { length } = chunk
  const values: BigInt64Array | BigUint64Array = chunk.values
  const signed = values instanceof BigInt64Array
  const low = new Uint32Array(values.buffer, values.byteOffset, length * 2)
  const high = signed ? new Int32Array(values.buffer, values.byteOffset, length * 2) : low
  let valid: Uint8Array | undefined
  for (let i = 0; i < length; i++) {
    const value = (high[2 * i + 1] ?? 0) * 4294967296 + (low[2 * i] ?? 0)
    if (divide === 1) {
      // What looks like 2^53 may be 2^53 + 1, rounded; what lies under a null may be anything.
      const isExact =
        Number.isSafeInteger(value) || (Math.abs(value) === 2 ** 53 && BigInt(value) === values[i])
      if (!isExact) {
        valid ??= validity(chunk) ?? new Uint8Array(0)
        if (valid[i] !== 0) {
          throw invalid(
            name,
            `column '${name}' row ${at + i}: ${values[i]} is beyond 2^53 and would lose digits as a number; read it with bigint64`,
          )
        }
      }
      out[at + i] = value
    } else out[at + i] = Number(floorDivide(values[i] ?? 0n, BigInt(divide)))
  }
}

const floorDivide = (value: bigint, by: bigint): bigint =>
  value >= 0n ? value / by : -((-value + by - 1n) / by)

const eachChunk = (column: Arrow.Vector, fill: (chunk: Arrow.Data, at: number) => void): void => {
  let at = 0
  for (const chunk of column.data) {
    fill(chunk, at)
    at += chunk.length
  }
}

const blankNulls = (chunk: Arrow.Data, out: Float64Array | Float32Array, at: number): void => {
  const valid = validity(chunk)
  if (valid === undefined) return
  for (let i = 0; i < valid.length; i++) if (valid[i] === 0) out[at + i] = Number.NaN
}

const float16 = (bits: number): number => {
  const sign = (bits & 0x8000) === 0 ? 1 : -1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

const fillNumbers = (
  name: string,
  chunk: Arrow.Data,
  out: Float64Array | Float32Array,
  at: number,
): void => {
  const type: Arrow.DataType = chunk.type
  if (Arrow.DataType.isBool(type)) out.set(flagsOf(chunk), at)
  else if (Arrow.DataType.isInt(type) && type.bitWidth === 64) {
    const wide = out instanceof Float64Array ? out : new Float64Array(chunk.length)
    fillInt64(name, chunk, wide, wide === out ? at : 0, 1)
    if (wide !== out) out.set(wide, at)
  } else if (Arrow.DataType.isFloat(type) && type.precision === Arrow.Precision.HALF) {
    for (let i = 0; i < chunk.length; i++) out[at + i] = float16(Number(chunk.values[i]))
  } else if (Arrow.DataType.isInt(type) || Arrow.DataType.isFloat(type)) {
    out.set(chunk.values.subarray(0, chunk.length), at)
  } else if (Arrow.DataType.isNull(type)) {
    // Every row is null.
  } else throw wrongType(name, type, "a number")
  blankNulls(chunk, out, at)
}

/** A numeric or boolean column as `float64`; nulls become NaN. */
export const float64 = (
  table: Arrow.Table,
  name: string,
): Effect.Effect<Float64Array, DatasetError> =>
  attempt(() => {
    const out = new Float64Array(table.numRows)
    eachChunk(columnOf(table, name), (chunk, at) => fillNumbers(name, chunk, out, at))
    return out
  })

/** A numeric or boolean column as `float32`; nulls become NaN. */
export const float32 = (
  table: Arrow.Table,
  name: string,
): Effect.Effect<Float32Array, DatasetError> =>
  attempt(() => {
    const out = new Float32Array(table.numRows)
    eachChunk(columnOf(table, name), (chunk, at) => fillNumbers(name, chunk, out, at))
    return out
  })

/** An integer column as `int64`; a null is refused. */
export const bigint64 = (
  table: Arrow.Table,
  name: string,
): Effect.Effect<BigInt64Array, DatasetError> =>
  attempt(() => {
    const out = new BigInt64Array(table.numRows)
    eachChunk(columnOf(table, name), (chunk, at) => {
      const type: Arrow.DataType = chunk.type
      const isWhole = Arrow.DataType.isInt(type) || Arrow.DataType.isTimestamp(type)
      if (!isWhole) throw wrongType(name, type, "an integer")
      refuseNulls(name, chunk, at)
      const from = chunk.values
      if (from instanceof BigInt64Array) {
        out.set(from.subarray(0, chunk.length), at)
        return
      }
      for (let i = 0; i < chunk.length; i++) {
        const value = BigInt(from[i])
        if (BigInt.asIntN(64, value) !== value) {
          throw invalid(name, `column '${name}' row ${at + i}: ${value} does not fit int64`)
        }
        out[at + i] = value
      }
    })
    return out
  })

const refuseNulls = (name: string, chunk: Arrow.Data, at: number): void => {
  const row = validity(chunk)?.indexOf(0) ?? -1
  if (row >= 0) {
    throw invalid(
      name,
      `column '${name}' row ${at + row} is null; drop such rows, or read the column as float64, where a null is NaN`,
    )
  }
}

/** A boolean column as one byte a row, 0 or 1; a null is refused. */
export const booleans = (
  table: Arrow.Table,
  name: string,
): Effect.Effect<Uint8Array, DatasetError> =>
  attempt(() => {
    const out = new Uint8Array(table.numRows)
    eachChunk(columnOf(table, name), (chunk, at) => {
      if (!Arrow.DataType.isBool(chunk.type)) throw wrongType(name, chunk.type, "bool")
      refuseNulls(name, chunk, at)
      out.set(flagsOf(chunk), at)
    })
    return out
  })

const microsPer = [1_000_000, 1000, 1, 1] as const

/**
 * A timestamp or date column as whole microseconds since 1970-01-01T00:00:00Z; a timestamp without
 * a zone counts as UTC, nanoseconds are rounded down, nulls become NaN.
 */
export const micros = (
  table: Arrow.Table,
  name: string,
): Effect.Effect<Float64Array, DatasetError> =>
  attempt(() => {
    const out = new Float64Array(table.numRows)
    eachChunk(columnOf(table, name), (chunk, at) => {
      const type: Arrow.DataType = chunk.type
      let scale = 1
      if (Arrow.DataType.isTimestamp(type)) {
        scale = microsPer[type.unit]
        const divide = type.unit === Arrow.TimeUnit.NANOSECOND ? 1000 : 1
        fillInt64(name, chunk, out, at, divide)
      } else if (Arrow.DataType.isDate(type)) {
        if (type.unit === Arrow.DateUnit.DAY) {
          scale = 86_400_000_000
          out.set(chunk.values.subarray(0, chunk.length), at)
        } else {
          scale = 1000
          fillInt64(name, chunk, out, at, 1)
        }
      } else throw wrongType(name, type, "a timestamp or date")
      if (scale !== 1) {
        for (let i = at; i < at + chunk.length; i++) out[i] = (out[i] ?? 0) * scale
      }
      blankNulls(chunk, out, at)
    })
    return out
  })

const codesOf = (table: Arrow.Table, name: string): Codes => {
  const column = columnOf(table, name)
  if (!isText(column.type)) throw wrongType(name, column.type, "string")
  return encode(column.data)
}

/**
 * A text column as group keys: `codes` by row (-1 for null) into `values`, the distinct strings in
 * order of first appearance. No string is made per row.
 */
export const dictionary = (table: Arrow.Table, name: string): Effect.Effect<Codes, DatasetError> =>
  attempt(() => codesOf(table, name))

/** A text column as strings; rows with the same text share one string. */
export const strings = (
  table: Arrow.Table,
  name: string,
): Effect.Effect<Array<string | null>, DatasetError> =>
  attempt(() => {
    const { codes, values } = codesOf(table, name)
    return Array.from(codes, (code) => values[code] ?? null)
  })

/** One byte a row, 1 where the column has a value. */
export const valid = (table: Arrow.Table, name: string): Effect.Effect<Uint8Array, DatasetError> =>
  attempt(() => {
    const out = new Uint8Array(table.numRows).fill(1)
    eachChunk(columnOf(table, name), (chunk, at) => {
      const flags = validity(chunk)
      if (flags !== undefined) out.set(flags, at)
    })
    return out
  })

/**
 * A column of equally long number lists (embeddings) as one row-major `float32` array and the
 * length of a row; a null row or a row of another length is refused.
 */
export const matrix = (
  table: Arrow.Table,
  name: string,
): Effect.Effect<{ readonly data: Float32Array; readonly width: number }, DatasetError> =>
  attempt(() => {
    const column = columnOf(table, name)
    const type: Arrow.DataType = column.type
    const whole = join(type, column.data)
    const child = whole.children[0]
    refuseNulls(name, whole, 0)
    if (
      child === undefined ||
      (!Arrow.DataType.isList(type) && !Arrow.DataType.isFixedSizeList(type))
    ) {
      throw wrongType(name, type, "a list of numbers")
    }
    let width = Arrow.DataType.isFixedSizeList(type) ? type.listSize : 0
    if (Arrow.DataType.isList(type)) {
      const offsets = offsets32(whole)
      width = (offsets[1] ?? 0) - (offsets[0] ?? 0)
      for (let i = 0; i < whole.length; i++) {
        const length = (offsets[i + 1] ?? 0) - (offsets[i] ?? 0)
        if (length !== width) {
          throw invalid(name, `column '${name}' row ${i} has ${length} numbers, row 0 has ${width}`)
        }
      }
    }
    const data = new Float32Array(whole.length * width)
    fillNumbers(name, child.slice(0, data.length), data, 0)
    return { data, width }
  })
