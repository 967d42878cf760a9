/**
 * Arrow columns in the form of this package: numbers with NaN for null, or strings with null.
 *
 * @module
 */
import * as Arrow from "apache-arrow"
import { Dataset } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Column } from "./column-state.ts"

const isText = (type: Arrow.DataType): boolean => {
  const plain: Arrow.DataType = Arrow.DataType.isDictionary(type) ? type.dictionary : type
  return Arrow.DataType.isUtf8(plain) || Arrow.DataType.isLargeUtf8(plain)
}

const read = (table: Arrow.Table, name: string): Effect.Effect<Column, Dataset.DatasetError> => {
  const type: Arrow.DataType | undefined = table.schema.fields.find((f) => f.name === name)?.type
  if (type !== undefined && isText(type)) return Dataset.strings(table, name)
  if (type !== undefined && (Arrow.DataType.isTimestamp(type) || Arrow.DataType.isDate(type))) {
    return Dataset.micros(table, name)
  }
  if (
    type !== undefined &&
    Arrow.DataType.isFloat(type) &&
    type.precision === Arrow.Precision.SINGLE
  ) {
    return Dataset.float32(table, name)
  }
  return Dataset.float64(table, name)
}

/** The named columns of a batch; text as strings, instants as microseconds, the rest as numbers. */
export const readColumns = (
  batch: Arrow.RecordBatch,
  names: ReadonlyArray<string>,
): Effect.Effect<Record<string, Column>, Dataset.DatasetError> => {
  const table = new Arrow.Table(batch.schema, [batch])
  return Effect.map(
    Effect.forEach(names, (name) =>
      Effect.map(read(table, name), (column) => [name, column] as const),
    ),
    (entries) => Object.fromEntries(entries),
  )
}
