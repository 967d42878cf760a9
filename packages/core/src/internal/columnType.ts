/** Names of column types in messages, expectations and digests. */
import * as Arrow from "apache-arrow"
import { isText } from "./columnText.ts"

/** What `expect` can ask of a column. `number` and `integer` match every width. */
export const kinds = [
  "bool",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "float16",
  "float32",
  "float64",
  "number",
  "integer",
  "string",
  "binary",
  "timestamp",
  "date",
  "list",
  "struct",
] as const

/** A kind of column. */
export type ColumnKind = (typeof kinds)[number]

const unit = ["s", "ms", "us", "ns"] as const

/** The canonical name of a type: the same for every layout of the same values. */
export const nameOf = (type: Arrow.DataType): string => {
  if (Arrow.DataType.isBool(type)) return "bool"
  if (Arrow.DataType.isInt(type)) return `${type.isSigned ? "int" : "uint"}${type.bitWidth}`
  if (Arrow.DataType.isFloat(type)) return `float${16 << type.precision}`
  if (isText(type)) return "string"
  if (Arrow.DataType.isBinary(type) || Arrow.DataType.isLargeBinary(type)) return "binary"
  if (Arrow.DataType.isTimestamp(type)) {
    const zone = type.timezone
    return `timestamp[${unit[type.unit]}${zone === null || zone === undefined ? "" : `, ${zone}`}]`
  }
  if (Arrow.DataType.isDate(type)) return type.unit === Arrow.DateUnit.DAY ? "date" : "date[ms]"
  if (Arrow.DataType.isDictionary(type)) return nameOf(type.dictionary)
  if (Arrow.DataType.isFixedSizeList(type)) return `list[${type.listSize}]<${childNames(type)}>`
  if (Arrow.DataType.isList(type)) return `list<${childNames(type)}>`
  if (Arrow.DataType.isStruct(type)) {
    return `struct<${type.children.map((f) => `${f.name}: ${nameOf(f.type)}`).join(", ")}>`
  }
  return Arrow.Type[type.typeId].toLowerCase()
}

const childNames = (type: Arrow.DataType): string =>
  type.children.map((field: Arrow.Field) => nameOf(field.type)).join(", ")

/** True when a column of the type satisfies the kind. */
export const matches = (type: Arrow.DataType, kind: ColumnKind): boolean => {
  const name = nameOf(type)
  switch (kind) {
    case "number":
      return /^(u?int|float)\d/.test(name)
    case "integer":
      return /^u?int\d/.test(name)
    case "timestamp":
    case "date":
    case "list":
    case "struct":
      return name.startsWith(kind)
    default:
      return name === kind
  }
}
