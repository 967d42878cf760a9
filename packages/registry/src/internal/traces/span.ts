/** A span as OpenTelemetry has it, decoded from either of its encodings. */
import { Fault } from "../formats/source.ts"

/** The value of an attribute, by the names of OTLP's fields. */
export type AnyValue =
  | { readonly string_value: string }
  | { readonly bool_value: boolean }
  | { readonly int_value: bigint }
  | { readonly double_value: number }
  | { readonly array_value: { readonly values: ReadonlyArray<AnyValue> } }
  | { readonly kvlist_value: { readonly values: ReadonlyArray<Attribute> } }
  /** Base64. */
  | { readonly bytes_value: string }
  /** Null. */
  | { readonly [key: string]: never }

/** A key and its value. */
export interface Attribute {
  readonly key: string
  readonly value: AnyValue
}

/** Something that happened in a span. */
export interface SpanEvent {
  readonly time: bigint
  readonly name: string
  readonly attributes: ReadonlyArray<Attribute>
}

/** Another span that a span belongs with. */
export interface SpanLink {
  readonly traceId: Uint8Array
  readonly spanId: Uint8Array
  readonly attributes: ReadonlyArray<Attribute>
}

/** A span; times are nanoseconds since 1970. */
export interface OtlpSpan {
  readonly traceId: Uint8Array
  readonly spanId: Uint8Array
  /** Empty: a root. */
  readonly parentId: Uint8Array
  readonly name: string
  readonly start: bigint
  /** 0: it has not ended. */
  readonly end: bigint
  readonly status: "UNSET" | "OK" | "ERROR"
  readonly message: string
  readonly attributes: ReadonlyArray<Attribute>
  readonly events: ReadonlyArray<SpanEvent>
  readonly links: ReadonlyArray<SpanLink>
  /** Attributes of what sent it. */
  readonly resource: ReadonlyArray<Attribute>
}

/** What one request may have. */
export const limits = {
  /** Bytes of a body, unpacked. */
  body: 32 << 20,
  spans: 10_000,
  /** Attributes, events or links of one span, and items of one value. */
  items: 10_000,
  /** Values inside each other. */
  depth: 32,
  /** Characters of a name and of a key. */
  name: 8000,
  /** Characters of a span's JSON. */
  span: 16 << 20,
} as const

/** Refuses the next item of a list that is full. */
export const room = (list: ReadonlyArray<unknown>, field: string, most: number): void => {
  if (list.length >= most) {
    throw new Fault(field, `has more than the ${most} items that are taken`, "TooLarge")
  }
}

/** Checks what both encodings leave open. */
export const checked = (span: OtlpSpan, field: string): OtlpSpan => {
  for (const [name, id, length, empty] of [
    ["trace_id", span.traceId, 16, false],
    ["span_id", span.spanId, 8, false],
    ["parent_span_id", span.parentId, 8, true],
  ] as const) {
    if ((empty && id.length === 0) || (id.length === length && id.some((byte) => byte !== 0))) {
      continue
    }
    throw new Fault(`${field}.${name}`, `has ${length} bytes that are not all zero`)
  }
  if (span.name.length > limits.name) {
    throw new Fault(`${field}.name`, `has more than ${limits.name} characters`)
  }
  for (const { key } of span.attributes) {
    if (key.length > limits.name) {
      throw new Fault(`${field}.attributes`, `have a key of more than ${limits.name} characters`)
    }
  }
  return span
}

/** Bytes as hexadecimal digits. */
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** MLflow's id of a trace. */
export const traceIdOf = ({ traceId }: OtlpSpan): string => `tr-${hex(traceId)}`

/** The last value of an attribute. */
export const attributeOf = (
  attributes: ReadonlyArray<Attribute>,
  key: string,
): AnyValue | undefined => attributes.findLast((attribute) => attribute.key === key)?.value

/** A value as JSON text; 64-bit numbers have all their digits. */
export const stringify = (value: unknown): string => {
  if (typeof value === "bigint") return value.toString()
  if (typeof value === "number" && !Number.isFinite(value)) return `"${value}"`
  if (Array.isArray(value)) return `[${value.map(stringify).join(",")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null"
  const members = Object.entries(value).flatMap(([key, item]) =>
    item === undefined ? [] : [`${JSON.stringify(key)}:${stringify(item)}`],
  )
  return `{${members.join(",")}}`
}

/** What an attribute says, without OTLP's words for the type of each part. */
export const plainOf = (value: AnyValue): unknown => {
  if ("array_value" in value) return value.array_value.values.map(plainOf)
  if ("kvlist_value" in value) {
    return Object.fromEntries(
      value.kvlist_value.values.map((item) => [item.key, plainOf(item.value)]),
    )
  }
  return Object.values(value)[0] ?? null
}

/** What an attribute says as text: texts as they are, everything else as JSON. */
export const textOf = (value: AnyValue): string => {
  const plain = plainOf(value)
  return typeof plain === "string" ? plain : stringify(plain)
}

const listOf = <A>(items: ReadonlyArray<A>): ReadonlyArray<A> | undefined =>
  items.length === 0 ? undefined : items

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

/** MLflow's clients find the trace of a span in this attribute. */
const requestId = "mlflow.traceRequestId"

/** The span as OTLP's message in protocol buffers' JSON, with MLflow's id of its trace. */
export const contentOf = (span: OtlpSpan, field: string): string => {
  const trace: AnyValue = { string_value: traceIdOf(span) }
  // The last value of a key counts, in the place of the first.
  const attributes = new Map(span.attributes.map(({ key, value }) => [key, value]))
  attributes.set(requestId, trace)
  const text = stringify({
    trace_id: base64(span.traceId),
    span_id: base64(span.spanId),
    parent_span_id: span.parentId.length === 0 ? undefined : base64(span.parentId),
    name: span.name,
    start_time_unix_nano: span.start,
    end_time_unix_nano: span.end === 0n ? undefined : span.end,
    attributes: [...attributes].map(([key, value]) => ({ key, value })),
    events: listOf(
      span.events.map(({ time, name, attributes: details }) => ({
        time_unix_nano: time,
        name,
        attributes: listOf(details),
      })),
    ),
    links: listOf(
      span.links.map((link) => ({
        trace_id: base64(link.traceId),
        span_id: base64(link.spanId),
        attributes: listOf(link.attributes),
      })),
    ),
    status: {
      message: span.message === "" ? undefined : span.message,
      code: `STATUS_CODE_${span.status}`,
    },
  })
  if (text.length <= limits.span) return text
  throw new Fault(field, `has more than ${limits.span} characters as JSON`, "TooLarge")
}
