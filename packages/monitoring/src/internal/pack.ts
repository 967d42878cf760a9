/**
 * Columns of a chunk as one blob: a JSON header, then each column's bytes, aligned to 8 so that
 * typed arrays read them in place. Strings are dictionary-coded.
 *
 * @module
 */
import { MonitoringError } from "../MonitoringError.ts"
import type { Column } from "./column-state.ts"

const magic = 0x4b4e4843

type Type = "f32" | "f64" | "i32" | "text"

interface Entry {
  readonly name: string
  readonly type: Type
  readonly offset: number
  readonly length: number
  /** Distinct strings of a `text` column, whose bytes are int32 codes (-1 for null). */
  readonly values?: ReadonlyArray<string>
}

const align = (n: number): number => (n + 7) & ~7

const typeOf = (column: Column): Type =>
  column instanceof Float32Array
    ? "f32"
    : column instanceof Float64Array
      ? "f64"
      : column instanceof Int32Array
        ? "i32"
        : "text"

/** Distinct strings and a code for each row, -1 for null. */
export const encodeText = (
  column: ReadonlyArray<string | null>,
): { readonly codes: Int32Array; readonly values: ReadonlyArray<string> } => {
  const known = new Map<string, number>()
  const codes = new Int32Array(column.length)
  for (let i = 0; i < column.length; i++) {
    const value = column[i]
    if (value === null || value === undefined) codes[i] = -1
    else {
      let code = known.get(value)
      if (code === undefined) {
        code = known.size
        known.set(value, code)
      }
      codes[i] = code
    }
  }
  return { codes, values: [...known.keys()] }
}

/** Packs columns of one length. */
export const pack = (columns: ReadonlyArray<readonly [string, Column]>): Uint8Array => {
  const entries: Array<Entry> = []
  const bodies: Array<Float32Array | Float64Array | Int32Array> = []
  let offset = 0
  for (const [name, column] of columns) {
    const type = typeOf(column)
    const text = Array.isArray(column) ? encodeText(column) : undefined
    const body = text?.codes ?? (column as Float32Array | Float64Array | Int32Array)
    entries.push({
      name,
      type,
      offset,
      length: column.length,
      ...(text ? { values: text.values } : {}),
    })
    bodies.push(body)
    offset += align(body.byteLength)
  }
  const header = Buffer.from(JSON.stringify(entries))
  const start = align(8 + header.length)
  const out = new Uint8Array(start + offset)
  const dataView = new DataView(out.buffer)
  dataView.setUint32(0, magic, true)
  dataView.setUint32(4, header.length, true)
  out.set(header, 8)
  entries.forEach((entry, i) => {
    const body = bodies[i]
    if (body === undefined) return
    out.set(new Uint8Array(body.buffer, body.byteOffset, body.byteLength), start + entry.offset)
  })
  return out
}

const corrupt = (why: string): MonitoringError =>
  new MonitoringError({
    reason: "Corrupt",
    message: `a stored chunk of predictions is damaged (${why}); restore the database from a backup`,
  })

/** Unpacks the columns that `wanted` accepts; numbers read the bytes in place. */
export const unpack = (
  blob: Uint8Array,
  wanted: (name: string) => boolean = () => true,
): Map<string, Column> => {
  const bytes = blob.byteOffset % 8 === 0 ? blob : blob.slice()
  if (bytes.length < 8) throw corrupt("too short")
  const dataView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const size = dataView.getUint32(4, true)
  if (dataView.getUint32(0, true) !== magic || 8 + size > bytes.length) throw corrupt("no header")
  let entries: ReadonlyArray<Entry>
  try {
    entries = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 8, size).toString("utf8"))
  } catch {
    throw corrupt("header")
  }
  const start = bytes.byteOffset + align(8 + size)
  const out = new Map<string, Column>()
  for (const { name, type, offset, length, values } of entries) {
    if (!wanted(name)) continue
    const at = start + offset
    if (at + length * (type === "f64" ? 8 : 4) > bytes.byteOffset + bytes.length)
      throw corrupt("cut off")
    if (type === "f32") out.set(name, new Float32Array(bytes.buffer, at, length))
    else if (type === "f64") out.set(name, new Float64Array(bytes.buffer, at, length))
    else if (type === "i32") out.set(name, new Int32Array(bytes.buffer, at, length))
    else {
      const codes = new Int32Array(bytes.buffer, at, length)
      out.set(
        name,
        Array.from(codes, (code) => values?.[code] ?? null),
      )
    }
  }
  return out
}

/** Several columns of one type, one after the other. */
export const concat = (parts: ReadonlyArray<Column>): Column => {
  const [first] = parts
  if (first === undefined || parts.length === 1) return first ?? []
  if (Array.isArray(first)) return parts.flatMap((part) => part as ReadonlyArray<string | null>)
  const total = parts.reduce((sum, part) => sum + part.length, 0)
  const out =
    first instanceof Float32Array
      ? new Float32Array(total)
      : first instanceof Float64Array
        ? new Float64Array(total)
        : new Int32Array(total)
  let at = 0
  for (const part of parts) {
    out.set(part as ArrayLike<number>, at)
    at += part.length
  }
  return out
}

/** The rows at the indices. */
export const gather = (column: Column, rows: ArrayLike<number>): Column => {
  if (Array.isArray(column)) return Array.from(rows, (row) => column[row] ?? null)
  const from = column as Float32Array | Float64Array | Int32Array
  const out =
    from instanceof Float32Array
      ? new Float32Array(rows.length)
      : from instanceof Float64Array
        ? new Float64Array(rows.length)
        : new Int32Array(rows.length)
  for (let i = 0; i < rows.length; i++) out[i] = from[rows[i] as number] as number
  return out
}
