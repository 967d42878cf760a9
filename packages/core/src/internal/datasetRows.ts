/** Rows of datasets: collected, chosen, cut and strung together. */
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { gather, type Indices, join } from "./arrowData.ts"
import { attempt, DatasetError, invalid } from "./datasetError.ts"
import { batchOf, childAt, type Dataset, mapBatches } from "./datasetModel.ts"

/** A dataset over an Arrow table; nothing is copied. */
export const fromTable = (table: Arrow.Table): Dataset => ({
  schema: table.schema,
  rows: table.numRows,
  batches: Stream.fromIterable(table.batches),
})

/**
 * Collects a dataset in memory. With `maxRows`, a dataset of more rows fails with `TooLarge` before
 * more is read; take the head with {@link slice} when that is what is wanted.
 */
export const table = (
  ds: Dataset,
  options: { readonly maxRows?: number } = {},
): Effect.Effect<Arrow.Table, DatasetError> => {
  const limit = options.maxRows ?? Number.POSITIVE_INFINITY
  const tooLarge = (rows: number): DatasetError =>
    new DatasetError({
      reason: "TooLarge",
      message: `the dataset has ${rows} rows or more, the limit is ${limit}; slice it, or raise maxRows`,
      field: "maxRows",
    })
  // Written so that a limit of NaN refuses rather than lets everything through.
  if (ds.rows !== undefined && !(ds.rows <= limit)) return Effect.fail(tooLarge(ds.rows))
  return Effect.suspend(() => {
    const batches: Array<Arrow.RecordBatch> = []
    let rows = 0
    return ds.batches.pipe(
      Stream.runForEach((batch) => {
        rows += batch.numRows
        if (!(rows <= limit)) return Effect.fail(tooLarge(rows))
        batches.push(batch)
        return Effect.void
      }),
      Effect.andThen(() => attempt(() => new Arrow.Table(ds.schema, batches))),
    )
  })
}

const pick = (batch: Arrow.RecordBatch, schema: Arrow.Schema, rows: Indices): Arrow.RecordBatch =>
  batchOf(
    schema,
    rows.length,
    schema.fields.map((_, i) => gather(childAt(batch, i), rows)),
  )

/** The rows whose mask byte is not 0; the mask has one byte for every row. */
export const filter = (ds: Dataset, mask: Uint8Array): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    if (ds.rows !== undefined && mask.length !== ds.rows) {
      throw invalid("mask", `the mask has ${mask.length} bytes, the dataset has ${ds.rows} rows`)
    }
    let kept = 0
    for (let i = 0; i < mask.length; i++) if (mask[i] !== 0) kept++
    let seen = 0
    const chosen = mapBatches(ds, ds.schema, (batch, first) => {
      if (first + batch.numRows > mask.length) {
        throw invalid("mask", `the mask has ${mask.length} bytes, the dataset has more rows`)
      }
      seen = first + batch.numRows
      const rows = new Int32Array(batch.numRows)
      let count = 0
      for (let i = 0; i < batch.numRows; i++) if (mask[first + i] !== 0) rows[count++] = i
      return count === batch.numRows ? batch : pick(batch, ds.schema, rows.subarray(0, count))
    })
    const checkAll = Effect.suspend(() => {
      if (seen === mask.length) return Effect.void
      return Effect.fail(
        invalid("mask", `the mask has ${mask.length} bytes, the dataset has ${seen} rows`),
      )
    })
    const batches =
      ds.rows === undefined ? Stream.concat(chosen, Stream.fromEffectDrain(checkAll)) : chosen
    return { schema: ds.schema, rows: kept, batches }
  })

/** The rows at the indices, in their order and as often as they occur. Collects the dataset. */
export const take = (ds: Dataset, indices: Indices): Effect.Effect<Dataset, DatasetError> =>
  Effect.flatMap(table(ds), (whole) =>
    attempt(() => {
      for (let i = 0; i < indices.length; i++) {
        const row = indices[i] ?? -1
        if (row < 0 || row >= whole.numRows) {
          throw invalid(`indices[${i}]`, `row ${row} is outside 0..${whole.numRows - 1}`)
        }
      }
      const children = ds.schema.fields.map((field, i) =>
        gather(
          join(
            field.type,
            whole.batches.map((batch) => childAt(batch, i)),
          ),
          indices,
        ),
      )
      const fields = ds.schema.fields.map(
        (f, i) => new Arrow.Field(f.name, children[i]?.type ?? f.type, f.nullable, f.metadata),
      )
      const schema = new Arrow.Schema(fields, ds.schema.metadata)
      return fromTable(new Arrow.Table(schema, [batchOf(schema, indices.length, children)]))
    }),
  )

/** Rows `start` (inclusive) to `end` (exclusive), cut to what there is; nothing is copied. */
export const slice = (
  ds: Dataset,
  start: number,
  end: number = Number.MAX_SAFE_INTEGER,
): Dataset => {
  const from = Math.max(0, Math.trunc(start))
  const to = Math.max(from, Math.trunc(end))
  const rows = ds.rows === undefined ? undefined : Math.max(0, Math.min(to, ds.rows) - from)
  const batches = Stream.suspend(() => {
    let row = 0
    return ds.batches.pipe(
      Stream.takeWhile(() => row < to),
      Stream.map((batch) => {
        const first = row
        row += batch.numRows
        const low = Math.max(0, from - first)
        const high = Math.min(batch.numRows, to - first)
        return low === 0 && high === batch.numRows ? batch : batch.slice(low, Math.max(low, high))
      }),
      Stream.filter((batch) => batch.numRows > 0),
    )
  })
  return { schema: ds.schema, rows, batches }
}

/** The rows of all datasets one after the other; their columns have the same names and types. */
export const concat = (datasets: ReadonlyArray<Dataset>): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    const [first, ...others] = datasets
    if (first === undefined)
      throw invalid("datasets", "there is nothing to concatenate; pass a dataset")
    const describe = (s: Arrow.Schema) =>
      s.fields.map((f) => `${f.name}: ${String(f.type)}`).join(", ")
    for (const [i, other] of others.entries()) {
      if (describe(other.schema) !== describe(first.schema)) {
        throw invalid(
          `datasets[${i + 1}]`,
          `its columns are (${describe(other.schema)}), those of the first are (${describe(first.schema)}); select and cast to the same columns`,
        )
      }
    }
    const counts = datasets.map((ds) => ds.rows)
    const rows = counts.reduce(
      (sum, n) => (sum === undefined || n === undefined ? undefined : sum + n),
      0,
    )
    // A column may have nulls where any of the datasets may.
    const schema = new Arrow.Schema(
      first.schema.fields.map((f, i) => {
        const nullable = datasets.some((ds) => ds.schema.fields[i]?.nullable === true)
        return nullable === f.nullable ? f : new Arrow.Field(f.name, f.type, nullable, f.metadata)
      }),
      first.schema.metadata,
    )
    const batches = datasets
      .map((ds) =>
        mapBatches(ds, schema, (batch) =>
          batchOf(
            schema,
            batch.numRows,
            schema.fields.map((_, i) => childAt(batch, i)),
          ),
        ),
      )
      .reduce((a, b) => Stream.concat(a, b))
    return { schema, rows, batches }
  })
