/** Reads OTLP's ExportTraceServiceRequest in OTLP's JSON: ids in hexadecimal, 64-bit numbers as text. */
import { Fault } from "../formats/source.ts"
import { type JsonObject, member, object, parseObject } from "../formats/json.ts"
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

const given = (value: JsonObject, key: string): unknown => member(value, key) ?? undefined

const items = (value: JsonObject, key: string, field: string, most: number) => {
  const list = given(value, key)
  if (list === undefined) return []
  if (!Array.isArray(list)) throw new Fault(`${field}.${key}`, "is no list")
  if (list.length > most) room(list, `${field}.${key}`, most)
  return list.map((item, i) => object(item, `${field}.${key}[${i}]`))
}

const textOf = (value: unknown, field: string): string => {
  if (value === undefined) return ""
  if (typeof value !== "string") throw new Fault(field, "is no text")
  // Half a surrogate pair is no Unicode, and no protocol buffer could say it.
  return value.toWellFormed()
}

const text = (value: JsonObject, key: string, field: string): string =>
  textOf(given(value, key), `${field}.${key}`)

const int64 = (value: unknown, field: string): bigint => {
  if (typeof value === "string" && /^-?\d{1,20}$/.test(value)) return BigInt(value)
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value)
  throw new Fault(field, "is no whole number")
}

const nanos = (value: JsonObject, key: string, field: string): bigint => {
  const found = given(value, key)
  if (found === undefined) return 0n
  const number = int64(found, `${field}.${key}`)
  if (number >= 0n && number < 1n << 64n) return number
  throw new Fault(`${field}.${key}`, "is beyond 64 bits or negative")
}

const id = (value: JsonObject, key: string, field: string): Uint8Array => {
  const digits = text(value, key, field)
  if (/^([0-9a-f]{2})*$/i.test(digits)) return Buffer.from(digits, "hex")
  throw new Fault(`${field}.${key}`, "is not in hexadecimal")
}

const double = (value: unknown, field: string): number => {
  if (typeof value === "number") return value
  if (value === "NaN" || value === "Infinity" || value === "-Infinity") return Number(value)
  throw new Fault(field, "is no number")
}

const anyValue = (value: JsonObject, field: string, depth: number): AnyValue => {
  if (depth > limits.depth) {
    throw new Fault(field, `nests deeper than ${limits.depth} levels`, "TooLarge")
  }
  const string = given(value, "stringValue")
  if (string !== undefined) return { string_value: textOf(string, field) }
  const bool = given(value, "boolValue")
  if (bool !== undefined) {
    if (typeof bool !== "boolean") throw new Fault(field, "is neither true nor false")
    return { bool_value: bool }
  }
  const int = given(value, "intValue")
  if (int !== undefined) {
    const number = int64(int, field)
    if (BigInt.asIntN(64, number) !== number) throw new Fault(field, "is beyond 64 bits")
    return { int_value: number }
  }
  const float = given(value, "doubleValue")
  if (float !== undefined) return { double_value: double(float, field) }
  const array = given(value, "arrayValue")
  if (array !== undefined) {
    const values = items(object(array, field), "values", field, limits.items)
    return { array_value: { values: values.map((item) => anyValue(item, field, depth + 1)) } }
  }
  const record = given(value, "kvlistValue")
  if (record !== undefined) {
    return {
      kvlist_value: { values: attributes(object(record, field), "values", field, depth + 1) },
    }
  }
  const bytes = given(value, "bytesValue")
  if (bytes === undefined) return {}
  return { bytes_value: Buffer.from(textOf(bytes, field), "base64").toString("base64") }
}

const attributes = (
  value: JsonObject,
  key: string,
  field: string,
  depth = 0,
): ReadonlyArray<Attribute> =>
  items(value, key, field, limits.items).map((item, i) => {
    const place = `${field}.${key}[${i}]`
    const held = given(item, "value")
    return {
      key: text(item, "key", place),
      value: held === undefined ? {} : anyValue(object(held, place), place, depth),
    }
  })

const statusOf = (value: unknown, field: string): Pick<OtlpSpan, "status" | "message"> => {
  if (value === undefined) return { status: "UNSET", message: "" }
  const status = object(value, field)
  const code = given(status, "code")
  const isOk = code === 1 || code === "STATUS_CODE_OK"
  const isError = code === 2 || code === "STATUS_CODE_ERROR"
  return {
    message: text(status, "message", field),
    status: isOk ? "OK" : isError ? "ERROR" : "UNSET",
  }
}

const spanOf = (span: JsonObject, resource: ReadonlyArray<Attribute>, field: string): OtlpSpan =>
  checked(
    {
      traceId: id(span, "traceId", field),
      spanId: id(span, "spanId", field),
      parentId: id(span, "parentSpanId", field),
      name: text(span, "name", field),
      start: nanos(span, "startTimeUnixNano", field),
      end: nanos(span, "endTimeUnixNano", field),
      ...statusOf(given(span, "status"), `${field}.status`),
      attributes: attributes(span, "attributes", field),
      events: items(span, "events", field, limits.items).map((event, i): SpanEvent => {
        const place = `${field}.events[${i}]`
        return {
          time: nanos(event, "timeUnixNano", place),
          name: text(event, "name", place),
          attributes: attributes(event, "attributes", place),
        }
      }),
      links: items(span, "links", field, limits.items).map((link, i): SpanLink => {
        const place = `${field}.links[${i}]`
        return {
          traceId: id(link, "traceId", place),
          spanId: id(link, "spanId", place),
          attributes: attributes(link, "attributes", place),
        }
      }),
      resource,
    },
    field,
  )

/** The spans of a request, or a `Fault`. */
export const decode = (bytes: Uint8Array): ReadonlyArray<OtlpSpan> => {
  const spans: Array<OtlpSpan> = []
  const most = limits.spans
  for (const block of items(parseObject(bytes, "body"), "resourceSpans", "body", most)) {
    const sender = given(block, "resource")
    const resource =
      sender === undefined ? [] : attributes(object(sender, "resource"), "attributes", "resource")
    for (const scope of items(block, "scopeSpans", "resourceSpans", most)) {
      for (const span of items(scope, "spans", "scopeSpans", most)) {
        room(spans, "spans", most)
        spans.push(spanOf(span, resource, `spans[${spans.length}]`))
      }
    }
  }
  return spans
}
