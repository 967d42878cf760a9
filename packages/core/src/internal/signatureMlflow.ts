/** Signatures as the JSON that MLflow keeps in an MLmodel file. */
import * as Schema from "effect/Schema"
import { type DataType, names, numpyName } from "../DataType.ts"
import type { TensorSpec } from "../Signature.ts"

/** What MLflow calls the columns that have a tensor datatype of the same width. */
const columnName: Partial<Record<DataType, string>> = {
  BOOL: "boolean",
  INT32: "integer",
  INT64: "long",
  FP32: "float",
  FP64: "double",
  BYTES: "string",
}

const Tensor = Schema.Struct({
  type: Schema.Literal("tensor"),
  name: Schema.optionalKey(Schema.NullOr(Schema.String)),
  "tensor-spec": Schema.Struct({ dtype: Schema.String, shape: Schema.Array(Schema.Int) }),
})

const Column = Schema.Struct({
  type: Schema.String,
  name: Schema.optionalKey(Schema.NullOr(Schema.String)),
  required: Schema.optionalKey(Schema.Boolean),
  items: Schema.optionalKey(Schema.Struct({ type: Schema.String })),
})

const Specs = Schema.fromJsonString(Schema.Array(Schema.Union([Tensor, Column])))

const Params = Schema.fromJsonString(
  Schema.Array(
    Schema.Struct({
      name: Schema.NonEmptyString,
      type: Schema.String,
      default: Schema.Json,
      shape: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Int))),
    }),
  ),
)

/** Decodes the inputs or outputs of an MLmodel. */
export const decodeSpecs = Schema.decodeUnknownEffect(Specs)

/** Decodes the params of an MLmodel. */
export const decodeParams = Schema.decodeUnknownEffect(Params)

/** One input or output as MLflow describes it. */
export type MlflowSpec = typeof Tensor.Type | typeof Column.Type

/** Tensor-based, which keeps every datatype and shape. */
export const toTensor = (spec: TensorSpec): MlflowSpec => ({
  name: spec.name,
  type: "tensor",
  "tensor-spec": { dtype: numpyName[spec.datatype], shape: spec.shape },
})

/** Column-based, or what keeps the spec from being a column. */
export const toColumn = (spec: TensorSpec): MlflowSpec | string => {
  const type = columnName[spec.datatype]
  if (type === undefined) return `MLflow has no column type for ${spec.datatype}`
  if (spec.shape.length !== 1) return "a column has the shape [-1]"
  return { type, name: spec.name, required: true }
}

const datatypeOf = (dtype: string): DataType | undefined => {
  if (dtype === "object" || dtype === "bytes") return "BYTES"
  return names.find((name) => numpyName[name] === dtype)
}

/** A spec, or what keeps MLflow's from being one. MLflow lets a single tensor be without name. */
export const fromSpec = (spec: MlflowSpec, index: number, role: string): TensorSpec | string => {
  const name = spec.name ?? `${role}_${index}`
  if ("tensor-spec" in spec) {
    const { dtype, shape } = spec["tensor-spec"]
    const datatype = datatypeOf(dtype)
    if (datatype === undefined) return `dtype '${dtype}' has no tensor datatype`
    return { name, datatype, shape }
  }
  const scalar = spec.type === "Array" || spec.type === "array" ? spec.items?.type : spec.type
  const shape = scalar === spec.type ? [-1] : [-1, -1]
  if (scalar === "binary") return { name, datatype: "BYTES", shape }
  const datatype = names.find((type) => columnName[type] === scalar)
  if (datatype === undefined) {
    return `MLflow's column type '${spec.type}' has no tensor datatype; log the model with a tensor signature`
  }
  return { name, datatype, shape }
}

const paramType = (value: Schema.Json): string | undefined => {
  if (typeof value === "boolean") return "boolean"
  if (typeof value === "string") return "string"
  if (typeof value === "number") return Number.isSafeInteger(value) ? "long" : "double"
  return undefined
}

/** A parameter as MLflow describes it; `undefined` when it has no such type. */
export const toParam = (name: string, value: Schema.Json) => {
  if (!Array.isArray(value)) {
    const type = paramType(value)
    return type === undefined ? undefined : { name, default: value, shape: null, type }
  }
  const types = new Set(value.map(paramType))
  if (types.has("double")) types.delete("long")
  const [type] = types
  return types.size === 1 && type !== undefined
    ? { name, default: value, shape: [-1], type }
    : undefined
}
