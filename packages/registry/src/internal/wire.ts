/** Protobuf's wire format, read from and written to bytes. https://protobuf.dev/programming-guides/encoding */
import { Fault } from "./formats/source.ts"

/** A varint and where it ends; throws when it is cut or beyond 2^53. */
export const varint = (
  bytes: Uint8Array,
  at: number,
  field: string,
): { readonly value: number; readonly next: number } => {
  let value = 0
  for (let i = 0, scale = 1; i < 7; i++, scale *= 128) {
    const byte = bytes[at + i]
    if (byte === undefined) throw new Fault(field, `a varint at byte ${at} is cut short`)
    value += (byte & 127) * scale
    if (byte < 128) return { value, next: at + i + 1 }
  }
  let big = BigInt(value)
  for (let i = 7; i < 10; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) throw new Fault(field, `a varint at byte ${at} is cut short`)
    big |= BigInt(byte & 127) << BigInt(7 * i)
    if (byte < 128) {
      const signed = Number(BigInt.asIntN(64, big))
      if (!Number.isSafeInteger(signed)) throw new Fault(field, "holds a number beyond 2^53")
      return { value: signed, next: at + i + 1 }
    }
  }
  throw new Fault(field, `a varint at byte ${at} has more than 10 bytes`)
}

/** A field's number and wire type. */
export const key = (value: number, field: string): { number: number; wire: number } => {
  const number = Math.floor(value / 8)
  const wire = value % 8
  if (value < 0 || number < 1 || number > 536_870_911) {
    throw new Fault(
      field,
      `has a field of the number ${number}; protobuf numbers are 1 to 2^29 - 1`,
    )
  }
  if (wire !== 0 && wire !== 1 && wire !== 2 && wire !== 5) {
    throw new Fault(field, `field ${number} has wire type ${wire}; 0, 1, 2 and 5 are read`)
  }
  return { number, wire }
}

/** The fields of a message: numbers for varints, bytes for everything else. */
export function* message(
  bytes: Uint8Array,
  field: string,
): Generator<readonly [number: number, value: number | Uint8Array]> {
  for (let at = 0; at < bytes.length;) {
    const tag = varint(bytes, at, field)
    const { number, wire } = key(tag.value, field)
    if (wire === 0) {
      const { value, next } = varint(bytes, tag.next, field)
      at = next
      yield [number, value]
      continue
    }
    let length = wire === 1 ? 8 : 4
    let start = tag.next
    if (wire === 2) {
      const size = varint(bytes, tag.next, field)
      length = size.value
      start = size.next
    }
    if (length < 0 || start + length > bytes.length) {
      throw new Fault(
        field,
        `field ${number} has ${length} bytes, ${bytes.length - start} are left`,
      )
    }
    at = start + length
    yield [number, bytes.subarray(start, at)]
  }
}

/** Bytes of a field that is not a varint. */
export const bytesOf = (value: number | Uint8Array, field: string): Uint8Array => {
  if (typeof value === "number") throw new Fault(field, "is a number where bytes belong")
  return value
}

/** The number of a varint field. */
export const numberOf = (value: number | Uint8Array, field: string): number => {
  if (typeof value !== "number") throw new Fault(field, "is bytes where a number belongs")
  return value
}

/** Values of a repeated integer field, packed or not. */
export const integersOf = (value: number | Uint8Array, field: string): Array<number> => {
  if (typeof value === "number") return [value]
  const values: Array<number> = []
  for (let at = 0; at < value.length;) {
    const item = varint(value, at, field)
    values.push(item.value)
    at = item.next
  }
  return values
}

/** Little-endian view of bytes. */
export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The value of a `double` field. */
export const doubleOf = (value: number | Uint8Array, field: string): number => {
  const bytes = bytesOf(value, field)
  if (bytes.length !== 8) throw new Fault(field, `a double has 8 bytes, this one ${bytes.length}`)
  return viewOf(bytes).getFloat64(0, true)
}

const pushVarint = (out: Array<number>, value: number): void => {
  if (value < 0) {
    let rest = BigInt.asUintN(64, BigInt(value))
    for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128)
    out.push(Number(rest))
    return
  }
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) out.push((rest % 128) | 128)
  out.push(rest)
}

/** Writes a message field by field. */
export class Writer {
  readonly #out: Array<number> = []

  integer(number: number, value: number): this {
    pushVarint(this.#out, number * 8)
    pushVarint(this.#out, value)
    return this
  }

  double(number: number, value: number): this {
    return this.#fixed(number * 8 + 1, new Float64Array([value]))
  }

  float(number: number, value: number): this {
    return this.#fixed(number * 8 + 5, new Float32Array([value]))
  }

  bytes(number: number, value: Uint8Array): this {
    pushVarint(this.#out, number * 8 + 2)
    pushVarint(this.#out, value.length)
    for (const byte of value) this.#out.push(byte)
    return this
  }

  string(number: number, value: string): this {
    return this.bytes(number, Buffer.from(value))
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#out)
  }

  #fixed(tag: number, value: Float32Array | Float64Array): this {
    pushVarint(this.#out, tag)
    // Every platform that runs Node is little-endian, as the wire format is.
    for (const byte of new Uint8Array(value.buffer)) this.#out.push(byte)
    return this
  }
}
