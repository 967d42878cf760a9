/**
 * Writes ONNX models: the few protobuf messages they need, by hand (onnx.proto, IR version 10).
 *
 * @module
 */

/** Element types of tensors. */
export const elementType = { float: 1, uint8: 2, int64: 7, double: 11 } as const

type Bytes = Uint8Array<ArrayBuffer>

const concat = (parts: ReadonlyArray<Uint8Array>): Bytes => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** A base-128 varint of an int64 (negative numbers take ten bytes). */
const varint = (value: number): Array<number> => {
  const out: Array<number> = []
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest > 127n) {
    out.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  out.push(Number(rest))
  return out
}

const smallVarint = (out: Array<number>, value: number): void => {
  let rest = value
  while (rest > 127) {
    out.push((rest & 127) | 128)
    rest >>>= 7
  }
  out.push(rest)
}

const int = (field: number, value: number): Bytes =>
  Uint8Array.from([...varint(field << 3), ...varint(value)])

const bytes = (field: number, value: Uint8Array): Bytes =>
  concat([Uint8Array.from([...varint((field << 3) | 2), ...varint(value.length)]), value])

const utf8 = new TextEncoder()

const string = (field: number, value: string): Bytes => bytes(field, utf8.encode(value))

const packed = (field: number, values: ReadonlyArray<number>): Bytes => {
  const out: Array<number> = []
  for (const value of values) {
    if (value >= 0 && value < 2_147_483_648) smallVarint(out, value)
    else out.push(...varint(value))
  }
  return bytes(field, Uint8Array.from(out))
}

/** A constant tensor. */
export interface Tensor {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array | Float64Array | Uint8Array | BigInt64Array
}

const typeOf = (data: Tensor["data"]): number => {
  if (data instanceof Float32Array) return elementType.float
  if (data instanceof Float64Array) return elementType.double
  return data instanceof Uint8Array ? elementType.uint8 : elementType.int64
}

const tensor = (t: Tensor): Bytes =>
  concat([
    packed(1, t.shape),
    int(2, typeOf(t.data)),
    string(8, t.name),
    // raw_data is little-endian, as is every machine Node runs on.
    bytes(9, new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength)),
  ])

/** An attribute's value: an integer, integers, or a tensor (without a name). */
export type Attribute = number | ReadonlyArray<number> | Omit<Tensor, "name">

const attribute = (name: string, value: Attribute): Bytes => {
  const [type, field] =
    typeof value === "number"
      ? [2, int(3, value)]
      : "data" in value
        ? [4, bytes(5, tensor({ ...value, name }))]
        : [7, concat(value.map((i) => int(8, i)))]
  return concat([string(1, name), field, int(20, type)])
}

/** One operator. */
export interface Node {
  readonly op: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  /** Operator set; the standard one by default. */
  readonly domain?: string
  readonly attributes?: Readonly<Record<string, Attribute>>
}

const node = (n: Node, index: number): Bytes =>
  concat([
    ...n.inputs.map((name) => string(1, name)),
    ...n.outputs.map((name) => string(2, name)),
    string(3, `${n.op}_${index}`),
    string(4, n.op),
    ...Object.entries(n.attributes ?? {}).map(([name, value]) => bytes(5, attribute(name, value))),
    ...(n.domain === undefined ? [] : [string(7, n.domain)]),
  ])

/** A float32 input or output; -1 is the batch. */
export interface Value {
  readonly name: string
  readonly shape: ReadonlyArray<number>
}

const value = (v: Value): Bytes => {
  const dims = v.shape.map((size) => bytes(1, size < 0 ? string(2, "batch") : int(1, size)))
  return concat([
    string(1, v.name),
    bytes(2, bytes(1, concat([int(1, elementType.float), bytes(2, concat(dims))]))),
  ])
}

/** A model: one graph over the standard operators and `ai.onnx.ml`. */
export interface Model {
  readonly name: string
  readonly nodes: ReadonlyArray<Node>
  readonly constants: ReadonlyArray<Tensor>
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
}

/** Encodes a model (opset 18, ai.onnx.ml 5). */
export const encodeModel = (model: Model): Bytes => {
  const graph = concat([
    ...model.nodes.map((n, i) => bytes(1, node(n, i))),
    string(2, model.name),
    ...model.constants.map((t) => bytes(5, tensor(t))),
    ...model.inputs.map((v) => bytes(11, value(v))),
    ...model.outputs.map((v) => bytes(12, value(v))),
  ])
  const opset = (domain: string, version: number) =>
    bytes(8, concat([string(1, domain), int(2, version)]))
  return concat([
    int(1, 10),
    string(2, "ashlar"),
    bytes(7, graph),
    opset("", 18),
    opset("ai.onnx.ml", 5),
  ])
}
