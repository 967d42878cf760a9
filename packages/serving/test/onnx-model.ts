// Builds tiny ONNX models by hand (ModelProto of the ONNX specification), so that tests need no
// other package.

const varint = (value: number): Array<number> => {
  const bytes: Array<number> = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 0x80 : low)
  } while (rest > 0n)
  return bytes
}
const int = (field: number, value: number) => [...varint(field << 3), ...varint(value)]
const bytes = (field: number, value: ArrayLike<number>) => [
  ...varint((field << 3) | 2),
  ...varint(value.length),
  ...Array.from(value),
]
const text = (field: number, value: string) => bytes(field, Buffer.from(value))

const FLOAT = 1
const INT64 = 7
const STRING = 8
const BOOL = 9

/** A tensor `[-1, width]`. */
const valueInfo = (name: string, type: number, width: number) => {
  const shape = [...bytes(1, text(2, "N")), ...bytes(1, int(1, width))]
  const tensor = [...int(1, type), ...bytes(2, shape)]
  return [...text(1, name), ...bytes(2, bytes(1, tensor))]
}

const isUnary = (op: string): boolean => op === "Not" || op === "Identity"

const model = (op: string, type: number, width: number): Uint8Array => {
  const inputs = isUnary(op) ? text(1, "x") : [...text(1, "x"), ...text(1, "x")]
  const node = [...inputs, ...text(2, "y"), ...text(4, op)]
  const graph = [
    ...bytes(1, node),
    ...text(2, "graph"),
    ...bytes(11, valueInfo("x", type, width)),
    ...bytes(12, valueInfo("y", type, width)),
  ]
  return Uint8Array.from([...int(1, 8), ...bytes(7, graph), ...bytes(8, int(2, 17))])
}

/** `y = x + x` on float32 `[-1, width]`. */
export const doubler = (width: number): Uint8Array => model("Add", FLOAT, width)

/** `y = x * x` on float32 `[-1, width]`. */
export const squarer = (width: number): Uint8Array => model("Mul", FLOAT, width)

/** `y = x + x` on int64 `[-1, width]`. */
export const longDoubler = (width: number): Uint8Array => model("Add", INT64, width)

/** `y = !x` on bool `[-1, width]`. */
export const negation = (width: number): Uint8Array => model("Not", BOOL, width)

/** `y = x` on strings `[-1, width]`. */
export const echo = (width: number): Uint8Array => model("Identity", STRING, width)
