import { DataType, Predictor, type Signature } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Tensors from "./tensor-codec.ts"

/** Values a parameter of the protocol can have. */
const Parameters = Schema.Record(
  Schema.String,
  Schema.Union([Schema.String, Schema.Number, Schema.Boolean]),
)

const InferRequest = Schema.Struct({
  id: Schema.optionalKey(Schema.String),
  parameters: Schema.optionalKey(Parameters),
  inputs: Schema.NonEmptyArray(
    Schema.Struct({
      name: Schema.NonEmptyString,
      datatype: DataType.DataType,
      shape: Schema.Array(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
      parameters: Schema.optionalKey(Parameters),
      data: Schema.optionalKey(Schema.Unknown),
    }),
  ),
  outputs: Schema.optionalKey(
    Schema.NonEmptyArray(
      Schema.Struct({
        name: Schema.NonEmptyString,
        parameters: Schema.optionalKey(Parameters),
      }),
    ),
  ),
})

type InferRequest = typeof InferRequest.Type

/** A decoded inference request. */
export interface Inference {
  readonly id: string | undefined
  readonly inputs: Readonly<Record<string, DataType.Tensor>>
  readonly outputs: ReadonlyArray<string> | undefined
  /** Whether an output goes out as raw bytes. */
  readonly isBinary: (output: string) => boolean
}

const invalid = (field: string, message: string) =>
  new Predictor.PredictorError({ reason: "InvalidInput", field, message })

const unsupported = (field: string, what: string) =>
  new Predictor.PredictorError({
    reason: "NotSupported",
    field,
    message: `this server does not have ${what}: send the request without the parameter ${field}`,
  })

/** Parameters that would change what an answer means, and that are not there. */
const refused: Readonly<Record<string, string>> = {
  sequence_id: "stateful sequences",
  sequence_start: "stateful sequences",
  sequence_end: "stateful sequences",
  shared_memory_region: "shared memory",
  classification: "the classification extension",
}

const refusedIn = (parameters: Readonly<Record<string, unknown>> | undefined) => {
  for (const key of Object.keys(parameters ?? {})) {
    const what = Object.hasOwn(refused, key) ? refused[key] : undefined
    // The clients send 0 and false for what nobody asked for.
    if (what !== undefined && parameters?.[key] !== 0 && parameters?.[key] !== false) {
      return unsupported(key, what)
    }
  }
  return undefined
}

const decodeRequest = Schema.decodeUnknownEffect(InferRequest)

/** Parses JSON so that 64-bit integers keep all their digits where that matters. */
const parseJson = (text: string): unknown => {
  const value: unknown = JSON.parse(text)
  if (!/"U?INT64"/.test(text) || !/\d{16}/.test(text)) return value
  return JSON.parse(text, (_key, parsed: unknown, context?: { readonly source?: string }) =>
    typeof parsed === "number" &&
    !Number.isSafeInteger(parsed) &&
    /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context?.source ?? 0)
      : parsed,
  )
}

/**
 * Decodes a request body: JSON, or JSON followed by raw tensors when the header
 * `Inference-Header-Content-Length` says how long the JSON is (binary tensor extension).
 */
export const decode = Effect.fnUntraced(function* (
  body: Uint8Array,
  headerLength: string | undefined,
) {
  const length = headerLength === undefined ? body.length : Number(headerLength)
  if (!Number.isInteger(length) || length < 1 || length > body.length) {
    return yield* invalid(
      "Inference-Header-Content-Length",
      `the JSON part has ${headerLength} bytes by the header, the body has ${body.length}: send the number of JSON bytes before the tensors`,
    )
  }
  const json = yield* Effect.try({
    try: () => parseJson(Buffer.from(body.buffer, body.byteOffset, length).toString("utf8")),
    catch: (error) =>
      invalid("body", `the request is not JSON: ${error instanceof Error ? error.message : error}`),
  })
  const request: InferRequest = yield* Effect.mapError(decodeRequest(json), (error) =>
    invalid("body", error.message),
  )
  for (const part of [request, ...request.inputs, ...(request.outputs ?? [])]) {
    const unavailable = refusedIn(part.parameters)
    if (unavailable !== undefined) return yield* unavailable
  }
  const inputs: Record<string, DataType.Tensor> = {}
  let offset = length
  for (const input of request.inputs) {
    if (Object.hasOwn(inputs, input.name)) {
      return yield* invalid(input.name, `input ${input.name} is given twice`)
    }
    const binary = input.parameters?.["binary_data_size"]
    const tensor = yield* Effect.try({
      try: () => {
        if (binary === undefined) return Tensors.fromJson(input)
        if (typeof binary !== "number" || binary < 0 || offset + binary > body.length) {
          throw new RangeError(
            `binary_data_size ${binary} does not fit the ${body.length - offset} bytes that are left`,
          )
        }
        const bytes = body.subarray(offset, offset + binary)
        offset += binary
        return Tensors.fromBytes(input, bytes)
      },
      catch: (error) =>
        invalid(
          input.name,
          `input ${input.name}: ${error instanceof Error ? error.message : error}`,
        ),
    })
    Object.defineProperty(inputs, input.name, { value: tensor, enumerable: true })
  }
  if (offset !== body.length) {
    return yield* invalid(
      "body",
      `${body.length - offset} bytes follow the last tensor: give each binary input its binary_data_size`,
    )
  }
  const all = request.parameters?.["binary_data_output"] === true
  const own = new Map(
    request.outputs?.map(({ name, parameters }) => [name, parameters?.["binary_data"]]),
  )
  return {
    id: request.id,
    inputs,
    outputs: request.outputs?.map(({ name }) => name),
    isBinary: (output: string) => {
      const wanted = own.get(output)
      return typeof wanted === "boolean" ? wanted : all
    },
  } satisfies Inference
})

/**
 * A raw binary request (header `Inference-Header-Content-Length: 0`): the body is the one input of
 * the model, whose shape follows from its length.
 */
export const decodeRaw = Effect.fnUntraced(function* (
  body: Uint8Array,
  signature: Signature.Signature,
) {
  const [spec, ...others] = signature.inputs
  const variable = spec?.shape.filter((dimension) => dimension < 0).length ?? 0
  if (spec === undefined || others.length > 0 || variable > 1) {
    return yield* invalid(
      "Inference-Header-Content-Length",
      "a raw binary request is for models with one input that has at most one variable dimension: send the JSON header",
    )
  }
  const { name, datatype } = spec
  const fixed = spec.shape.reduce((count, size) => (size < 0 ? count : count * size), 1)
  const tensor = yield* Effect.try({
    try: (): DataType.Tensor => {
      if (datatype === "BYTES") {
        if (fixed !== 1) throw new RangeError("one string is not enough for its shape")
        return { datatype, shape: spec.shape.map(() => 1), data: [new Uint8Array(body)] }
      }
      const row = Math.max(1, fixed * DataType.byteSize[datatype])
      const shape = spec.shape.map((size) => (size < 0 ? Math.floor(body.length / row) : size))
      return Tensors.fromBytes({ datatype, shape }, body)
    },
    catch: (error) =>
      invalid(name, `input ${name}: ${error instanceof Error ? error.message : error}`),
  })
  return {
    id: undefined,
    inputs: Object.defineProperty({}, name, { value: tensor, enumerable: true }),
    outputs: undefined,
    isBinary: () => true,
  } satisfies Inference
})

/** An encoded response; `headerLength` is set when raw tensors follow the JSON. */
export interface Encoded {
  readonly body: Uint8Array
  readonly headerLength: number | undefined
}

/** Encodes a response in the form the request asked for. */
export const encode = (request: Inference, response: Predictor.PredictResponse): Encoded => {
  const binary: Array<Uint8Array> = []
  const outputs = Object.entries(response.outputs).map(([name, tensor]) => {
    const { datatype, shape } = tensor
    if (!request.isBinary(name)) return { name, datatype, shape, data: Tensors.toJson(tensor) }
    const bytes = Tensors.toBytes(tensor)
    binary.push(bytes)
    return { name, datatype, shape, parameters: { binary_data_size: bytes.length } }
  })
  const text = Tensors.stringify({
    model_name: response.model,
    model_version: String(response.version),
    ...(request.id === undefined ? {} : { id: request.id }),
    outputs,
  })
  const json = Buffer.from(text, "utf8")
  return binary.length === 0
    ? { body: json, headerLength: undefined }
    : { body: Buffer.concat([json, ...binary]), headerLength: json.length }
}
