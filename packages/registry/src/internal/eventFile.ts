/** TensorBoard's event files: record framing, and the Event and Summary messages. */
import { Fault, text } from "./formats/source.ts"
import { bytesOf, doubleOf, integersOf, message, numberOf, viewOf, Writer } from "./wire.ts"

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  return crc
})

/** CRC-32C (Castagnoli, RFC 3720), masked as TFRecord does so that a CRC of CRCs stays sound. */
export const maskedCrc = (bytes: Uint8Array): number => {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 255] ?? 0)
  crc = ~crc >>> 0
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** Frames a record: length, its CRC, the bytes, their CRC. */
export const frame = (bytes: Uint8Array): Uint8Array => {
  const out = new Uint8Array(bytes.length + 16)
  const view = viewOf(out)
  view.setBigUint64(0, BigInt(bytes.length), true)
  view.setUint32(8, maskedCrc(out.subarray(0, 8)), true)
  out.set(bytes, 12)
  view.setUint32(bytes.length + 12, maskedCrc(bytes), true)
  return out
}

/** A point of a scalar series. */
export interface Scalar {
  readonly tag: string
  readonly value: number
}

/** What the hparams plugin says of a run. */
export interface Hparams {
  readonly params: Readonly<Record<string, string | number | boolean>>
  readonly group?: string
  readonly status?: "SUCCESS" | "FAILURE" | "RUNNING" | "UNKNOWN"
}

/** An event, less what is neither a scalar nor of the hparams plugin. */
export interface EventBody {
  /** Seconds since the epoch. */
  readonly wallTime: number
  readonly step: number
  readonly fileVersion?: string
  readonly scalars: ReadonlyArray<Scalar>
  readonly hparams?: Hparams
}

const floats = (value: number | Uint8Array, width: 4 | 8, field: string): Array<number> => {
  const bytes = bytesOf(value, field)
  if (bytes.length % width !== 0) throw new Fault(field, "is cut short")
  const view = viewOf(bytes)
  return Array.from({ length: bytes.length / width }, (_, i) =>
    width === 4 ? view.getFloat32(i * 4, true) : view.getFloat64(i * 8, true),
  )
}

const half = (bits: number): number => {
  const exponent = (bits >>> 10) & 31
  const fraction = (bits & 1023) / 1024
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15))
}

/** TensorFlow's DataType by number, with how `tensor_content` holds one element. */
const contents: Readonly<Record<number, (view: DataView) => number>> = {
  1: (view) => view.getFloat32(0, true),
  2: (view) => view.getFloat64(0, true),
  3: (view) => view.getInt32(0, true),
  4: (view) => view.getUint8(0),
  5: (view) => view.getInt16(0, true),
  6: (view) => view.getInt8(0),
  9: (view) => Number(view.getBigInt64(0, true)),
  10: (view) => view.getUint8(0),
  17: (view) => view.getUint16(0, true),
  19: (view) => half(view.getUint16(0, true)),
  22: (view) => view.getUint32(0, true),
  23: (view) => Number(view.getBigUint64(0, true)),
}

/** The one element of a TensorProto; `undefined` for text and for tensors of other sizes. */
const scalarOf = (bytes: Uint8Array, field: string): number | undefined => {
  let dtype = 0
  let size = 1
  let content: Uint8Array = new Uint8Array(0)
  let values: Array<number> = []
  for (const [number, value] of message(bytes, field)) {
    if (number === 1) dtype = numberOf(value, field)
    if (number === 2) {
      for (const [part, dim] of message(bytesOf(value, field), field)) {
        if (part !== 2) continue
        let length = 0
        for (const [k, v] of message(bytesOf(dim, field), field))
          if (k === 1) length = numberOf(v, field)
        size *= length
      }
    }
    if (number === 4) content = bytesOf(value, field)
    if (number === 5) values = floats(value, 4, field)
    if (number === 6) values = floats(value, 8, field)
    if (number === 13) values = integersOf(value, field).map(half)
    if (number === 7 || number === 10 || number === 11 || number === 16 || number === 17) {
      values = integersOf(value, field)
    }
  }
  if (size !== 1) return undefined
  if (content.length === 0) return values[0]
  const read = contents[dtype]
  if (read === undefined) return undefined
  try {
    return read(viewOf(content))
  } catch {
    throw new Fault(field, `holds ${content.length} bytes, too few for its dtype ${dtype}`)
  }
}

const statuses = ["UNKNOWN", "SUCCESS", "FAILURE", "RUNNING"] as const

/** HParamsPluginData. */
const hparamsOf = (bytes: Uint8Array): Hparams | undefined => {
  const field = "hparams"
  const params = new Map<string, string | number | boolean>()
  let group: string | undefined
  let status: Hparams["status"]
  for (const [number, value] of message(bytes, field)) {
    if (number !== 3 && number !== 4) continue
    for (const [part, inner] of message(bytesOf(value, field), field)) {
      if (number === 4) {
        if (part === 1) status = statuses[numberOf(inner, field)] ?? "UNKNOWN"
        continue
      }
      if (part === 4) group = text(bytesOf(inner, field), `${field}.group_name`)
      if (part !== 1) continue
      if (params.size >= 10_000) throw new Fault(field, "has over 10000 values", "TooLarge")
      let name = ""
      let content: string | number | boolean | undefined
      for (const [k, v] of message(bytesOf(inner, field), field)) {
        if (k === 1) name = text(bytesOf(v, field), `${field}.name`)
        if (k !== 2) continue
        for (const [kind, item] of message(bytesOf(v, field), `${field}.${name}`)) {
          if (kind === 2) content = doubleOf(item, `${field}.${name}`)
          if (kind === 3)
            content = text(bytesOf(item, `${field}.${name}`), `${field}.${name}`, 65_536)
          if (kind === 4) content = numberOf(item, `${field}.${name}`) !== 0
        }
      }
      if (content !== undefined) params.set(name, content)
    }
  }
  if (params.size === 0 && status === undefined) return undefined
  return {
    params: Object.fromEntries(params),
    ...(group === undefined ? {} : { group }),
    ...(status === undefined ? {} : { status }),
  }
}

/** Reads events; remembers which plugin a tag belongs to, which only its first event says. */
export class Decoder {
  readonly #plugins = new Map<string, string>()

  decode(bytes: Uint8Array): EventBody {
    const event: { wallTime: number; step: number; fileVersion?: string; hparams?: Hparams } = {
      wallTime: 0,
      step: 0,
    }
    const scalars: Array<Scalar> = []
    for (const [number, value] of message(bytes, "Event")) {
      if (number === 1) event.wallTime = doubleOf(value, "Event.wall_time")
      if (number === 2) event.step = numberOf(value, "Event.step")
      if (number === 3) {
        event.fileVersion = text(bytesOf(value, "Event.file_version"), "Event.file_version")
      }
      if (number !== 5) continue
      for (const [part, inner] of message(bytesOf(value, "Event.summary"), "Event.summary")) {
        if (part !== 1) continue
        const found = this.#value(bytesOf(inner, "Event.summary.value"))
        if (found === undefined) continue
        if ("tag" in found) scalars.push(found)
        else event.hparams = found
      }
    }
    const { wallTime } = event
    if (!Number.isFinite(wallTime) || wallTime < 0 || wallTime > 9e9) {
      throw new Fault("Event.wall_time", `is ${wallTime}, no time from 1970 to 2255`)
    }
    return { ...event, scalars }
  }

  #value(bytes: Uint8Array): Scalar | Hparams | undefined {
    const field = "Event.summary.value"
    let tag = ""
    let simple: number | undefined
    let tensor: Uint8Array | undefined
    let plugin: string | undefined
    let content: Uint8Array = new Uint8Array(0)
    for (const [number, value] of message(bytes, field)) {
      if (number === 1) tag = text(bytesOf(value, field), `${field}.tag`)
      if (number === 2) simple = floats(value, 4, `${field}.simple_value`)[0]
      if (number === 8) tensor = bytesOf(value, `${field}.tensor`)
      if (number !== 9) continue
      for (const [part, data] of message(bytesOf(value, field), `${field}.metadata`)) {
        if (part !== 1) continue
        for (const [k, v] of message(bytesOf(data, field), `${field}.metadata`)) {
          if (k === 1) plugin = text(bytesOf(v, field), `${field}.metadata.plugin_name`)
          if (k === 2) content = bytesOf(v, `${field}.metadata.content`)
        }
      }
    }
    if (plugin !== undefined) {
      if (this.#plugins.size >= 100_000 && !this.#plugins.has(tag)) {
        throw new Fault(field, "names over 100000 tags", "TooLarge")
      }
      this.#plugins.set(tag, plugin)
    }
    const owner = this.#plugins.get(tag)
    if (owner === "hparams") return hparamsOf(content)
    if (simple !== undefined) return { tag, value: simple }
    if (tensor === undefined || (owner !== undefined && owner !== "scalars")) return undefined
    const value = scalarOf(tensor, `${field}.tensor`)
    return value === undefined ? undefined : { tag, value }
  }
}

const event = (wallTime: number, step: number): Writer => {
  const writer = new Writer().double(1, wallTime)
  return step === 0 ? writer : writer.integer(2, step)
}

/** The record every file starts with. */
export const versionEvent = (wallTime: number): Uint8Array =>
  event(wallTime, 0).string(3, "brain.Event:2").finish()

/** An event of scalars at one step. */
export const scalarEvent = (
  wallTime: number,
  step: number,
  scalars: ReadonlyArray<Scalar>,
): Uint8Array => {
  const summary = new Writer()
  for (const { tag, value } of scalars) {
    summary.bytes(1, new Writer().string(1, tag).float(2, value).finish())
  }
  return event(wallTime, step).bytes(5, summary.finish()).finish()
}

/** An event of the hparams plugin; `body` is its HParamsPluginData. */
const hparamsEvent = (wallTime: number, tag: string, body: Writer): Uint8Array => {
  const plugin = new Writer().string(1, "hparams").bytes(2, body.finish())
  const metadata = new Writer().bytes(1, plugin.finish())
  const value = new Writer().string(1, tag).bytes(9, metadata.finish())
  return event(wallTime, 0).bytes(5, new Writer().bytes(1, value.finish()).finish()).finish()
}

/** The session's start: its parameters. */
export const startEvent = (wallTime: number, params: Hparams["params"], group: string) => {
  const start = new Writer()
  for (const [name, content] of Object.entries(params)) {
    const value = new Writer()
    if (typeof content === "number") value.double(2, content)
    else if (typeof content === "string") value.string(3, content)
    else value.integer(4, content ? 1 : 0)
    start.bytes(1, new Writer().string(1, name).bytes(2, value.finish()).finish())
  }
  start.string(4, group).double(5, wallTime)
  return hparamsEvent(
    wallTime,
    "_hparams_/session_start_info",
    new Writer().bytes(3, start.finish()),
  )
}

/** The session's end. */
export const endEvent = (wallTime: number, status: "SUCCESS" | "FAILURE") => {
  const end = new Writer().integer(1, status === "SUCCESS" ? 1 : 2).double(2, wallTime)
  return hparamsEvent(wallTime, "_hparams_/session_end_info", new Writer().bytes(4, end.finish()))
}
