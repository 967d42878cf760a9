/* oxlint-disable typescript/no-non-null-assertion -- every index here is computed from lengths */
/**
 * Arrow column data as plain buffers: validity as bytes, chunks joined, rows gathered. In Arrow JS
 * a sliced `Data` has its values and offsets already cut, while its bitmaps still count from
 * `offset`; everything here relies on that.
 */
import * as Arrow from "apache-arrow"
import { DatasetError, invalid } from "./datasetError.ts"

/** Row numbers. */
export type Indices = Int32Array | Uint32Array

interface Buffers {
  readonly values?: ArrayBufferView
  readonly offsets?: ArrayBufferView
  /** One byte a row; absent when no row is null. */
  readonly valid?: Uint8Array | undefined
  readonly children?: Array<Arrow.Data>
  readonly dictionary?: Arrow.Vector
}

/** Bits, least significant first, from one byte a row. */
export const packBits = (bytes: Uint8Array): Uint8Array => {
  const bits = new Uint8Array(Math.ceil(bytes.length / 8))
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) bits[i >> 3]! |= 1 << (i & 7)
  return bits
}

const unpackBits = (bits: Uint8Array, offset: number, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) {
    const bit = offset + i
    bytes[i] = (bits[bit >> 3]! >> (bit & 7)) & 1
  }
  return bytes
}

/** One byte a row, 1 where there is a value; `undefined` when no row is null. */
export const validity = (data: Arrow.Data): Uint8Array | undefined => {
  if (Arrow.DataType.isNull(data.type)) return new Uint8Array(data.length)
  const bits = data.nullBitmap
  if (bits === undefined || bits === null || bits.length === 0 || data.nullCount === 0) {
    return undefined
  }
  return unpackBits(bits, data.offset, data.length)
}

/** One byte a row, 0 or 1, of a boolean column. */
export const booleans = (data: Arrow.Data): Uint8Array =>
  unpackBits(data.values, data.offset, data.length)

/** New column data from plain buffers. */
export const make = (type: Arrow.DataType, length: number, buffers: Buffers): Arrow.Data => {
  const valid = buffers.valid
  let nulls = 0
  if (valid !== undefined) for (let i = 0; i < length; i++) if (valid[i] === 0) nulls++
  return new Arrow.Data(
    type,
    0,
    length,
    nulls,
    {
      [Arrow.BufferType.OFFSET]: buffers.offsets,
      [Arrow.BufferType.DATA]: buffers.values,
      [Arrow.BufferType.VALIDITY]:
        valid === undefined || nulls === 0 ? new Uint8Array(0) : packBits(valid),
    },
    buffers.children ?? [],
    buffers.dictionary,
  )
}

/** True for types whose rows are a fixed number of elements of one typed array. */
export const isFixedWidth = (type: Arrow.DataType): boolean =>
  Arrow.DataType.isInt(type) ||
  Arrow.DataType.isFloat(type) ||
  Arrow.DataType.isTimestamp(type) ||
  Arrow.DataType.isDate(type) ||
  Arrow.DataType.isTime(type) ||
  Arrow.DataType.isDuration(type) ||
  Arrow.DataType.isDecimal(type) ||
  Arrow.DataType.isInterval(type) ||
  Arrow.DataType.isFixedSizeBinary(type)

/** True for strings and bytes stored as offsets and one buffer. */
export const isVarWidth = (
  type: Arrow.DataType,
): type is Arrow.Utf8 | Arrow.LargeUtf8 | Arrow.Binary | Arrow.LargeBinary =>
  Arrow.DataType.isUtf8(type) ||
  Arrow.DataType.isLargeUtf8(type) ||
  Arrow.DataType.isBinary(type) ||
  Arrow.DataType.isLargeBinary(type)

/** Offsets of a variable-width column or list as 32-bit numbers, `length + 1` of them. */
export const offsets32 = (data: Arrow.Data): Int32Array => {
  const offsets: Int32Array | BigInt64Array = data.valueOffsets
  if (offsets instanceof Int32Array) return offsets.subarray(0, data.length + 1)
  const out = new Int32Array(data.length + 1)
  for (let i = 0; i <= data.length; i++) {
    const value = Number(offsets[i] ?? 0n)
    if (value > 0x7fffffff) {
      throw new DatasetError({
        reason: "TooLarge",
        message: "one batch holds more than 2 GiB of strings; use smaller batches or row groups",
      })
    }
    out[i] = value
  }
  return out
}

const wide = (type: Arrow.DataType): boolean =>
  Arrow.DataType.isLargeUtf8(type) || Arrow.DataType.isLargeBinary(type)

const offsetsFor = (type: Arrow.DataType, offsets: Int32Array): Int32Array | BigInt64Array =>
  wide(type) ? BigInt64Array.from(offsets, BigInt) : offsets

/** Elements of the values array that one row takes. */
export const strideOf = (data: Arrow.Data): number =>
  Arrow.DataType.isFixedSizeBinary(data.type) ? data.type.byteWidth : data.stride

const unsupported = (type: Arrow.DataType): DatasetError =>
  invalid(
    "type",
    `columns of type ${Arrow.Type[type.typeId]} cannot be rearranged; convert the column to numbers, strings, lists or structs first`,
  )

/** The rows at the indices, in their order. Every index must be within the data. */
export const gather = (data: Arrow.Data, indices: Indices): Arrow.Data => {
  const n = indices.length
  const type: Arrow.DataType = data.type
  const source = validity(data)
  let valid: Uint8Array | undefined
  if (source !== undefined) {
    valid = new Uint8Array(n)
    for (let i = 0; i < n; i++) valid[i] = source[indices[i]!]!
  }
  if (isFixedWidth(type) || Arrow.DataType.isDictionary(type)) {
    const stride = strideOf(data)
    const from = data.values
    const to = new from.constructor(n * stride)
    if (stride === 1) for (let i = 0; i < n; i++) to[i] = from[indices[i]!]
    else {
      for (let i = 0; i < n; i++) {
        const at = indices[i]! * stride
        for (let k = 0; k < stride; k++) to[i * stride + k] = from[at + k]
      }
    }
    return data.dictionary === undefined
      ? make(type, n, { values: to, valid })
      : make(type, n, { values: to, valid, dictionary: data.dictionary })
  }
  if (Arrow.DataType.isNull(type)) return make(type, n, {})
  if (Arrow.DataType.isBool(type)) {
    const from = booleans(data)
    const to = new Uint8Array(n)
    for (let i = 0; i < n; i++) to[i] = from[indices[i]!]!
    return make(type, n, { values: packBits(to), valid })
  }
  if (isVarWidth(type)) {
    const from: Uint8Array = data.values
    const offsets = offsets32(data)
    const out = new Int32Array(n + 1)
    let total = 0
    for (let i = 0; i < n; i++) {
      const row = indices[i]!
      total += offsets[row + 1]! - offsets[row]!
      if (total > 0x7fffffff) throw tooMuchText()
      out[i + 1] = total
    }
    const bytes = new Uint8Array(total)
    for (let i = 0; i < n; i++) {
      const row = indices[i]!
      let at = out[i]!
      for (let k = offsets[row]!; k < offsets[row + 1]!; k++) bytes[at++] = from[k]!
    }
    return make(type, n, { values: bytes, offsets: offsetsFor(type, out), valid })
  }
  if (Arrow.DataType.isStruct(type)) {
    return make(type, n, { valid, children: data.children.map((child) => gather(child, indices)) })
  }
  const child = data.children[0]
  if (child !== undefined && Arrow.DataType.isFixedSizeList(type)) {
    const size = type.listSize
    const rows = new Int32Array(n * size)
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < size; k++) rows[i * size + k] = indices[i]! * size + k
    }
    return make(type, n, { valid, children: [gather(child, rows)] })
  }
  if (child !== undefined && Arrow.DataType.isList(type)) {
    const offsets = offsets32(data)
    const out = new Int32Array(n + 1)
    for (let i = 0; i < n; i++) {
      out[i + 1] = out[i]! + offsets[indices[i]! + 1]! - offsets[indices[i]!]!
    }
    const rows = new Int32Array(out[n]!)
    for (let i = 0, at = 0; i < n; i++) {
      for (let k = offsets[indices[i]!]!; k < offsets[indices[i]! + 1]!; k++) rows[at++] = k
    }
    return make(type, n, { offsets: out, valid, children: [gather(child, rows)] })
  }
  throw unsupported(type)
}

/** More text than 32-bit offsets can address. */
export const tooMuchText = (): DatasetError =>
  new DatasetError({
    reason: "TooLarge",
    message:
      "a text column holds more than 2 GiB in one piece; read it batch by batch, or as dictionary codes",
  })

const joinedValidity = (chunks: ReadonlyArray<Arrow.Data>, rows: number) => {
  const parts = chunks.map(validity)
  if (parts.every((part) => part === undefined)) return undefined
  const valid = new Uint8Array(rows).fill(1)
  let at = 0
  for (const [i, part] of parts.entries()) {
    if (part !== undefined) valid.set(part, at)
    at += chunks[i]!.length
  }
  return valid
}

/** One piece of data with the rows of all chunks, which have the same type. Always a copy. */
export const join = (type: Arrow.DataType, chunks: ReadonlyArray<Arrow.Data>): Arrow.Data => {
  const rows = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  const valid = joinedValidity(chunks, rows)
  const first = chunks[0]
  if (first === undefined || rows === 0) return empty(type)
  if (Arrow.DataType.isDictionary(type)) return joinDictionaries(type, chunks, rows, valid)
  if (isFixedWidth(type)) {
    const stride = strideOf(first)
    const values = new first.values.constructor(rows * stride)
    let at = 0
    for (const chunk of chunks) {
      values.set(chunk.values.subarray(0, chunk.length * stride), at)
      at += chunk.length * stride
    }
    return make(type, rows, { values, valid })
  }
  if (isVarWidth(type)) {
    let bytes = 0
    const cut = chunks.map((chunk) => {
      const offsets = offsets32(chunk)
      const from = offsets[0] ?? 0
      const to = offsets[chunk.length] ?? from
      bytes += to - from
      return { offsets, from, to, values: chunk.values, length: chunk.length }
    })
    if (bytes > 0x7fffffff) throw tooMuchText()
    const values = new Uint8Array(bytes)
    const offsets = new Int32Array(rows + 1)
    let row = 0
    let at = 0
    for (const part of cut) {
      values.set(part.values.subarray(part.from, part.to), at)
      const shift = at - part.from
      for (let i = 1; i <= part.length; i++) offsets[row + i] = part.offsets[i]! + shift
      row += part.length
      at += part.to - part.from
    }
    return make(type, rows, { values, offsets: offsetsFor(type, offsets), valid })
  }
  return joinNested(type, chunks, rows, valid)
}

const joinDictionaries = (
  type: Arrow.Dictionary,
  chunks: ReadonlyArray<Arrow.Data>,
  rows: number,
  valid: Uint8Array | undefined,
): Arrow.Data => {
  const shared = chunks[0]?.dictionary
  const same = chunks.every((chunk) => chunk.dictionary === shared)
  const codes = new Int32Array(rows)
  const pieces: Array<Arrow.Data> = []
  let row = 0
  let size = 0
  for (const chunk of chunks) {
    const from = chunk.values
    for (let i = 0; i < chunk.length; i++) codes[row + i] = Number(from[i]) + (same ? 0 : size)
    row += chunk.length
    if (!same) {
      pieces.push(...(chunk.dictionary?.data ?? []))
      size += chunk.dictionary?.length ?? 0
    }
  }
  const dictionary = same ? shared : Arrow.makeVector(join(type.dictionary, pieces))
  const joined = new Arrow.Dictionary(type.dictionary, new Arrow.Int32(), type.id, type.isOrdered)
  return make(joined, rows, {
    values: codes,
    valid,
    ...(dictionary === undefined ? {} : { dictionary }),
  })
}

const joinNested = (
  type: Arrow.DataType,
  chunks: ReadonlyArray<Arrow.Data>,
  rows: number,
  valid: Uint8Array | undefined,
): Arrow.Data => {
  if (Arrow.DataType.isNull(type)) return make(type, rows, {})
  if (Arrow.DataType.isBool(type)) {
    const bytes = new Uint8Array(rows)
    let at = 0
    for (const chunk of chunks) {
      bytes.set(booleans(chunk), at)
      at += chunk.length
    }
    return make(type, rows, { values: packBits(bytes), valid })
  }
  if (Arrow.DataType.isStruct(type)) {
    const children = type.children.map((field, i) =>
      join(
        field.type,
        chunks.map((chunk) => chunk.children[i]!.slice(0, chunk.length)),
      ),
    )
    return make(type, rows, { valid, children })
  }
  if (Arrow.DataType.isFixedSizeList(type)) {
    const size = type.listSize
    const child = join(
      type.children[0]!.type,
      chunks.map((chunk) => chunk.children[0]!.slice(0, chunk.length * size)),
    )
    return make(type, rows, { valid, children: [child] })
  }
  if (Arrow.DataType.isList(type)) {
    const offsets = new Int32Array(rows + 1)
    const parts: Array<Arrow.Data> = []
    let row = 0
    let at = 0
    for (const chunk of chunks) {
      const from = offsets32(chunk)
      const start = from[0] ?? 0
      for (let i = 1; i <= chunk.length; i++) offsets[row + i] = from[i]! - start + at
      const length = (from[chunk.length] ?? start) - start
      parts.push(chunk.children[0]!.slice(start, length))
      row += chunk.length
      at += length
    }
    return make(type, rows, { offsets, valid, children: [join(type.children[0]!.type, parts)] })
  }
  throw unsupported(type)
}

/** Data of the type with no rows. */
export const empty = (type: Arrow.DataType): Arrow.Data => {
  const children = (type.children ?? []).map((field: Arrow.Field) => empty(field.type))
  if (Arrow.DataType.isDictionary(type)) {
    const dictionary = Arrow.makeVector(empty(type.dictionary))
    return make(type, 0, { values: new type.indices.ArrayType(0), dictionary })
  }
  if (isVarWidth(type)) {
    const offsets = wide(type) ? new BigInt64Array(1) : new Int32Array(1)
    return make(type, 0, { values: new Uint8Array(0), offsets })
  }
  if (Arrow.DataType.isList(type)) return make(type, 0, { offsets: new Int32Array(1), children })
  if (isFixedWidth(type) || Arrow.DataType.isBool(type)) {
    return make(type, 0, { values: new type.ArrayType(0) })
  }
  return make(type, 0, { children })
}
