/** Tensor specs as Arrow fields and back. */
import * as Arrow from "apache-arrow"
import { type DataType } from "../DataType.ts"
import type { TensorSpec } from "../Signature.ts"

const toType: Readonly<Record<DataType, () => Arrow.DataType>> = {
  BOOL: () => new Arrow.Bool(),
  UINT8: () => new Arrow.Uint8(),
  UINT16: () => new Arrow.Uint16(),
  UINT32: () => new Arrow.Uint32(),
  UINT64: () => new Arrow.Uint64(),
  INT8: () => new Arrow.Int8(),
  INT16: () => new Arrow.Int16(),
  INT32: () => new Arrow.Int32(),
  INT64: () => new Arrow.Int64(),
  FP16: () => new Arrow.Float16(),
  FP32: () => new Arrow.Float32(),
  FP64: () => new Arrow.Float64(),
  BYTES: () => new Arrow.Utf8(),
}

const columnsKey = "ashlar.columns"

/** A field, or what keeps the spec from being one. */
export const toField = (spec: TensorSpec): Arrow.Field | string => {
  const [batch, ...inner] = spec.shape
  if (batch !== -1) return "its first dimension is not the free batch dimension -1"
  let type = toType[spec.datatype]()
  for (const size of inner.toReversed()) {
    const item = new Arrow.Field("item", type, false)
    type = size === -1 ? new Arrow.List(item) : new Arrow.FixedSizeList(size, item)
  }
  const metadata = new Map<string, string>()
  if (spec.columns !== undefined) metadata.set(columnsKey, JSON.stringify(spec.columns))
  return new Arrow.Field(spec.name, type, false, metadata)
}

const scalarOf = (type: Arrow.DataType): DataType | undefined => {
  if (Arrow.DataType.isBool(type)) return "BOOL"
  if (Arrow.DataType.isInt(type)) {
    const widths = type.isSigned
      ? ({ 8: "INT8", 16: "INT16", 32: "INT32", 64: "INT64" } as const)
      : ({ 8: "UINT8", 16: "UINT16", 32: "UINT32", 64: "UINT64" } as const)
    return widths[type.bitWidth]
  }
  if (Arrow.DataType.isFloat(type)) return (["FP16", "FP32", "FP64"] as const)[type.precision]
  if (Arrow.DataType.isDictionary(type)) return scalarOf(type.dictionary)
  const text =
    Arrow.DataType.isUtf8(type) ||
    Arrow.DataType.isLargeUtf8(type) ||
    Arrow.DataType.isBinary(type) ||
    Arrow.DataType.isLargeBinary(type)
  return text ? "BYTES" : undefined
}

/** A spec, or what keeps the field from being one. */
export const fromField = (field: Arrow.Field): TensorSpec | string => {
  const shape = [-1]
  let type: Arrow.DataType = field.type
  for (;;) {
    if (Arrow.DataType.isFixedSizeList(type)) shape.push(type.listSize)
    else if (Arrow.DataType.isList(type)) shape.push(-1)
    else break
    const item: Arrow.Field | undefined = type.children[0]
    if (item === undefined) return "its list has no item type"
    type = item.type
  }
  const datatype = scalarOf(type)
  if (datatype === undefined) {
    return `its Arrow type ${Arrow.Type[type.typeId]} has no tensor datatype`
  }
  const stored = field.metadata.get(columnsKey)
  if (stored === undefined) return { name: field.name, datatype, shape }
  try {
    const columns: unknown = JSON.parse(stored)
    if (Array.isArray(columns) && columns.every((c): c is string => typeof c === "string")) {
      return { name: field.name, datatype, shape, columns }
    }
  } catch {
    // Falls through to the message below.
  }
  return `its metadata '${columnsKey}' is not a list of names`
}
