/** ONNX: the ModelProto's header, the graph's inputs and outputs, and where its weights lie. */
import type { DataType, Signature } from "@ashlar/core"
import * as path from "node:path"
import { bytesOf, integersOf, key, message, numberOf, varint } from "../wire.ts"
import { Fault, type Source, sizeInside, text } from "./source.ts"

/** An input or output of a graph. */
export interface OnnxValue {
  readonly name: string
  /** ONNX's element type, e.g. `FLOAT`; `SEQUENCE`, `MAP`, `OPTIONAL`, `SPARSE` for others. */
  readonly type: string
  /** Numbers, names of free dimensions, or null; absent when the rank is not known. */
  readonly shape?: ReadonlyArray<number | string | null>
}

/** What an ONNX file says of itself. */
export interface OnnxDetails {
  readonly irVersion: number
  readonly producer: string
  readonly producerVersion: string
  readonly opsets: Readonly<Record<string, number>>
  readonly graph: string
  readonly nodes: number
  readonly inputs: ReadonlyArray<OnnxValue>
  readonly outputs: ReadonlyArray<OnnxValue>
  /** Files beside the model that hold weights. */
  readonly externalData: ReadonlyArray<string>
}

const elements = [
  "UNDEFINED",
  "FLOAT",
  "UINT8",
  "INT8",
  "UINT16",
  "INT16",
  "INT32",
  "INT64",
  "STRING",
  "BOOL",
  "FLOAT16",
  "DOUBLE",
  "UINT32",
  "UINT64",
  "COMPLEX64",
  "COMPLEX128",
  "BFLOAT16",
] as const

const datatypes: Readonly<Record<string, DataType.DataType>> = {
  FLOAT: "FP32",
  UINT8: "UINT8",
  INT8: "INT8",
  UINT16: "UINT16",
  INT16: "INT16",
  INT32: "INT32",
  INT64: "INT64",
  STRING: "BYTES",
  BOOL: "BOOL",
  FLOAT16: "FP16",
  DOUBLE: "FP64",
  UINT32: "UINT32",
  UINT64: "UINT64",
}

/** A field of a message in the file: a number, or the range of its bytes. */
interface Range {
  readonly number: number
  readonly value: number
  readonly start: number
  readonly end: number
}

const maxFields = 4_000_000
const maxDepth = 16
const maxValues = 10_000

/** One reading of a file; counts fields so that no file keeps it busy for long. */
class Walk {
  readonly source: Source
  #fields = 0
  readonly externals = new Set<string>()

  constructor(source: Source) {
    this.source = source
  }

  async each(start: number, end: number, name: string, visit: (field: Range) => Promise<void>) {
    for (let at = start; at < end;) {
      if (++this.#fields > maxFields) {
        throw new Fault(name, `lies beyond the first ${maxFields} fields`, "TooLarge")
      }
      const head = await this.source.bytes(at, Math.min(20, end - at), name)
      const tag = varint(head, 0, name)
      const { number, wire } = key(tag.value, name)
      let from = at + tag.next
      let to = from + (wire === 1 ? 8 : 4)
      let value = Number.NaN
      if (wire === 0 || wire === 2) {
        const next = varint(head, tag.next, name)
        from = at + next.next
        if (wire === 0) {
          value = next.value
          to = from
        } else {
          if (next.value < 0) throw new Fault(name, `field ${number} has a negative length`)
          to = from + next.value
        }
      }
      if (to > end) {
        throw new Fault(
          name,
          `field ${number} ends at byte ${to}, its message at ${end}: cut short`,
        )
      }
      await visit({ number, value, start: from, end: to })
      at = to
    }
  }

  bytes(field: Range, name: string): Promise<Uint8Array> {
    return this.source.bytes(field.start, field.end - field.start, name)
  }

  async string(field: Range, name: string): Promise<string> {
    if (!Number.isNaN(field.value)) throw new Fault(name, "is a number where text belongs")
    if (field.end - field.start > 4096) throw new Fault(name, "has over 4096 bytes", "TooLarge")
    return text(await this.bytes(field, name), name)
  }

  /** A TensorProto: the name, and the file of its data when it is kept outside. */
  async tensor(range: Range, name: string): Promise<string> {
    let tensor = ""
    let location = 0
    let file: string | undefined
    await this.each(range.start, range.end, name, async (field) => {
      if (field.number === 8) tensor = await this.string(field, `${name}.name`)
      if (field.number === 14) location = field.value
      if (field.number === 13) {
        const entry = await this.bytes(field, `${name}.external_data`)
        const parts = new Map<number, string>()
        for (const [number, value] of message(entry, `${name}.external_data`)) {
          parts.set(number, text(bytesOf(value, `${name}.external_data`), `${name}.external_data`))
        }
        if (parts.get(1) === "location") file = parts.get(2) ?? ""
      }
    })
    if (location === 1 || file !== undefined) {
      const where = `${name}.external_data.location`
      const size = await sizeInside(path.dirname(this.source.file), file ?? "", where)
      if (size === undefined)
        throw new Fault(where, `no file ${JSON.stringify(file)} beside the model`)
      this.externals.add(file ?? "")
    }
    return tensor
  }

  /** A SparseTensorProto: values and indices. */
  async sparse(range: Range, name: string): Promise<void> {
    await this.each(range.start, range.end, name, async (field) => {
      if (field.number === 1 || field.number === 2) await this.tensor(field, name)
    })
  }

  /** A NodeProto: its attributes may hold tensors and graphs. */
  async node(range: Range, depth: number, name: string): Promise<void> {
    await this.each(range.start, range.end, name, async (attribute) => {
      if (attribute.number !== 5) return
      await this.each(attribute.start, attribute.end, `${name}.attribute`, async (field) => {
        if (field.number === 5 || field.number === 10) {
          await this.tensor(field, `${name}.attribute.t`)
        } else if (field.number === 22 || field.number === 23) {
          await this.sparse(field, `${name}.attribute.sparse_tensor`)
        } else if (field.number === 6 || field.number === 11) {
          await this.graph(field, depth + 1, `${name}.attribute.g`)
        }
      })
    })
  }

  async graph(range: Range, depth: number, name: string) {
    if (depth > maxDepth) throw new Fault(name, `nests deeper than ${maxDepth} graphs`, "TooLarge")
    const graph = {
      name: "",
      nodes: 0,
      inputs: new Array<OnnxValue>(),
      outputs: new Array<OnnxValue>(),
    }
    const initializers = new Set<string>()
    await this.each(range.start, range.end, name, async (field) => {
      switch (field.number) {
        case 1:
          graph.nodes += 1
          return this.node(field, depth, `${name}.node`)
        case 2:
          graph.name = await this.string(field, `${name}.name`)
          return
        case 5:
          initializers.add(await this.tensor(field, `${name}.initializer`))
          return
        case 15:
          return this.sparse(field, `${name}.sparse_initializer`)
        case 11:
        case 12: {
          const part = field.number === 11 ? "input" : "output"
          const values = field.number === 11 ? graph.inputs : graph.outputs
          if (values.length >= maxValues) {
            throw new Fault(`${name}.${part}`, `has over ${maxValues} items`, "TooLarge")
          }
          const where = `${name}.${part}[${values.length}]`
          values.push(valueInfo(await this.bytes(field, where), where))
        }
      }
    })
    // Before IR version 4 every initializer was listed as an input as well.
    return { ...graph, inputs: graph.inputs.filter((input) => !initializers.has(input.name)) }
  }
}

const dimension = (bytes: Uint8Array, field: string): number | string | null => {
  for (const [number, value] of message(bytes, field)) {
    if (number === 1) {
      const size = numberOf(value, field)
      if (size < 0) return null
      return size
    }
    if (number === 2) return text(bytesOf(value, field), field) || null
  }
  return null
}

const otherTypes: Readonly<Record<number, string>> = {
  4: "SEQUENCE",
  5: "MAP",
  7: "OPAQUE",
  8: "SPARSE",
  9: "OPTIONAL",
}

const valueInfo = (bytes: Uint8Array, field: string): OnnxValue => {
  let name = ""
  let type = "UNDEFINED"
  let shape: Array<number | string | null> | undefined
  for (const [number, value] of message(bytes, field)) {
    if (number === 1) name = text(bytesOf(value, `${field}.name`), `${field}.name`)
    if (number !== 2) continue
    for (const [kind, proto] of message(bytesOf(value, `${field}.type`), `${field}.type`)) {
      if (kind !== 1) {
        type = otherTypes[kind] ?? type
        continue
      }
      for (const [part, inner] of message(bytesOf(proto, `${field}.type`), `${field}.type`)) {
        const where = part === 1 ? `${field}.type.elem_type` : `${field}.type.shape`
        if (part === 1) {
          const element = numberOf(inner, where)
          type = elements[element] ?? `TYPE_${element}`
        }
        if (part !== 2) continue
        shape = []
        for (const [dim, size] of message(bytesOf(inner, where), where)) {
          if (dim === 1) shape.push(dimension(bytesOf(size, where), `${where}[${shape.length}]`))
          if (shape.length > 64) throw new Fault(where, "has over 64 dimensions", "TooLarge")
        }
      }
    }
  }
  if (name === "") throw new Fault(`${field}.name`, "is missing")
  return { name, type, ...(shape === undefined ? {} : { shape }) }
}

const specs = (values: ReadonlyArray<OnnxValue>): Array<Signature.TensorSpec> | undefined => {
  const out: Array<Signature.TensorSpec> = []
  for (const { name, type, shape } of values) {
    const datatype = Object.hasOwn(datatypes, type) ? datatypes[type] : undefined
    if (datatype === undefined || shape === undefined) return undefined
    out.push({ name, datatype, shape: shape.map((size) => (typeof size === "number" ? size : -1)) })
  }
  return out
}

/** Reads the header of an ONNX model. */
export const read = async (
  source: Source,
): Promise<{ readonly details: OnnxDetails; readonly signature?: Signature.Signature }> => {
  const walk = new Walk(source)
  const head = { irVersion: 0, producer: "", producerVersion: "" }
  const opsets: Record<string, number> = {}
  let graph: Awaited<ReturnType<Walk["graph"]>> | undefined
  await walk.each(0, source.size, "ModelProto", async (field) => {
    switch (field.number) {
      case 1:
        head.irVersion = field.value
        return
      case 2:
        head.producer = await walk.string(field, "producer_name")
        return
      case 3:
        head.producerVersion = await walk.string(field, "producer_version")
        return
      case 7:
        graph = await walk.graph(field, 0, "graph")
        return
      case 8: {
        let domain = "ai.onnx"
        let version = 0
        for (const [number, value] of message(
          await walk.bytes(field, "opset_import"),
          "opset_import",
        )) {
          if (number === 1) domain = text(bytesOf(value, "opset_import"), "opset_import") || domain
          if (number === 2) version = integersOf(value, "opset_import")[0] ?? 0
        }
        if (Object.keys(opsets).length >= 1000) {
          throw new Fault("opset_import", "has over 1000 items", "TooLarge")
        }
        Object.defineProperty(opsets, domain, {
          value: version,
          enumerable: true,
          configurable: true,
        })
        return
      }
      // TrainingInfoProto: initialization and algorithm are graphs.
      case 20:
        return walk.each(field.start, field.end, "training_info", async (info) => {
          if (info.number === 1 || info.number === 2) await walk.graph(info, 1, "training_info")
        })
      // FunctionProto
      case 25:
        return walk.each(field.start, field.end, "functions", async (part) => {
          if (part.number === 7) await walk.node(part, 1, "functions.node")
        })
    }
  })
  if (!Number.isSafeInteger(head.irVersion) || head.irVersion < 1 || head.irVersion > 1000) {
    throw new Fault("ir_version", "is missing or not 1 to 1000; this is no ONNX model")
  }
  if (graph === undefined) throw new Fault("graph", "is missing; this is no ONNX model")
  if (Object.keys(opsets).length === 0) throw new Fault("opset_import", "is missing")
  const { name, nodes, inputs, outputs } = graph
  const [ins, outs] = [specs(inputs), specs(outputs)]
  return {
    details: {
      ...head,
      opsets,
      graph: name,
      nodes,
      inputs,
      outputs,
      externalData: [...walk.externals],
    },
    ...(ins === undefined || outs === undefined
      ? {}
      : { signature: { inputs: ins, outputs: outs } }),
  }
}
