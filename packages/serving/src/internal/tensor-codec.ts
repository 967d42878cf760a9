import { DataType } from "@ashlar/core"

interface Header {
  readonly datatype: DataType.DataType
  readonly shape: ReadonlyArray<number>
}

/** Most elements of one tensor: about a gigabyte of float32. */
const maxElements = 2 ** 28

/** Smallest and largest whole number of a type. */
const ranges: Partial<Record<DataType.DataType, readonly [number, number]>> = {
  UINT8: [0, 255],
  UINT16: [0, 65_535],
  UINT32: [0, 4_294_967_295],
  INT8: [-128, 127],
  INT16: [-32_768, 32_767],
  INT32: [-2_147_483_648, 2_147_483_647],
}

const elementsOf = (shape: ReadonlyArray<number>): number => {
  const count = shape.reduce((product, dimension) => product * dimension, 1)
  if (count > maxElements) {
    throw new RangeError(`shape [${shape.join(", ")}] has more than ${maxElements} elements`)
  }
  return count
}

const flatten = (value: unknown, out: Array<unknown>, depth: number): Array<unknown> => {
  if (!Array.isArray(value)) throw new TypeError("data is a flat or nested array")
  if (depth > 32) throw new RangeError("data is nested more than 32 deep")
  for (const item of value) {
    if (Array.isArray(item)) flatten(item, out, depth + 1)
    else out.push(item)
  }
  return out
}

const wrong = (index: number, value: unknown, rule: string): TypeError =>
  new TypeError(`data[${index}] is ${JSON.stringify(String(value)).slice(0, 60)}, expected ${rule}`)

const toBigInt = (value: unknown, index: number, unsigned: boolean): bigint => {
  const whole =
    typeof value === "bigint"
      ? value
      : Number.isSafeInteger(value)
        ? BigInt(value as number)
        : undefined
  const fits =
    whole !== undefined &&
    (unsigned ? BigInt.asUintN(64, whole) : BigInt.asIntN(64, whole)) === whole
  if (!fits)
    throw wrong(index, value, `a whole number of 64 bits${unsigned ? ", not negative" : ""}`)
  return whole
}

/** Reads a tensor whose values are in the JSON. Throws with a message for the caller. */
export const fromJson = (input: Header & { readonly data?: unknown }): DataType.Tensor => {
  const { datatype, shape } = input
  const count = elementsOf(shape)
  if (input.data === undefined) {
    throw new TypeError("it has neither data nor the parameter binary_data_size")
  }
  const flat = flatten(input.data, [], 0)
  if (flat.length !== count) {
    throw new RangeError(
      `shape [${shape.join(", ")}] has ${count} elements, data has ${flat.length}`,
    )
  }
  if (datatype === "BYTES") {
    return {
      datatype,
      shape,
      data: flat.map((value, i) => {
        if (typeof value !== "string") throw wrong(i, value, "a string")
        return value
      }),
    }
  }
  if (datatype === "FP16") throw new TypeError("FP16 travels as binary data only")
  if (datatype === "INT64" || datatype === "UINT64") {
    const data = new DataType.arrayOf[datatype](count)
    flat.forEach((value, i) => {
      data[i] = toBigInt(value, i, datatype === "UINT64")
    })
    return { datatype, shape, data }
  }
  const data = new DataType.arrayOf[datatype](count)
  const range = ranges[datatype]
  flat.forEach((value, i) => {
    if (datatype === "BOOL") {
      if (value !== true && value !== false && value !== 0 && value !== 1)
        throw wrong(i, value, "a boolean")
      data[i] = Number(value)
      return
    }
    if (typeof value !== "number") throw wrong(i, value, "a number")
    if (
      range !== undefined &&
      !(Number.isInteger(value) && value >= range[0] && value <= range[1])
    ) {
      throw wrong(i, value, `a whole number from ${range[0]} to ${range[1]}`)
    }
    data[i] = value
  })
  return { datatype, shape, data }
}

/** Reads a tensor from little-endian bytes. Throws with a message for the caller. */
export const fromBytes = ({ datatype, shape }: Header, bytes: Uint8Array): DataType.Tensor => {
  const count = elementsOf(shape)
  if (datatype === "BYTES") return { datatype, shape, data: readStrings(bytes, count) }
  const expected = count * DataType.byteSize[datatype]
  if (bytes.length !== expected) {
    throw new RangeError(
      `shape [${shape.join(", ")}] of ${datatype} takes ${expected} bytes, binary_data_size says ${bytes.length}`,
    )
  }
  // A copy is aligned, and does not keep the whole request alive.
  const copy = new Uint8Array(bytes).buffer
  return { datatype, shape, data: new DataType.arrayOf[datatype](copy) }
}

const readStrings = (bytes: Uint8Array, count: number): Array<Uint8Array> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const data: Array<Uint8Array> = []
  let at = 0
  while (data.length < count) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : Infinity
    if (at + 4 + length > bytes.length) {
      throw new RangeError(`element ${data.length} reaches past the end of the binary data`)
    }
    data.push(new Uint8Array(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  if (at !== bytes.length)
    throw new RangeError(`${bytes.length - at} bytes follow the last element`)
  return data
}

const textOf = (value: string | Uint8Array): string =>
  typeof value === "string" ? value : Buffer.from(value).toString("utf8")

/** Values as JSON: booleans for BOOL, strings for BYTES, bigints for 64-bit integers. */
export const toJson = (tensor: DataType.Tensor): Array<unknown> => {
  const { datatype, data } = tensor
  if (datatype === "BYTES") {
    return Array.from(data as ReadonlyArray<string | Uint8Array>, textOf)
  }
  if (datatype === "BOOL") return Array.from(data as Uint8Array, (value) => value !== 0)
  return Array.from(data as ArrayLike<number | bigint>)
}

/** Little-endian bytes of a tensor. */
export const toBytes = (tensor: DataType.Tensor): Uint8Array => {
  const { data } = tensor
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  const parts = (data as ReadonlyArray<string | Uint8Array>).flatMap((value) => {
    const bytes = Buffer.from(textOf(value), "utf8")
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    return [length, bytes]
  })
  return Buffer.concat(parts)
}

/** JSON text; bigints as plain digits, NaN and infinities as null, which is all JSON has. */
export const stringify = (value: unknown): string =>
  JSON.stringify(value, (_key, item: unknown) =>
    typeof item === "bigint"
      ? (JSON as unknown as { rawJSON: (text: string) => unknown }).rawJSON(item.toString())
      : item,
  )
