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
import { type ColumnInput, toData } from "./internal/columnInput.ts"
import { type ColumnKind, matches, nameOf } from "./internal/columnType.ts"
import { asDatasetError, attempt, type DatasetError, invalid } from "./internal/datasetError.ts"
import { batchOf, childAt, type Dataset, mapBatches, positionOf } from "./internal/datasetModel.ts"
import { fromTable } from "./internal/datasetRows.ts"
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
export type { Dataset } from "./internal/datasetModel.ts"
export { concat, filter, fromTable, slice, table, take } from "./internal/datasetRows.ts"

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

/** Only the named columns, in the order given. */
export const select = (
  ds: Dataset,
  names: ReadonlyArray<string>,
): Effect.Effect<Dataset, DatasetError> =>
  attempt(() => {
    const at = names.map((name) => positionOf(ds.schema, name))
    const twice = names.find((name, i) => names.indexOf(name) !== i)
    if (twice !== undefined) {
      throw invalid(twice, `column '${twice}' is selected twice; name each column once`)
    }
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
