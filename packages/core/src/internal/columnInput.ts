/** Columns from the values people have: typed arrays, plain arrays, instants, codes. */
import * as Arrow from "apache-arrow"
import { join, make, packBits } from "./arrowData.ts"
import { fromStrings } from "./columnText.ts"
import { DatasetError, invalid } from "./datasetError.ts"

/** Typed arrays that become a numeric column of their own type. */
export type NumericArray =
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | Float32Array
  | Float64Array

/**
 * Values of a column. Plain arrays hold strings, numbers (a `float64` column), booleans or bigints
 * (`int64`), with `null` for no value. `micros` are instants in microseconds since the epoch, where
 * `NaN` or `null` is no value. `codes` index into `values`, -1 is no value. `booleans` has one byte
 * a row.
 */
export type ColumnInput =
  | NumericArray
  | ReadonlyArray<string | null>
  | ReadonlyArray<number | null>
  | ReadonlyArray<boolean | null>
  | ReadonlyArray<bigint | null>
  | { readonly strings: ReadonlyArray<string | null> }
  | { readonly micros: BigInt64Array | Float64Array | ReadonlyArray<number | null> }
  | { readonly codes: Int32Array; readonly values: ReadonlyArray<string> }
  | { readonly booleans: Uint8Array }
  | Arrow.Vector

const typeOfArray = (array: NumericArray): Arrow.DataType => {
  if (array instanceof Float64Array) return new Arrow.Float64()
  if (array instanceof Float32Array) return new Arrow.Float32()
  if (array instanceof Int8Array) return new Arrow.Int8()
  if (array instanceof Int16Array) return new Arrow.Int16()
  if (array instanceof Int32Array) return new Arrow.Int32()
  if (array instanceof BigInt64Array) return new Arrow.Int64()
  if (array instanceof Uint8Array) return new Arrow.Uint8()
  if (array instanceof Uint16Array) return new Arrow.Uint16()
  if (array instanceof Uint32Array) return new Arrow.Uint32()
  return new Arrow.Uint64()
}

const isNumericArray = (value: unknown): value is NumericArray =>
  ArrayBuffer.isView(value) &&
  !(value instanceof DataView) &&
  !(value instanceof Uint8ClampedArray) &&
  Object.prototype.toString.call(value) !== "[object Float16Array]"

const microsColumn = (
  name: string,
  micros: BigInt64Array | Float64Array | ReadonlyArray<number | null>,
): Arrow.Data => {
  const type = new Arrow.TimestampMicrosecond("UTC")
  if (micros instanceof BigInt64Array) return make(type, micros.length, { values: micros })
  const values = new BigInt64Array(micros.length)
  const valid = new Uint8Array(micros.length)
  for (let i = 0; i < micros.length; i++) {
    const value = micros[i] ?? Number.NaN
    if (Number.isNaN(value)) continue
    if (!Number.isSafeInteger(value)) {
      throw invalid(
        name,
        `column '${name}' row ${i}: ${value} is not a whole number of microseconds`,
      )
    }
    values[i] = BigInt(value)
    valid[i] = 1
  }
  return make(type, micros.length, { values, valid })
}

const codesColumn = (
  name: string,
  codes: Int32Array,
  values: ReadonlyArray<string>,
): Arrow.Data => {
  const valid = new Uint8Array(codes.length)
  const cleaned = new Int32Array(codes.length)
  for (let i = 0; i < codes.length; i++) {
    const code = codes[i] ?? -1
    if (code >= values.length || code < -1) {
      throw invalid(
        name,
        `column '${name}' row ${i}: code ${code} is outside 0..${values.length - 1} (-1 is null)`,
      )
    }
    if (code >= 0) {
      cleaned[i] = code
      valid[i] = 1
    }
  }
  return make(new Arrow.Dictionary(new Arrow.Utf8(), new Arrow.Int32()), codes.length, {
    values: cleaned,
    valid,
    dictionary: Arrow.makeVector(fromStrings(values)),
  })
}

const plainColumn = (name: string, rows: ReadonlyArray<unknown>): Arrow.Data => {
  const sample = rows.find((value) => value !== null && value !== undefined)
  const kind = typeof sample
  const wrong = (i: number): DatasetError =>
    invalid(
      name,
      `column '${name}' row ${i} is a ${typeof rows[i]} where the rows before are ${kind}s; a column has one type`,
    )
  const valid = new Uint8Array(rows.length)
  const fill = <A>(is: (value: unknown) => value is A, put: (i: number, value: A) => void) => {
    for (let i = 0; i < rows.length; i++) {
      const value = rows[i]
      if (value === null || value === undefined) continue
      if (!is(value)) throw wrong(i)
      valid[i] = 1
      put(i, value)
    }
  }
  switch (kind) {
    case "string": {
      const strings: Array<string | null> = Array.from(rows, () => null)
      fill(
        (v) => typeof v === "string",
        (i, v: string) => void (strings[i] = v),
      )
      return fromStrings(strings)
    }
    case "number": {
      const values = new Float64Array(rows.length)
      fill(
        (v) => typeof v === "number",
        (i, v: number) => void (values[i] = v),
      )
      return make(new Arrow.Float64(), rows.length, { values, valid })
    }
    case "bigint": {
      const values = new BigInt64Array(rows.length)
      fill(
        (v) => typeof v === "bigint",
        (i, v: bigint) => {
          if (BigInt.asIntN(64, v) !== v) {
            throw invalid(name, `column '${name}' row ${i}: ${v} does not fit a 64-bit integer`)
          }
          values[i] = v
        },
      )
      return make(new Arrow.Int64(), rows.length, { values, valid })
    }
    case "boolean": {
      const values = new Uint8Array(rows.length)
      fill(
        (v) => typeof v === "boolean",
        (i, v: boolean) => void (values[i] = v ? 1 : 0),
      )
      return make(new Arrow.Bool(), rows.length, { values: packBits(values), valid })
    }
    default:
      throw invalid(
        name,
        rows.length === 0 || kind === "undefined"
          ? `column '${name}' has no value to tell its type from; pass a typed array or { strings: [...] }`
          : `column '${name}' holds ${kind}s; pass numbers, strings, booleans or an Arrow vector`,
      )
  }
}

/** Column data for what the caller passed; a copy is made only where the layout differs. */
export const toData = (name: string, input: ColumnInput): Arrow.Data => {
  if (isNumericArray(input)) return make(typeOfArray(input), input.length, { values: input })
  if (Array.isArray(input)) return plainColumn(name, input)
  if (input instanceof Arrow.Vector) {
    const only = input.data[0]
    return only !== undefined && input.data.length === 1 ? only : join(input.type, input.data)
  }
  if (typeof input === "object" && input !== null) {
    if ("micros" in input) return microsColumn(name, input.micros)
    if ("codes" in input) return codesColumn(name, input.codes, input.values)
    if ("strings" in input) return fromStrings(input.strings)
    if ("booleans" in input) {
      const flags = input.booleans
      return make(new Arrow.Bool(), flags.length, { values: packBits(flags) })
    }
  }
  throw invalid(
    name,
    `column '${name}' must be a typed array, an array, { micros }, { codes, values }, { strings }, { booleans } or an Arrow vector`,
  )
}
