/**
 * Reads as much of an ONNX file as explaining trees needs: nodes, their attributes, and constants.
 * Sizes and offsets are checked, so a truncated or hostile file is an error and nothing else.
 *
 * @module
 */
import { MonitoringError } from "../MonitoringError.ts"

/** A constant tensor or a list attribute, as numbers. */
export type Numbers = Float64Array

/** An attribute's value by what it is. */
export interface Attribute {
  readonly numbers: Numbers
  readonly strings: ReadonlyArray<string>
}

/** A node of the graph. */
export interface Node {
  readonly op: string
  readonly domain: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  readonly attributes: ReadonlyMap<string, Attribute>
}

/** A graph. */
export interface Graph {
  readonly nodes: ReadonlyArray<Node>
  readonly constants: ReadonlyMap<string, Numbers>
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
}

const corrupt = (why: string): MonitoringError =>
  new MonitoringError({
    reason: "Corrupt",
    message: `the ONNX file cannot be read: ${why}`,
    field: "package",
  })

interface Field {
  readonly number: number
  readonly wire: number
  /** Value of a varint, or start of the bytes. */
  readonly value: number
  readonly bytes: Uint8Array
}

const decoder = new TextDecoder()
const empty = new Uint8Array(0)

/** A varint as a signed 64-bit integer in a double (tree files hold small ones). */
const varint = (bytes: Uint8Array, at: number): readonly [value: number, next: number] => {
  let low = 0
  let high = 0
  for (let i = 0; i < 10; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) throw corrupt("it ends in the middle of a number")
    const part = byte & 0x7f
    if (i < 4) low |= part << (7 * i)
    else if (i === 4) {
      low |= part << 28
      high |= part >>> 4
    } else high |= part << (7 * i - 32)
    if (byte < 0x80) return [(high | 0) * 4294967296 + (low >>> 0), at + i + 1]
  }
  throw corrupt("a number is too long")
}

function* fields(bytes: Uint8Array): Generator<Field> {
  let at = 0
  while (at < bytes.length) {
    const [tag, afterTag] = varint(bytes, at)
    const number = Math.floor(tag / 8)
    const wire = tag & 7
    if (wire === 0) {
      const [value, next] = varint(bytes, afterTag)
      at = next
      yield { number, wire, value, bytes: empty }
      continue
    }
    let start = afterTag
    let size = wire === 1 ? 8 : wire === 5 ? 4 : -1
    if (wire === 2) [size, start] = varint(bytes, afterTag)
    if (size < 0 || start + size > bytes.length) throw corrupt("a field runs past the end")
    at = start + size
    yield { number, wire, value: 0, bytes: bytes.subarray(start, at) }
  }
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const floats = (bytes: Uint8Array): Array<number> => {
  const data = viewOf(bytes)
  return Array.from({ length: bytes.length >> 2 }, (_, i) => data.getFloat32(i * 4, true))
}

const doubles = (bytes: Uint8Array): Array<number> => {
  const data = viewOf(bytes)
  return Array.from({ length: bytes.length >> 3 }, (_, i) => data.getFloat64(i * 8, true))
}

const integers = (field: Field): Array<number> => {
  if (field.wire === 0) return [field.value]
  const out: Array<number> = []
  for (let at = 0; at < field.bytes.length;) {
    const [value, next] = varint(field.bytes, at)
    out.push(value)
    at = next
  }
  return out
}

const push = (to: Array<number>, from: ReadonlyArray<number>): void => {
  for (const value of from) to.push(value)
}

const raw = (bytes: Uint8Array, type: number): Array<number> => {
  const data = viewOf(bytes)
  switch (type) {
    case 1:
      return floats(bytes)
    case 11:
      return doubles(bytes)
    case 2:
    case 9:
      return Array.from(bytes)
    case 3:
      return Array.from(bytes, (value) => (value << 24) >> 24)
    case 6:
      return Array.from({ length: bytes.length >> 2 }, (_, i) => data.getInt32(i * 4, true))
    case 7:
      return Array.from({ length: bytes.length >> 3 }, (_, i) =>
        Number(data.getBigInt64(i * 8, true)),
      )
    default:
      return []
  }
}

const tensor = (bytes: Uint8Array): { readonly name: string; readonly numbers: Numbers } => {
  let name = ""
  let type = 0
  let content: Uint8Array = empty
  let external = false
  const listed: Array<number> = []
  for (const field of fields(bytes)) {
    if (field.number === 2) type = field.value
    else if (field.number === 4) push(listed, floats(field.bytes))
    else if (field.number === 5 || field.number === 7) push(listed, integers(field))
    else if (field.number === 8) name = decoder.decode(field.bytes)
    else if (field.number === 9) content = field.bytes
    else if (field.number === 10) push(listed, doubles(field.bytes))
    else if (field.number === 14) external = field.value === 1
  }
  if (external) {
    throw new MonitoringError({
      reason: "NotSupported",
      message: `tensor '${name}' lies in another file; tree models keep their data in the model file`,
      field: "package",
    })
  }
  return { name, numbers: Float64Array.from(listed.length > 0 ? listed : raw(content, type)) }
}

const attribute = (bytes: Uint8Array): readonly [string, Attribute] => {
  let name = ""
  let numbers: Array<number> | Numbers = []
  const strings: Array<string> = []
  for (const field of fields(bytes)) {
    if (field.number === 1) name = decoder.decode(field.bytes)
    else if (field.number === 2 || field.number === 7)
      push(numbers as Array<number>, floats(field.bytes))
    else if (field.number === 3 || field.number === 8)
      push(numbers as Array<number>, integers(field))
    else if (field.number === 4 || field.number === 9) strings.push(decoder.decode(field.bytes))
    else if (field.number === 5) numbers = Array.from(tensor(field.bytes).numbers)
  }
  return [name, { numbers: Float64Array.from(numbers), strings }]
}

const node = (bytes: Uint8Array): Node => {
  const inputs: Array<string> = []
  const outputs: Array<string> = []
  const attributes = new Map<string, Attribute>()
  let op = ""
  let domain = ""
  for (const field of fields(bytes)) {
    if (field.number === 1) inputs.push(decoder.decode(field.bytes))
    else if (field.number === 2) outputs.push(decoder.decode(field.bytes))
    else if (field.number === 4) op = decoder.decode(field.bytes)
    else if (field.number === 5) attributes.set(...attribute(field.bytes))
    else if (field.number === 7) domain = decoder.decode(field.bytes)
  }
  return { op, domain, inputs, outputs, attributes }
}

const nameOf = (bytes: Uint8Array): string => {
  for (const field of fields(bytes)) if (field.number === 1) return decoder.decode(field.bytes)
  return ""
}

/** Parses a model; throws `MonitoringError`. */
export const parse = (bytes: Uint8Array): Graph => {
  const nodes: Array<Node> = []
  const constants = new Map<string, Numbers>()
  const inputs: Array<string> = []
  const outputs: Array<string> = []
  let found = false
  for (const field of fields(bytes)) {
    if (field.number !== 7 || field.wire !== 2) continue
    found = true
    for (const part of fields(field.bytes)) {
      if (part.number === 1) nodes.push(node(part.bytes))
      else if (part.number === 5) {
        const { name, numbers } = tensor(part.bytes)
        constants.set(name, numbers)
      } else if (part.number === 11) inputs.push(nameOf(part.bytes))
      else if (part.number === 12) outputs.push(nameOf(part.bytes))
    }
  }
  if (!found) throw corrupt("it holds no graph")
  for (const each of nodes) {
    const value = each.attributes.get("value")
    const [output] = each.outputs
    if (each.op === "Constant" && value !== undefined && output !== undefined) {
      constants.set(output, value.numbers)
    }
  }
  return { nodes, constants, inputs: inputs.filter((name) => !constants.has(name)), outputs }
}
