/**
 * Columns of numbers as bytes, which are read at any place without unpacking the rest. What a
 * history's columns look like decides their width: steps mostly go up evenly and take no bytes, times
 * take one to four, values that a 32-bit float holds exactly take four.
 *
 * ```text
 * u8 version | u8 columns | u16 0 | u32 rows
 * for each column: u8 width | 7 zero bytes | f64 base | f64 unit | f64 offset of its bytes
 * the columns, each at a multiple of 8
 * ```
 *
 * Everything is little-endian.
 */

const version = 1
const headBytes = 8
const columnBytes = 32
/** Widths above 8 are codes. */
const float32 = 32

interface Layout {
  readonly width: number
  readonly base: number
  readonly unit: number
}

const sizeOf = (width: number): number => (width === float32 ? 4 : width)

/** Values that are all the same: NaN equals itself, and 0 is not -0. */
const isConstant = (values: ReadonlyArray<number> | Float64Array): boolean => {
  const [first] = values
  for (let i = 1; i < values.length; i++) if (!Object.is(values[i], first)) return false
  return true
}

const integerLayout = (values: ReadonlyArray<number> | Float64Array): Layout => {
  const first = values[0] ?? 0
  const stride = (values[1] ?? first) - first
  let even = true
  let low = first
  let high = first
  let thousands = true
  for (let i = 1; i < values.length; i++) {
    const value = values[i] ?? 0
    if (value !== first + i * stride) even = false
    if (value < low) low = value
    if (value > high) high = value
    if ((value - first) % 1000 !== 0) thousands = false
  }
  if (!Number.isSafeInteger(high - low)) return { width: 8, base: 0, unit: 1 }
  if (even) return { width: 0, base: first, unit: stride }
  const unit = thousands ? 1000 : 1
  const range = (high - low) / unit
  const width = range < 2 ** 8 ? 1 : range < 2 ** 16 ? 2 : range < 2 ** 32 ? 4 : 8
  return width === 8 ? { width, base: 0, unit: 1 } : { width, base: low, unit }
}

const doubleLayout = (values: ReadonlyArray<number> | Float64Array): Layout => {
  if (isConstant(values)) return { width: 0, base: values[0] ?? 0, unit: 0 }
  for (const value of values) {
    if (Math.fround(value) !== value && !Number.isNaN(value)) return { width: 8, base: 0, unit: 1 }
  }
  return { width: float32, base: 0, unit: 1 }
}

/** Columns of the same length: whole numbers, or doubles with NaN and infinities. */
export interface Column {
  readonly kind: "integer" | "double"
  readonly values: ReadonlyArray<number> | Float64Array
}

/** The bytes of columns. */
export const encode = (columns: ReadonlyArray<Column>): Uint8Array => {
  const rows = columns[0]?.values.length ?? 0
  const layouts = columns.map(({ kind, values }) =>
    kind === "integer" ? integerLayout(values) : doubleLayout(values),
  )
  let end = headBytes + columns.length * columnBytes
  const offsets = layouts.map(({ width }) => {
    const offset = end
    end += Math.ceil((sizeOf(width) * rows) / 8) * 8
    return offset
  })
  const bytes = new Uint8Array(end)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, version)
  view.setUint8(1, columns.length)
  view.setUint32(4, rows, true)
  for (let c = 0; c < columns.length; c++) {
    const { width, base, unit } = layouts[c] ?? { width: 0, base: 0, unit: 0 }
    const values = columns[c]?.values ?? []
    const head = headBytes + c * columnBytes
    let at = offsets[c] ?? 0
    view.setUint8(head, width)
    view.setFloat64(head + 8, base, true)
    view.setFloat64(head + 16, unit, true)
    view.setFloat64(head + 24, at, true)
    if (width === 0) continue
    for (let i = 0; i < rows; i++) {
      const value = values[i] ?? 0
      if (width === 8) view.setFloat64(at, value, true)
      else if (width === float32) view.setFloat32(at, value, true)
      else if (width === 4) view.setUint32(at, (value - base) / unit, true)
      else if (width === 2) view.setUint16(at, (value - base) / unit, true)
      else view.setUint8(at, (value - base) / unit)
      at += sizeOf(width)
    }
  }
  return bytes
}

/** Columns that are read where they lie. */
export interface Reader {
  readonly rows: number
  readonly at: (column: number, row: number) => number
  /** Rows `from` up to `to` of a column. */
  readonly slice: (column: number, from: number, to: number) => Float64Array
}

const corrupt = (what: string): Error => new Error(`the history's bytes are damaged: ${what}`)

/** The layouts and offsets of bytes whose lengths were checked. */
const headsOf = (view: DataView, columns: number, rows: number) =>
  Array.from({ length: columns }, (_, c) => {
    const head = headBytes + c * columnBytes
    if (view.byteLength < head + columnBytes) throw corrupt("a column has no head")
    const width = view.getUint8(head)
    const offset = view.getFloat64(head + 24, true)
    if (![0, 1, 2, 4, 8, float32].includes(width)) throw corrupt(`width ${width}`)
    if (!(offset >= 0) || offset + sizeOf(width) * rows > view.byteLength) {
      throw corrupt("a column is cut off")
    }
    return {
      width,
      offset,
      base: view.getFloat64(head + 8, true),
      unit: view.getFloat64(head + 16, true),
    }
  })

/** What a migration wrote with the database's own JSON functions: `[[steps], [times], [values]]`. */
const ofJson = (bytes: Uint8Array): Reader => {
  const parsed: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"))
  const columns = (Array.isArray(parsed) ? parsed : []).map((column: unknown) =>
    Float64Array.from(Array.isArray(column) ? column : [], (value: unknown) =>
      value === null ? Number.NaN : Number(value),
    ),
  )
  const rows = columns[0]?.length ?? 0
  return {
    rows,
    at: (column, row) => columns[column]?.[row] ?? Number.NaN,
    slice: (column, from, to) => columns[column]?.slice(from, to) ?? new Float64Array(),
  }
}

/** Reads the bytes of columns; throws where they are damaged. */
export const read = (bytes: Uint8Array): Reader => {
  if (bytes[0] === 0x5b) return ofJson(bytes)
  if (bytes.byteLength < headBytes || bytes[0] !== version) throw corrupt("no known version")
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const rows = view.getUint32(4, true)
  const heads = headsOf(view, view.getUint8(1), rows)
  const at = (column: number, row: number): number => {
    const head = heads[column]
    if (head === undefined) throw corrupt(`no column ${column}`)
    const { width, offset, base, unit } = head
    switch (width) {
      case 0:
        return unit === 0 ? base : base + row * unit
      case 8:
        return view.getFloat64(offset + row * 8, true)
      case float32:
        return view.getFloat32(offset + row * 4, true)
      case 4:
        return base + view.getUint32(offset + row * 4, true) * unit
      case 2:
        return base + view.getUint16(offset + row * 2, true) * unit
      default:
        return base + view.getUint8(offset + row) * unit
    }
  }
  return {
    rows,
    at,
    slice: (column, from, to) => {
      const values = new Float64Array(Math.max(0, to - from))
      for (let i = from; i < to; i++) values[i - from] = at(column, i)
      return values
    },
  }
}
