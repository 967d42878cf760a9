/**
 * Thrift's compact protocol as a tree that keeps every field, known or not: enough to read a
 * Parquet footer, change a few fields and write it again. Input is untrusted, so every length is
 * checked against the bytes that are left.
 */

/** A value of a field; integers are safe numbers. */
export type Value =
  | boolean
  | number
  | Uint8Array
  | Struct
  | { readonly element: number; readonly items: ReadonlyArray<Value> }
  | { readonly key: number; readonly value: number; readonly items: ReadonlyArray<Value> }

/** A field with its compact type code. */
export interface Field {
  readonly id: number
  readonly type: number
  readonly value: Value
}

/** Fields in the order of the file. */
export interface Struct {
  readonly fields: ReadonlyArray<Field>
}

/** Compact type codes. */
export const type = { i32: 5, i64: 6, binary: 8, list: 9, struct: 12 } as const

const maxDepth = 64

const broken = (what: string): RangeError => new RangeError(`broken Thrift structure: ${what}`)

/** There are more values than the caller wants in memory. */
export class TooMany extends RangeError {}

class Reader {
  private at = 0
  private left: number
  private readonly bytes: Uint8Array
  private readonly view: DataView

  constructor(bytes: Uint8Array, values: number) {
    this.left = values
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  private byte(): number {
    const byte = this.bytes[this.at]
    if (byte === undefined) throw broken("it ends too early")
    this.at += 1
    return byte
  }

  private varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw broken("a number is too long")
  }

  private zigzag(): number {
    const value = this.varint()
    if (value > Number.MAX_SAFE_INTEGER) throw broken("a number is too large")
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  private take(length: number): Uint8Array {
    if (length > this.bytes.length - this.at) throw broken("a string is longer than what is left")
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  private value(code: number, depth: number): Value {
    if (--this.left < 0) throw new TooMany("it has too many values")
    switch (code) {
      case 1:
        return true
      case 2:
        return false
      case 3:
        return this.byte()
      case 4:
      case 5:
      case 6:
        return this.zigzag()
      case 7: {
        const start = this.at
        this.take(8)
        return this.view.getFloat64(start, true)
      }
      case 8:
        return this.take(this.varint())
      case 9:
      case 10:
        return this.list(depth + 1)
      case 11:
        return this.map(depth + 1)
      case 12:
        return this.struct(depth + 1)
      default:
        throw broken(`unknown type ${code}`)
    }
  }

  /** In a list a boolean is a byte of its own. */
  private element(code: number, depth: number): Value {
    return code === 1 || code === 2 ? this.byte() === 1 : this.value(code, depth)
  }

  private list(depth: number): Value {
    if (depth > maxDepth) throw broken("it is nested too deeply")
    const header = this.byte()
    const size = header >> 4 === 15 ? this.varint() : header >> 4
    if (size > this.bytes.length - this.at) throw broken("a list is longer than what is left")
    const element = header & 15
    const items: Array<Value> = []
    for (let i = 0; i < size; i++) items.push(this.element(element, depth))
    return { element, items }
  }

  private map(depth: number): Value {
    if (depth > maxDepth) throw broken("it is nested too deeply")
    const size = this.varint()
    if (size === 0) return { key: 0, value: 0, items: [] }
    if (size > this.bytes.length - this.at) throw broken("a map is longer than what is left")
    const types = this.byte()
    const items: Array<Value> = []
    for (let i = 0; i < size; i++) {
      items.push(this.element(types >> 4, depth), this.element(types & 15, depth))
    }
    return { key: types >> 4, value: types & 15, items }
  }

  struct(depth = 0): Struct {
    if (depth > maxDepth) throw broken("it is nested too deeply")
    const fields: Array<Field> = []
    let id = 0
    for (;;) {
      const header = this.byte()
      if (header === 0) return { fields }
      id = header >> 4 === 0 ? this.zigzag() : id + (header >> 4)
      const code = header & 15
      fields.push({ id, type: code, value: this.value(code, depth) })
    }
  }
}

/**
 * Reads one struct; throws a `RangeError` when the bytes are not one, and {@link TooMany} past so
 * many values: one of a byte takes a hundred in memory.
 */
export const decode = (bytes: Uint8Array, values: number): Struct =>
  new Reader(bytes, values).struct()

class Writer {
  private bytes = Buffer.allocUnsafe(4096)
  private at = 0

  private room(length: number): void {
    if (this.at + length <= this.bytes.length) return
    const grown = Buffer.allocUnsafe((this.at + length) * 2)
    this.bytes.copy(grown, 0, 0, this.at)
    this.bytes = grown
  }

  private byte(value: number): void {
    this.room(1)
    this.bytes[this.at++] = value
  }

  private varint(value: number): void {
    let rest = value
    while (rest >= 128) {
      this.byte((rest % 128) | 0x80)
      rest = Math.floor(rest / 128)
    }
    this.byte(rest)
  }

  private zigzag(value: number): void {
    this.varint(value < 0 ? -value * 2 - 1 : value * 2)
  }

  private value(code: number, value: Value): void {
    if (typeof value === "boolean") return
    if (typeof value === "number") {
      if (code === 3) return this.byte(value)
      if (code !== 7) return this.zigzag(value)
      this.room(8)
      this.at = this.bytes.writeDoubleLE(value, this.at)
    } else if (value instanceof Uint8Array) {
      this.varint(value.length)
      this.room(value.length)
      this.bytes.set(value, this.at)
      this.at += value.length
    } else if ("fields" in value) this.struct(value)
    else if ("element" in value) {
      const size = value.items.length
      this.byte((Math.min(size, 15) << 4) | value.element)
      if (size >= 15) this.varint(size)
      for (const item of value.items) this.element(value.element, item)
    } else {
      this.varint(value.items.length / 2)
      if (value.items.length === 0) return
      this.byte((value.key << 4) | value.value)
      value.items.forEach((item, i) => this.element(i % 2 === 0 ? value.key : value.value, item))
    }
  }

  private element(code: number, value: Value): void {
    if (typeof value === "boolean") this.byte(value ? 1 : 2)
    else this.value(code, value)
  }

  struct(struct: Struct): void {
    let last = 0
    for (const { id, type: code, value } of struct.fields) {
      const header = typeof value === "boolean" ? (value ? 1 : 2) : code
      if (id > last && id - last < 16) this.byte(((id - last) << 4) | header)
      else {
        this.byte(header)
        this.zigzag(id)
      }
      last = id
      this.value(code, value)
    }
    this.byte(0)
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.at)
  }
}

/** Writes one struct. */
export const encode = (struct: Struct): Uint8Array => {
  const writer = new Writer()
  writer.struct(struct)
  return writer.finish()
}

/** The value of a field. */
export const get = (struct: Struct, id: number): Value | undefined =>
  struct.fields.find((field) => field.id === id)?.value

/** A number field; `fallback` when it is absent or something else. */
export const number = (struct: Struct, id: number, fallback = 0): number => {
  const value = get(struct, id)
  return typeof value === "number" ? value : fallback
}

/** The structs of a list field. */
export const structs = (struct: Struct, id: number): ReadonlyArray<Struct> => {
  const value = get(struct, id)
  if (typeof value !== "object" || !("element" in value)) return []
  return value.items.filter((item): item is Struct => typeof item === "object" && "fields" in item)
}

/** The texts of a list field. */
export const texts = (struct: Struct, id: number): ReadonlyArray<string> => {
  const value = get(struct, id)
  if (typeof value !== "object" || !("element" in value)) return []
  return value.items.map((item) =>
    item instanceof Uint8Array ? Buffer.from(item).toString("utf8") : "",
  )
}

/** The struct with fields changed; `undefined` drops a field. */
export const update = (
  struct: Struct,
  changes: Readonly<Record<number, Omit<Field, "id"> | undefined>>,
): Struct => {
  const kept = struct.fields.filter((field) => !Object.hasOwn(changes, field.id))
  const added = Object.entries(changes).flatMap(([id, change]) =>
    change === undefined ? [] : [{ id: Number(id), type: change.type, value: change.value }],
  )
  return { fields: [...kept, ...added].sort((a, b) => a.id - b.id) }
}
