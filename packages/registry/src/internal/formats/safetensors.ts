/** safetensors: a JSON header before the data. https://github.com/huggingface/safetensors */
import { list, member, object, parseObject, string, whole } from "./json.ts"
import { Fault, type Source } from "./source.ts"
import { viewOf } from "../wire.ts"

/** A tensor of a safetensors file. */
export interface SafeTensor {
  readonly name: string
  /** safetensors' own name, e.g. `F32`. */
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  /** First byte and one past the last, counted from the end of the header. */
  readonly offsets: readonly [start: number, end: number]
}

/** What a safetensors file holds. */
export interface SafetensorsDetails {
  readonly tensors: ReadonlyArray<SafeTensor>
  readonly parameters: number
  readonly metadata: Readonly<Record<string, string>>
}

/** Bits of one element. */
const bits: Readonly<Record<string, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
}

/** The largest header read; the specification allows 100 MB. */
export const maxHeader = 32 << 20

/** Reads and checks the header. */
export const read = async (source: Source): Promise<{ readonly details: SafetensorsDetails }> => {
  const prefix = viewOf(await source.bytes(0, 8, "header length")).getBigUint64(0, true)
  if (prefix > BigInt(maxHeader)) {
    throw new Fault(
      "header length",
      `is ${prefix}, at most ${maxHeader} bytes are read`,
      "TooLarge",
    )
  }
  const length = Number(prefix)
  const header = parseObject(await source.bytes(8, length, "header"), "header")
  const data = source.size - 8 - length
  const entries = Object.entries(header).filter(([name]) => name !== "__metadata__")
  if (entries.length > 500_000) throw new Fault("header", "names over 500000 tensors", "TooLarge")
  const metadata = Object.entries(object(member(header, "__metadata__") ?? {}, "__metadata__")).map(
    ([key, value]) => {
      if (typeof value !== "string") throw new Fault(`__metadata__.${key}`, "is no string")
      return [key, value] as const
    },
  )
  const tensors = entries.map(([name, value]): SafeTensor => {
    const field = `tensor ${JSON.stringify(name.slice(0, 100))}`
    const tensor = object(value, field)
    const dtype = string(member(tensor, "dtype"), `${field}.dtype`)
    const width = Object.hasOwn(bits, dtype) ? bits[dtype] : undefined
    if (width === undefined) throw new Fault(`${field}.dtype`, "is no dtype of safetensors")
    const shape = list(member(tensor, "shape"), `${field}.shape`, 64).map((size) =>
      whole(size, `${field}.shape`),
    )
    const range = list(member(tensor, "data_offsets"), `${field}.data_offsets`, 2)
    const start = whole(range[0], `${field}.data_offsets[0]`)
    const end = whole(range[1], `${field}.data_offsets[1]`)
    const size = shape.reduce((product, next) => product * next, 1)
    if (!Number.isSafeInteger(size * width))
      throw new Fault(`${field}.shape`, "is beyond 2^53 bits")
    if (end - start !== (size * width) / 8) {
      throw new Fault(
        `${field}.data_offsets`,
        `span ${end - start} bytes, ${dtype} [${shape.join(", ")}] has ${(size * width) / 8}`,
      )
    }
    return { name, dtype, shape, offsets: [start, end] }
  })
  // The specification: no holes, no overlaps, and the last tensor ends with the file.
  let at = 0
  for (const tensor of tensors.toSorted(
    (a, b) => a.offsets[0] - b.offsets[0] || a.offsets[1] - b.offsets[1],
  )) {
    if (tensor.offsets[0] !== at) {
      throw new Fault(
        `tensor ${JSON.stringify(tensor.name.slice(0, 100))}.data_offsets`,
        `start at ${tensor.offsets[0]}, the tensor before ends at ${at}; tensors lie end to end`,
      )
    }
    at = tensor.offsets[1]
  }
  if (at !== data) throw new Fault("data", `has ${data} bytes, the header describes ${at}`)
  const parameters = tensors.reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  )
  return { details: { tensors, parameters, metadata: Object.fromEntries(metadata) } }
}
