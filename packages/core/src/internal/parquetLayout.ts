/**
 * Where the pieces of a Parquet file lie. A row group can be cut out into a small file of its own
 * (so that only its bytes are read and decoded), and small files can be strung into a large one
 * (so that only one row group is in memory while writing). Field numbers are those of
 * parquet.thrift.
 */
import * as Thrift from "./thrift.ts"
import { DatasetError } from "./datasetError.ts"

/** A column chunk's bytes in the file. */
export interface Chunk {
  readonly column: string
  readonly start: number
  readonly end: number
}

/** One row group. */
export interface Group {
  readonly rows: number
  /** Bytes of its columns when decoded, at least. */
  readonly decoded: (columns: ReadonlySet<string>) => number
  readonly chunks: ReadonlyArray<Chunk>
  readonly struct: Thrift.Struct
}

/** A file's footer. */
export interface Layout {
  readonly footer: Thrift.Struct
  readonly rows: number
  readonly groups: ReadonlyArray<Group>
}

const magic = Buffer.from("PAR1")

const corrupt = (message: string, cause?: unknown): DatasetError =>
  new DatasetError({ reason: "Corrupt", message, ...(cause === undefined ? {} : { cause }) })

/** Checks the last 8 bytes of a file and gives the length of the footer before them. */
export const footerLength = (
  name: string,
  size: number,
  head: Uint8Array,
  tail: Uint8Array,
  limit: number,
): number => {
  const starts = Buffer.from(head).toString("latin1")
  const ends = Buffer.from(tail.subarray(tail.length - 4)).toString("latin1")
  if (starts === "PARE" || ends === "PARE") {
    throw new DatasetError({
      reason: "InvalidInput",
      message: `${name} is encrypted; write it without Parquet encryption`,
    })
  }
  if (starts !== "PAR1") {
    throw new DatasetError({
      reason: "InvalidInput",
      message: `${name} is not a Parquet file: it does not start with 'PAR1'`,
    })
  }
  if (ends !== "PAR1" || size < 12) {
    throw corrupt(`${name} is truncated: it does not end with 'PAR1'; copy or write it again`)
  }
  const length = Buffer.from(tail).readUInt32LE(tail.length - 8)
  if (length > size - 12) {
    throw corrupt(
      `${name} is damaged: its footer should have ${length} bytes, the file has ${size}; copy or write it again`,
    )
  }
  // Written so that a limit of NaN refuses rather than lets everything through.
  if (!(length <= limit)) {
    throw new DatasetError({
      reason: "TooLarge",
      message: `${name} has a footer of ${length} bytes, the limit is ${limit}; raise limits.footerBytes if you trust it`,
      field: "limits.footerBytes",
    })
  }
  return length
}

const width = [1, 4, 8, 12, 4, 8, 4, 1] as const

const groupOf = (name: string, group: Thrift.Struct, index: number, dataEnd: number): Group => {
  const rows = Thrift.number(group, 3, -1)
  if (rows < 0) throw corrupt(`${name} is damaged: row group ${index} has no row count`)
  const sizes: Array<{ readonly column: string; readonly decoded: number }> = []
  const chunks = Thrift.structs(group, 1).map((chunk) => {
    const meta = Thrift.get(chunk, 3)
    if (typeof meta !== "object" || !("fields" in meta)) {
      throw corrupt(`${name} is damaged: a column of row group ${index} has no metadata`)
    }
    const column = Thrift.texts(meta, 3)[0] ?? ""
    if (Thrift.get(chunk, 1) !== undefined) {
      throw new DatasetError({
        reason: "InvalidInput",
        message: `${name} keeps column '${column}' in another file, which is not supported`,
        field: column,
      })
    }
    const data = Thrift.number(meta, 9, -1)
    const dictionary = Thrift.number(meta, 11)
    const start = dictionary > 0 && dictionary < data ? dictionary : data
    const end = start + Thrift.number(meta, 7, -1)
    if (start < 4 || end < start || end > dataEnd) {
      throw corrupt(
        `${name} is damaged or truncated: column '${column}' of row group ${index} lies at bytes ${start} to ${end}, the data ends at ${dataEnd}`,
      )
    }
    const values = Thrift.number(meta, 5) * (width[Thrift.number(meta, 1)] ?? 1)
    sizes.push({ column, decoded: Math.max(Thrift.number(meta, 6), values) })
    return { column, start, end }
  })
  const decoded = (columns: ReadonlySet<string>): number =>
    sizes.reduce((sum, size) => sum + (columns.has(size.column) ? size.decoded : 0), 0)
  return { rows, decoded, chunks, struct: group }
}

/** Reads a footer of at most `limit` bytes. `dataEnd` is where the footer starts. */
export const parse = (
  name: string,
  bytes: Uint8Array,
  dataEnd: number,
  limit: number = bytes.length * 8,
): Layout => {
  try {
    const footer = Thrift.decode(bytes, Math.max(1024, Math.floor(limit / 8)))
    const groups = Thrift.structs(footer, 4).map((g, i) => groupOf(name, g, i, dataEnd))
    return { footer, rows: groups.reduce((sum, g) => sum + g.rows, 0), groups }
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause
    if (cause instanceof Thrift.TooMany) {
      throw new DatasetError({
        reason: "TooLarge",
        message: `${name} has a footer of more than ${Math.floor(limit / 8)} values; raise limits.footerBytes if you trust it`,
        field: "limits.footerBytes",
      })
    }
    throw corrupt(`${name} is damaged: its footer cannot be read; copy or write it again`, cause)
  }
}

const i64 = (value: number) => ({ type: Thrift.type.i64, value })

const structList = (items: ReadonlyArray<Thrift.Struct>) => ({
  type: Thrift.type.list,
  value: { element: Thrift.type.struct, items },
})

/** Offsets of a column chunk's metadata, moved by what `move` says of each. */
const moveMeta = (meta: Thrift.Value | undefined, move: (offset: number) => number) => {
  if (typeof meta !== "object" || !("fields" in meta)) return undefined
  const changes: Record<number, Omit<Thrift.Field, "id">> = {}
  for (const id of [9, 10, 11, 14]) {
    const offset = Thrift.get(meta, id)
    if (typeof offset === "number") changes[id] = i64(move(offset))
  }
  return { type: Thrift.type.struct, value: Thrift.update(meta, changes) }
}

const closing = (footer: Uint8Array): Uint8Array => {
  const end = Buffer.alloc(8)
  end.writeUInt32LE(footer.length)
  magic.copy(end, 4)
  return end
}

/** Footer and trailer of a file. */
export const trailer = (footer: Thrift.Struct): ReadonlyArray<Uint8Array> => {
  const bytes = Thrift.encode(footer)
  return [bytes, closing(bytes)]
}

/** The footer with no row groups: what is needed to tell the schema. */
export const schemaFile = (layout: Layout): Uint8Array =>
  Buffer.concat([magic, ...trailer(Thrift.update(layout.footer, { 3: i64(0), 4: structList([]) }))])

/** Byte ranges to read for the columns of a group, neighbours joined. */
export const ranges = (
  group: Group,
  columns: ReadonlySet<string>,
): ReadonlyArray<{ readonly start: number; readonly end: number }> => {
  const out: Array<{ start: number; end: number }> = []
  const wanted = group.chunks.filter((chunk) => columns.has(chunk.column))
  for (const chunk of wanted.toSorted((a, b) => a.start - b.start)) {
    const last = out.at(-1)
    if (last !== undefined && chunk.start - last.end <= 65_536) {
      last.end = Math.max(last.end, chunk.end)
    } else out.push({ start: chunk.start, end: chunk.end })
  }
  return out
}

/** The schema elements of the selected top-level columns; the list is a tree in depth-first order. */
const pruneSchema = (
  footer: Thrift.Struct,
  columns: ReadonlySet<string>,
): ReadonlyArray<Thrift.Struct> => {
  const [root, ...elements] = Thrift.structs(footer, 2)
  if (root === undefined) return []
  const kept: Array<Thrift.Struct> = []
  let count = 0
  for (let at = 0; at < elements.length;) {
    const first = elements[at]
    const name = first === undefined ? undefined : Thrift.get(first, 4)
    const wanted = name instanceof Uint8Array && columns.has(Buffer.from(name).toString("utf8"))
    if (wanted) count += 1
    for (let open = 1; open > 0 && at < elements.length; at++) {
      const element = elements[at]
      if (element === undefined) break
      open += Thrift.number(element, 5) - 1
      if (wanted) kept.push(element)
    }
  }
  return [Thrift.update(root, { 5: { type: Thrift.type.i32, value: count } }), ...kept]
}

const pair = (key: string, value: string): Thrift.Struct => ({
  fields: [key, value].map((text, i) => ({
    id: i + 1,
    type: Thrift.type.binary,
    value: Buffer.from(text),
  })),
})

/**
 * A file of one row group and the selected columns, from the bytes of their {@link ranges}.
 * `arrowSchema` is the schema to decode to, as Parquet writers keep it in `ARROW:schema`.
 */
export const groupFile = (
  layout: Layout,
  group: Group,
  columns: ReadonlySet<string>,
  arrowSchema: string,
  parts: ReadonlyArray<{ readonly start: number; readonly bytes: Uint8Array }>,
): Uint8Array => {
  let at = 4
  const bases = parts.map((part) => {
    const base = { from: part.start, to: part.start + part.bytes.length, shift: at - part.start }
    at += part.bytes.length
    return base
  })
  const move = (offset: number): number => {
    const base = bases.find((b) => offset >= b.from && offset < b.to)
    return base === undefined ? 4 : offset + base.shift
  }
  const wanted = Thrift.structs(group.struct, 1).filter((_, i) =>
    columns.has(group.chunks[i]?.column ?? ""),
  )
  const chunks = wanted.map((chunk) =>
    Thrift.update(chunk, {
      2: i64(0),
      3: moveMeta(Thrift.get(chunk, 3), move),
      4: undefined,
      5: undefined,
      6: undefined,
      7: undefined,
    }),
  )
  const moved = Thrift.update(group.struct, {
    1: structList(chunks),
    4: undefined,
    5: undefined,
    7: undefined,
  })
  const footer = Thrift.update(layout.footer, {
    2: structList(pruneSchema(layout.footer, columns)),
    3: i64(group.rows),
    4: structList([moved]),
    5: structList([pair("ARROW:schema", arrowSchema)]),
    7: undefined,
  })
  return Buffer.concat([magic, ...parts.map((part) => part.bytes), ...trailer(footer)])
}

/** Strings files of the same schema into one. */
export class Joiner {
  private groups: Array<Thrift.Struct> = []
  private first: Thrift.Struct | undefined
  private rows = 0
  private at = 4

  /** Takes a whole file; gives the bytes to append. */
  add(file: Uint8Array): Uint8Array {
    const length = Buffer.from(file.buffer, file.byteOffset, file.length).readUInt32LE(
      file.length - 8,
    )
    const dataEnd = file.length - 8 - length
    const layout = parse("the row group", file.subarray(dataEnd, file.length - 8), dataEnd)
    const shift = this.at - 4
    for (const group of layout.groups) {
      const chunks = Thrift.structs(group.struct, 1).map((chunk) => {
        const changes: Record<number, Omit<Thrift.Field, "id"> | undefined> = {
          3: moveMeta(Thrift.get(chunk, 3), (offset) => offset + shift),
        }
        for (const id of [4, 6]) {
          const offset = Thrift.get(chunk, id)
          if (typeof offset === "number") changes[id] = i64(offset + shift)
        }
        return Thrift.update(chunk, changes)
      })
      const offset = Thrift.get(group.struct, 5)
      this.groups.push(
        Thrift.update(group.struct, {
          1: structList(chunks),
          5: typeof offset === "number" ? i64(offset + shift) : undefined,
          7: undefined,
        }),
      )
      this.rows += group.rows
    }
    this.first ??= layout.footer
    this.at += dataEnd - 4
    return file.subarray(4, dataEnd)
  }

  /** The last bytes of the joined file. */
  finish(): ReadonlyArray<Uint8Array> {
    if (this.first === undefined) throw new RangeError("a Parquet file needs a schema")
    return trailer(Thrift.update(this.first, { 3: i64(this.rows), 4: structList(this.groups) }))
  }
}
