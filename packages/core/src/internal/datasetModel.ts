/** What a dataset is, and how its batches are taken apart and put together. */
import * as Arrow from "apache-arrow"
import * as Stream from "effect/Stream"
import { attempt, DatasetError, invalid } from "./datasetError.ts"

/** A table that is read batch by batch. */
export interface Dataset {
  readonly schema: Arrow.Schema
  /** Rows, when known without reading. */
  readonly rows: number | undefined
  readonly batches: Stream.Stream<Arrow.RecordBatch, DatasetError>
}

export const batchOf = (
  schema: Arrow.Schema,
  rows: number,
  children: Array<Arrow.Data>,
): Arrow.RecordBatch =>
  new Arrow.RecordBatch(
    schema,
    new Arrow.Data(new Arrow.Struct(schema.fields), 0, rows, 0, {}, children),
  )

export const quoted = (names: ReadonlyArray<string>): string =>
  names.map((n) => `'${n}'`).join(", ")

export const namesOf = (schema: Arrow.Schema): ReadonlyArray<string> =>
  schema.fields.map((f) => f.name)

export const positionOf = (schema: Arrow.Schema, name: string): number => {
  const at = schema.fields.findIndex((field) => field.name === name)
  if (at < 0) throw invalid(name, `no column '${name}'; the dataset has ${quoted(namesOf(schema))}`)
  return at
}

export const childAt = (batch: Arrow.RecordBatch, at: number): Arrow.Data => {
  const data = batch.data.children[at]
  if (data === undefined) {
    throw new DatasetError({
      reason: "Corrupt",
      message: `a batch has ${batch.data.children.length} columns, its schema says more`,
    })
  }
  return data.length === batch.numRows ? data : data.slice(0, batch.numRows)
}

export const mapBatches = (
  ds: Dataset,
  schema: Arrow.Schema,
  f: (batch: Arrow.RecordBatch, firstRow: number) => Arrow.RecordBatch | undefined,
): Stream.Stream<Arrow.RecordBatch, DatasetError> =>
  Stream.suspend(() => {
    let row = 0
    return ds.batches.pipe(
      Stream.mapEffect((batch) =>
        attempt(() => {
          const out = f(batch, row) ?? batchOf(schema, 0, [])
          row += batch.numRows
          return out
        }),
      ),
      Stream.filter((batch) => batch.numRows > 0),
    )
  })
