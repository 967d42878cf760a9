/**
 * What a model takes and gives: named, typed, shaped inputs and outputs, with exact mappings to
 * Arrow schemas, Open Inference Protocol metadata and MLflow's signature JSON.
 *
 * @module
 */
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as DataTypes from "./DataType.ts"
import * as Failure from "./Failure.ts"
import { fromField, toField } from "./internal/signatureArrow.ts"
import * as Mlflow from "./internal/signatureMlflow.ts"

/** One input or output tensor. `-1` in a shape is a free dimension; the first is the batch. */
export const TensorSpec = Schema.Struct({
  name: Schema.NonEmptyString,
  datatype: DataTypes.DataType,
  shape: Schema.Array(Schema.Int),
  /** Names of the columns of a `[-1, n]` tensor, in order. */
  columns: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)),
})

/** One input or output tensor of a model. */
export type TensorSpec = typeof TensorSpec.Type

/** Schema of a signature. */
export const Signature = Schema.Struct({
  inputs: Schema.Array(TensorSpec),
  outputs: Schema.Array(TensorSpec),
  /** Inference parameters with their default values, as in MLflow. */
  params: Schema.optionalKey(Schema.Record(Schema.String, Schema.Json)),
})

/** The typed inputs and outputs of a model. */
export type Signature = typeof Signature.Type

/** A signature cannot be written in, or read from, another form. */
export class SignatureError extends Schema.TaggedError<SignatureError>()(
  "SignatureError",
  Failure.fields(["InvalidInput"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

const refuse = (field: string, message: string): SignatureError =>
  new SignatureError({ reason: "InvalidInput", message, field })

const each = <A, B>(
  items: ReadonlyArray<A>,
  name: (item: A) => string,
  convert: (item: A, index: number) => B | string,
): Effect.Effect<Array<B>, SignatureError> =>
  Effect.forEach(items, (item, index) => {
    const converted = convert(item, index)
    return typeof converted === "string"
      ? Effect.fail(refuse(name(item), `'${name(item)}' cannot be converted: ${converted}`))
      : Effect.succeed(converted)
  })

/**
 * The Arrow schema of a batch: a `[-1]` tensor is a column, further dimensions are lists (fixed-size
 * where the dimension is known).
 */
export const toArrow = (
  specs: ReadonlyArray<TensorSpec>,
): Effect.Effect<Arrow.Schema, SignatureError> =>
  Effect.map(
    each(specs, (spec) => spec.name, toField),
    (fields) => new Arrow.Schema(fields),
  )

/** The tensors of an Arrow schema; text and binary columns are `BYTES`. */
export const fromArrow = (
  schema: Arrow.Schema,
): Effect.Effect<ReadonlyArray<TensorSpec>, SignatureError> =>
  each(schema.fields, (field) => field.name, fromField)

/** A tensor in the model metadata of the Open Inference Protocol. */
export const InferenceTensor = Schema.Struct({
  name: Schema.NonEmptyString,
  datatype: DataTypes.DataType,
  shape: Schema.Array(Schema.Int),
  parameters: Schema.optionalKey(
    Schema.Struct({ columns: Schema.optionalKey(Schema.Array(Schema.NonEmptyString)) }),
  ),
})

/** A tensor in the model metadata of the Open Inference Protocol. */
export type InferenceTensor = typeof InferenceTensor.Type

/** Open Inference Protocol metadata; column names travel in `parameters`. */
export const toInference = (specs: ReadonlyArray<TensorSpec>): ReadonlyArray<InferenceTensor> =>
  specs.map(({ columns, ...tensor }) =>
    columns === undefined ? tensor : { ...tensor, parameters: { columns } },
  )

/** From Open Inference Protocol metadata. */
export const fromInference = (tensors: ReadonlyArray<InferenceTensor>): ReadonlyArray<TensorSpec> =>
  tensors.map(({ parameters, ...tensor }) =>
    parameters?.columns === undefined ? tensor : { ...tensor, columns: parameters.columns },
  )

/** The `signature` of an MLmodel file: JSON strings. */
export const MlflowSignature = Schema.Struct({
  inputs: Schema.optionalKey(Schema.NullOr(Schema.String)),
  outputs: Schema.optionalKey(Schema.NullOr(Schema.String)),
  params: Schema.optionalKey(Schema.NullOr(Schema.String)),
})

/** The `signature` of an MLmodel file. */
export type MlflowSignature = typeof MlflowSignature.Type

/**
 * MLflow's signature: tensors by default, which keeps every datatype and shape; `columns` for
 * models that take data frames, where every spec is `[-1]` and of a type MLflow has a column for.
 * Column names of a `[-1, n]` tensor have no place in it.
 */
export const toMlflow = Effect.fnUntraced(function* (
  signature: Signature,
  options: { readonly form?: "tensors" | "columns" } = {},
): Effect.fn.Return<MlflowSignature, SignatureError> {
  const convert = (specs: ReadonlyArray<TensorSpec>) =>
    each(specs, (spec) => spec.name, options.form === "columns" ? Mlflow.toColumn : Mlflow.toTensor)
  const inputs = JSON.stringify(yield* convert(signature.inputs))
  const outputs = JSON.stringify(yield* convert(signature.outputs))
  if (signature.params === undefined) return { inputs, outputs, params: null }
  const params = yield* each(
    Object.entries(signature.params),
    ([name]) => name,
    ([name, value]) =>
      Mlflow.toParam(name, value) ??
      "a parameter of MLflow is a boolean, number or string, or a list of one of them",
  )
  return { inputs, outputs, params: JSON.stringify(params) }
})

const malformed = (part: string) => (cause: Schema.SchemaError) =>
  new SignatureError({
    reason: "InvalidInput",
    message: `the ${part} of the MLflow signature are malformed: ${cause.message}`,
    field: part,
    cause,
  })

/** From MLflow's signature, tensor- or column-based. */
export const fromMlflow = Effect.fnUntraced(function* (
  signature: MlflowSignature,
): Effect.fn.Return<Signature, SignatureError> {
  const specs = Effect.fnUntraced(function* (part: "inputs" | "outputs", role: string) {
    const decoded = yield* Effect.mapError(
      Mlflow.decodeSpecs(signature[part] ?? "[]"),
      malformed(part),
    )
    return yield* each(
      decoded,
      (spec) => spec.name ?? part,
      (spec, index) => Mlflow.fromSpec(spec, index, role),
    )
  })
  const inputs = yield* specs("inputs", "input")
  const outputs = yield* specs("outputs", "output")
  if (signature.params === undefined || signature.params === null) return { inputs, outputs }
  const params = yield* Effect.mapError(Mlflow.decodeParams(signature.params), malformed("params"))
  return { inputs, outputs, params: Object.fromEntries(params.map((p) => [p.name, p.default])) }
})

const shapeText = (shape: ReadonlyArray<number>): string => `[${shape.join(", ")}]`

const mismatch = (spec: TensorSpec, tensor: DataTypes.Tensor): string | undefined => {
  if (tensor.datatype !== spec.datatype) {
    return `is ${tensor.datatype}, the model takes ${spec.datatype}`
  }
  const { shape } = tensor
  const fits =
    shape.length === spec.shape.length &&
    shape.every(
      (size, i) =>
        Number.isSafeInteger(size) && size >= 0 && (spec.shape[i] === -1 || spec.shape[i] === size),
    )
  if (!fits) return `has shape ${shapeText(shape)}, the model takes ${shapeText(spec.shape)}`
  if (!DataTypes.holds(tensor.datatype, tensor.data)) {
    return `holds its data in an array that is not of ${tensor.datatype}`
  }
  const size = DataTypes.sizeOf(shape)
  return tensor.data.length === size
    ? undefined
    : `has ${tensor.data.length} elements, its shape ${shapeText(shape)} says ${size}`
}

/**
 * Checks input tensors against a signature: every input there and no other, datatypes, shapes and
 * sizes. NaN and infinities are values like any other. Fails with a `TensorError` that names the
 * input.
 *
 * @example
 * ```ts
 * import { Signature } from "@ashlar/core"
 * import * as Effect from "effect/Effect"
 *
 * const signature: Signature.Signature = {
 *   inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
 *   outputs: [{ name: "y", datatype: "FP32", shape: [-1] }],
 * }
 * const x = { datatype: "FP32", shape: [1, 3], data: new Float32Array(3) } as const
 * Effect.runSync(Effect.flip(Signature.validate({ x }, signature))).message
 * // => "input 'x' has shape [1, 3], the model takes [-1, 2]"
 * ```
 */
export const validate = (
  inputs: Readonly<Record<string, DataTypes.Tensor>>,
  signature: Signature,
): Effect.Effect<void, DataTypes.TensorError> => {
  const fail = (field: string, message: string) =>
    Effect.fail(new DataTypes.TensorError({ reason: "InvalidInput", message, field }))
  const known = new Set(signature.inputs.map((spec) => spec.name))
  for (const name of Object.keys(inputs)) {
    if (known.has(name)) continue
    const names = [...known].map((n) => `'${n}'`).join(", ")
    return fail(name, `unknown input '${name}'; the model takes ${names}`)
  }
  for (const spec of signature.inputs) {
    const tensor = Object.hasOwn(inputs, spec.name) ? inputs[spec.name] : undefined
    if (tensor === undefined) {
      const wanted = `${spec.datatype} ${shapeText(spec.shape)}`
      return fail(spec.name, `input '${spec.name}' is missing; the model takes it as ${wanted}`)
    }
    const wrong = mismatch(spec, tensor)
    if (wrong !== undefined) return fail(spec.name, `input '${spec.name}' ${wrong}`)
  }
  return Effect.void
}
