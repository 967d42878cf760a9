/** Reads OTLP's ExportTraceServiceRequest. https://opentelemetry.io/docs/specs/otlp */
import { Fault, text as utf8 } from "../formats/source.ts"
import { bytesOf, doubleOf, message, numberOf, viewOf } from "../wire.ts"
import {
  type AnyValue,
  type Attribute,
  checked,
  limits,
  type OtlpSpan,
  room,
  type SpanEvent,
  type SpanLink,
} from "./span.ts"

type Value = number | Uint8Array

const nothing = new Uint8Array(0)

const textAt = (value: Value, field: string): string =>
  utf8(bytesOf(value, field), field, limits.body)

const fixed64 = (value: Value, field: string): bigint => {
  const bytes = bytesOf(value, field)
  if (bytes.length !== 8) throw new Fault(field, `a fixed64 has 8 bytes, this one ${bytes.length}`)
  return viewOf(bytes).getBigUint64(0, true)
}

/** The tag byte of `int_value`: field 3, a varint. */
const intTag = 24

/** All 64 bits of a value that is an integer alone; the reader of messages stops at 2^53. */
const wholeOf = (bytes: Uint8Array): bigint | undefined => {
  if (bytes[0] !== intTag || bytes.length > 11) return undefined
  let value = 0n
  for (let i = 1; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0
    value |= BigInt(byte & 127) << BigInt(7 * (i - 1))
    if (byte < 128) return i === bytes.length - 1 ? BigInt.asIntN(64, value) : undefined
  }
  return undefined
}

const anyValue = (bytes: Uint8Array, field: string, depth: number): AnyValue => {
  if (depth > limits.depth) {
    throw new Fault(field, `nests deeper than ${limits.depth} levels`, "TooLarge")
  }
  const whole = wholeOf(bytes)
  if (whole !== undefined) return { int_value: whole }
  let found: AnyValue = {}
  for (const [number, value] of message(bytes, field)) {
    if (number === 1) found = { string_value: textAt(value, field) }
    else if (number === 2) found = { bool_value: numberOf(value, field) !== 0 }
    else if (number === 3) found = { int_value: BigInt(numberOf(value, field)) }
    else if (number === 4) found = { double_value: doubleOf(value, field) }
    else if (number === 5) {
      const values: Array<AnyValue> = []
      for (const [part, item] of message(bytesOf(value, field), field)) {
        if (part !== 1) continue
        room(values, field, limits.items)
        values.push(anyValue(bytesOf(item, field), field, depth + 1))
      }
      found = { array_value: { values } }
    } else if (number === 6) {
      const values: Array<Attribute> = []
      for (const [part, item] of message(bytesOf(value, field), field)) {
        if (part !== 1) continue
        room(values, field, limits.items)
        values.push(attribute(item, field, depth + 1))
      }
      found = { kvlist_value: { values } }
    } else if (number === 7) {
      found = { bytes_value: Buffer.from(bytesOf(value, field)).toString("base64") }
    }
  }
  return found
}

const attribute = (value: Value, field: string, depth = 0): Attribute => {
  let key = ""
  let given: AnyValue = {}
  for (const [number, part] of message(bytesOf(value, field), field)) {
    if (number === 1) key = textAt(part, field)
    else if (number === 2)
      given = anyValue(bytesOf(part, field), `${field}.${key.slice(0, 100)}`, depth)
  }
  return { key, value: given }
}

const event = (value: Value, field: string): SpanEvent => {
  let time = 0n
  let name = ""
  const attributes: Array<Attribute> = []
  for (const [number, part] of message(bytesOf(value, field), field)) {
    if (number === 1) time = fixed64(part, field)
    else if (number === 2) name = textAt(part, field)
    else if (number === 3) {
      room(attributes, field, limits.items)
      attributes.push(attribute(part, field))
    }
  }
  return { time, name, attributes }
}

const link = (value: Value, field: string): SpanLink => {
  let traceId = nothing
  let spanId = nothing
  const attributes: Array<Attribute> = []
  for (const [number, part] of message(bytesOf(value, field), field)) {
    if (number === 1) traceId = bytesOf(part, field).slice()
    else if (number === 2) spanId = bytesOf(part, field).slice()
    else if (number === 4) {
      room(attributes, field, limits.items)
      attributes.push(attribute(part, field))
    }
  }
  return { traceId, spanId, attributes }
}

const statusOf = (value: Value, field: string): Pick<OtlpSpan, "status" | "message"> => {
  let text = ""
  let code = 0
  for (const [number, part] of message(bytesOf(value, field), field)) {
    if (number === 2) text = textAt(part, field)
    else if (number === 3) code = numberOf(part, field)
  }
  return { message: text, status: code === 1 ? "OK" : code === 2 ? "ERROR" : "UNSET" }
}

const spanOf = (bytes: Uint8Array, resource: ReadonlyArray<Attribute>, field: string): OtlpSpan => {
  let span: OtlpSpan = {
    traceId: nothing,
    spanId: nothing,
    parentId: nothing,
    name: "",
    start: 0n,
    end: 0n,
    status: "UNSET",
    message: "",
    attributes: [],
    events: [],
    links: [],
    resource,
  }
  const attributes: Array<Attribute> = []
  const events: Array<SpanEvent> = []
  const links: Array<SpanLink> = []
  for (const [number, value] of message(bytes, field)) {
    if (number === 1) span = { ...span, traceId: bytesOf(value, field) }
    else if (number === 2) span = { ...span, spanId: bytesOf(value, field) }
    else if (number === 4) span = { ...span, parentId: bytesOf(value, field) }
    else if (number === 5) span = { ...span, name: textAt(value, `${field}.name`) }
    else if (number === 7)
      span = { ...span, start: fixed64(value, `${field}.start_time_unix_nano`) }
    else if (number === 8) span = { ...span, end: fixed64(value, `${field}.end_time_unix_nano`) }
    else if (number === 9) {
      room(attributes, `${field}.attributes`, limits.items)
      attributes.push(attribute(value, `${field}.attributes`))
    } else if (number === 11) {
      room(events, `${field}.events`, limits.items)
      events.push(event(value, `${field}.events`))
    } else if (number === 13) {
      room(links, `${field}.links`, limits.items)
      links.push(link(value, `${field}.links`))
    } else if (number === 15) span = { ...span, ...statusOf(value, `${field}.status`) }
  }
  return checked({ ...span, attributes, events, links }, field)
}

/** The spans of a request, or a `Fault`. */
export const decode = (bytes: Uint8Array): ReadonlyArray<OtlpSpan> => {
  const spans: Array<OtlpSpan> = []
  for (const [number, block] of message(bytes, "body")) {
    if (number !== 1) continue
    const parts = [...message(bytesOf(block, "resource_spans"), "resource_spans")]
    const resource: Array<Attribute> = []
    for (const [part, value] of parts) {
      if (part !== 1) continue
      for (const [field, given] of message(bytesOf(value, "resource"), "resource")) {
        if (field !== 1) continue
        room(resource, "resource.attributes", limits.items)
        resource.push(attribute(given, "resource.attributes"))
      }
    }
    for (const [part, scope] of parts) {
      if (part !== 2) continue
      for (const [field, span] of message(bytesOf(scope, "scope_spans"), "scope_spans")) {
        if (field !== 2) continue
        room(spans, "spans", limits.spans)
        const place = `spans[${spans.length}]`
        spans.push(spanOf(bytesOf(span, place), resource, place))
      }
    }
  }
  return spans
}
