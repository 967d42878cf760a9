/**
 * A table: an Arrow schema and a stream of record batches that can be read more than once.
 *
 * The operations take and give datasets and touch one batch at a time; {@link table} collects one
 * in memory, and the column readers ({@link float64}, {@link micros}, {@link dictionary} ...) give
 * its columns as contiguous typed arrays, fast enough for millions of rows.
 *
 * @module
 */
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Digest } from "./Digest.ts"
import { gather, type Indices, join } from "./internal/arrowData.ts"
import { type ColumnInput, toData } from "./internal/columnInput.ts"
import { type ColumnKind, matches, nameOf } from "./internal/columnType.ts"
import { asDatasetError, attempt, DatasetError, invalid } from "./internal/datasetError.ts"
import { TableDigest } from "./internal/tableDigest.ts"

export type { Indices } from "./internal/arrowData.ts"
export type { ColumnInput, NumericArray } from "./internal/columnInput.ts"
export {
  bigint64,
  booleans,
  dictionary,
  float32,
  float64,
  matrix,
  micros,
  strings,
  valid,
} from "./internal/columnRead.ts"
export type { Codes } from "./internal/columnText.ts"
export type { ColumnKind } from "./internal/columnType.ts"
export { DatasetError } from "./internal/datasetError.ts"

/** A table that is read batch by batch. */
export interface Dataset {
  readonly schema: Arrow.Schema
  /** Rows, when known without reading. */
  readonly rows: number | undefined
  readonly batches: Stream.Stream<Arrow.RecordBatch, DatasetError>
}

/** Where a dataset's bytes are, and what they must be. */
export const DatasetRef = Schema.Struct({
  name: Schema.NonEmptyString,
  /** `file:` or blob URI of a Parquet file. */
  uri: Schema.NonEmptyString,
  digest: Schema.optionalKey(Digest),
  rows: Schema.optionalKey(Schema.Int),
})

/** A reference to a stored dataset. */
export type DatasetRef = typeof DatasetRef.Type

/** Columns by name, in order. */
export type Columns = Readonly<Record<string, ColumnInput>>

const batchOf = (
  schema: Arrow.Schema,
  rows: number,
  children: Array<Arrow.Data>,
): Arrow.RecordBatch =>
  new Arrow.RecordBatch(
    schema,
    new Arrow.Data(new Arrow.Struct(schema.fields), 0, rows, 0, {}, children),
  )

const quoted = (names: ReadonlyArray<string>): string => names.map((n) => `'${n}'`).join(", ")

const namesOf = (schema: Arrow.Schema): ReadonlyArray<string> => schema.fields.map((f) => f.name)

const positionOf = (schema: Arrow.Schema, name: string): number => {
  const at = schema.fields.findIndex((field) => field.name === name)
  if (at < 0) throw invalid(name, `no column '${name}'; the dataset has ${quoted(namesOf(schema))}`)
  return at
}

const childAt = (batch: Arrow.RecordBatch, at: number): Arrow.Data => {
  const data = batch.data.children[at]
  if (data === undefined) {
    throw new DatasetError({
      reason: "Corrupt",
      message: `a batch has ${batch.data.children.length} columns, its schema says more`,
    })
  }
  return data.length === batch.numRows ? data : data.slice(0, batch.numRows)
}

const mapBatches = (
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

/** A dataset over an Arrow table; nothing is copied. */
export const fromTable = (table: Arrow.Table): Dataset => ({
  schema: table.schema,
  rows: table.numRows,
  batches: Stream.fromIterable(table.batches),
})

/**
 * A dataset over batches of one schema. An iterable or stream that can be read only once makes a
 * dataset that can be read only once.
 */
export const fromBatches = (
  schema: Arrow.Schema,
  batches: Iterable<Arrow.RecordBatch> | Stream.Stream<Arrow.RecordBatch, DatasetError>,
): Dataset => ({
  schema,
  rows: Array.isArray(batches)
    ? batches.reduce((sum: number, batch: Arrow.RecordBatch) => sum + batch.numRows, 0)
    : undefined,
  batches: Stream.isStream(batches) ? batches : Stream.fromIterable(batches),
})

/**
 * A dataset from columns in memory, all of one length: typed arrays, arrays of strings, numbers,
 * booleans or bigints with `null` for no value, `{ micros }` for UTC instants in microseconds,
 * `{ codes, values }` for dictionary-encoded text. Typed arrays are not copied.
 *
 * @example
 * ```ts
 * import { Dataset } from "@ashlar/core"
 * import * as Effect from "effect/Effect"
 *
 * const flights = Dataset.fromColumns({
 *   delay: Float64Array.of(3, -2, 41),
 *   origin: ["SFO", "JFK", "SFO"],
 *   departure: { micros: Float64Array.of(0, 60e6, 120e6) },
 * })
 * const late = flights.pipe(
 *   Effect.flatMap((ds) => Dataset.table(ds)),
 *   Effect.flatMap((table) => Dataset.dictionary(table, "origin")),
 * )
 * Array.from(Effect.runSync(late).codes) // => [0, 1, 0]
 * ```
 */
export const fromColumns = (columns: Columns): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    const data = Object.entries(columns).map(
      ([name, input]) => [name, toData(name, input)] as const,
    )
    const rows = data[0]?.[1].length ?? 0
    for (const [name, column] of data) {
      if (column.length !== rows) {
        throw invalid(
          name,
          `column '${name}' has ${column.length} rows, '${data[0]?.[0]}' has ${rows}; all columns need the same length`,
        )
      }
    }
    const schema = new Arrow.Schema(
      data.map(([name, column]) => new Arrow.Field(name, column.type, column.nullCount > 0)),
    )
    const batch = batchOf(
      schema,
      rows,
      data.map(([, column]) => column),
    )
    return fromTable(new Arrow.Table(schema, rows === 0 ? [] : [batch]))
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
  if (ds.rows !== undefined && ds.rows > limit) return Effect.fail(tooLarge(ds.rows))
  return Effect.suspend(() => {
    const batches: Array<Arrow.RecordBatch> = []
    let rows = 0
    return ds.batches.pipe(
      Stream.runForEach((batch) => {
        rows += batch.numRows
        if (rows > limit) return Effect.fail(tooLarge(rows))
        batches.push(batch)
        return Effect.void
      }),
      Effect.andThen(() => attempt(() => new Arrow.Table(ds.schema, batches))),
    )
  })
}

/** Only the named columns, in the order given. */
export const select = (
  ds: Dataset,
  names: ReadonlyArray<string>,
): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    const at = names.map((name) => positionOf(ds.schema, name))
    const fields = at.flatMap((i) => ds.schema.fields[i] ?? [])
    const schema = new Arrow.Schema(fields, ds.schema.metadata)
    const batches = mapBatches(ds, schema, (batch) =>
      batchOf(
        schema,
        batch.numRows,
        at.map((i) => childAt(batch, i)),
      ),
    )
    return { schema, rows: ds.rows, batches }
  })

/** New names for columns, `{ old: "new" }`; the others keep theirs. */
export const rename = (
  ds: Dataset,
  names: Readonly<Record<string, string>>,
): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    for (const name of Object.keys(names)) positionOf(ds.schema, name)
    const renamed = ds.schema.fields.map((field) =>
      Object.hasOwn(names, field.name)
        ? new Arrow.Field(
            names[field.name] ?? field.name,
            field.type,
            field.nullable,
            field.metadata,
          )
        : field,
    )
    const twice = renamed.find((f, i) => renamed.findIndex((g) => g.name === f.name) !== i)
    if (twice !== undefined) {
      throw invalid(twice.name, `two columns would be called '${twice.name}'; choose another name`)
    }
    const schema = new Arrow.Schema(renamed, ds.schema.metadata)
    const batches = mapBatches(ds, schema, (batch) =>
      batchOf(
        schema,
        batch.numRows,
        renamed.map((_, i) => childAt(batch, i)),
      ),
    )
    return { schema, rows: ds.rows, batches }
  })

/** Adds columns, or replaces those of the same name; they have one value for every row. */
export const withColumns = (ds: Dataset, columns: Columns): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    const added = Object.entries(columns).map(
      ([name, input]) => [name, toData(name, input)] as const,
    )
    const check = (rows: number): void => {
      for (const [name, data] of added) {
        if (data.length !== rows) {
          throw invalid(name, `column '${name}' has ${data.length} rows, the dataset has ${rows}`)
        }
      }
    }
    if (ds.rows !== undefined) check(ds.rows)
    const fields = [...ds.schema.fields]
    const places = added.map(([name, data]) => {
      const field = new Arrow.Field(name, data.type, data.nullCount > 0)
      const at = fields.findIndex((f) => f.name === name)
      if (at < 0) return fields.push(field) - 1
      fields[at] = field
      return at
    })
    const schema = new Arrow.Schema(fields, ds.schema.metadata)
    let seen = 0
    const widened = mapBatches(ds, schema, (batch, first) => {
      seen = first + batch.numRows
      const children = ds.schema.fields.map((_, i) => childAt(batch, i))
      added.forEach(([name, data], i) => {
        if (seen > data.length) {
          throw invalid(name, `column '${name}' has ${data.length} rows, the dataset has more`)
        }
        children[places[i] ?? children.length] = data.slice(first, batch.numRows)
      })
      return batchOf(schema, batch.numRows, children)
    })
    const atEnd = Stream.fromEffectDrain(Effect.suspend(() => attempt(() => check(seen))))
    const batches = ds.rows === undefined ? Stream.concat(widened, atEnd) : widened
    return { schema, rows: ds.rows, batches }
  })

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
    const batches = mapBatches(ds, ds.schema, (batch, first) => {
      if (first + batch.numRows > mask.length) {
        throw invalid("mask", `the mask has ${mask.length} bytes, the dataset has more rows`)
      }
      const rows = new Int32Array(batch.numRows)
      let count = 0
      for (let i = 0; i < batch.numRows; i++) if (mask[first + i] !== 0) rows[count++] = i
      return count === batch.numRows ? batch : pick(batch, ds.schema, rows.subarray(0, count))
    })
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
    const batches = datasets
      .map((ds) =>
        mapBatches(ds, first.schema, (batch) =>
          batchOf(
            first.schema,
            batch.numRows,
            first.schema.fields.map((_, i) => childAt(batch, i)),
          ),
        ),
      )
      .reduce((a, b) => Stream.concat(a, b))
    return { schema: first.schema, rows, batches }
  })

/**
 * Checks that columns are there and of the kind wanted, and gives the dataset back. `number` and
 * `integer` take any width; text may be dictionary encoded.
 */
export const expect = (
  ds: Dataset,
  wanted: Readonly<Record<string, ColumnKind>>,
): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    for (const [name, kind] of Object.entries(wanted)) {
      const type = ds.schema.fields[positionOf(ds.schema, name)]?.type
      if (type !== undefined && !matches(type, kind)) {
        throw invalid(
          name,
          `column '${name}' is ${nameOf(type)}, wanted ${kind}; cast it or select another column`,
        )
      }
    }
    return ds
  })

/**
 * The content digest: SHA-256 over the names, types and values of all columns, the same however the
 * rows are cut into batches, dictionary encoded or stored. Reads the dataset once.
 */
export const digest = (ds: Dataset): Effect.Effect<Digest, DatasetError> =>
  Effect.suspend(() => {
    const state = new TableDigest(ds.schema)
    return ds.batches.pipe(
      Stream.runForEach((batch) =>
        Effect.try({ try: () => state.update(batch), catch: asDatasetError }),
      ),
      Effect.andThen(() => Effect.sync(() => state.finish())),
    )
  })
