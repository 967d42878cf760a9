/**
 * Parquet files in and out of datasets, one row group in memory at a time.
 *
 * The codec is Apache Arrow's Rust one, compiled to WebAssembly (`parquet-wasm`). It is given one
 * row group a call; a damaged file makes that call fail, and never later ones.
 *
 * @module
 */
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BlobStore from "./BlobStore.ts"
import * as Dataset from "./Dataset.ts"
import type { Digest } from "./Digest.ts"
import { join } from "./internal/arrowData.ts"
import { writeAtomically } from "./internal/atomicFile.ts"
import { narrow } from "./internal/columnText.ts"
import { DatasetError, invalid } from "./internal/datasetError.ts"
import { decode, encodeGroup, schemaOf, schemaText } from "./internal/parquetEngine.ts"
import * as Layout from "./internal/parquetLayout.ts"
import { ioError, open, pathOf, type RangeReader } from "./internal/parquetSource.ts"
import { TableDigest } from "./internal/tableDigest.ts"

export type { RangeReader } from "./internal/parquetSource.ts"

/** What a file may ask for before it is refused with `TooLarge`. */
export interface Limits {
  /** Rows of the file; default no limit. */
  readonly rows?: number
  /** Decoded bytes of the selected columns of one row group; default 1 GiB. */
  readonly groupBytes?: number
  /** Bytes of the footer; default 64 MiB. */
  readonly footerBytes?: number
}

/** How to read. */
export interface ReadOptions {
  /** Only these columns; default all. Only their bytes are read. */
  readonly columns?: ReadonlyArray<string>
  /** Most rows of a batch; default 131072. */
  readonly batchRows?: number
  readonly limits?: Limits
}

/** How to write. */
export interface WriteOptions {
  /** Default `zstd`. */
  readonly compression?: "zstd" | "snappy" | "none"
  /** Key-value metadata of the file. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Rows of a row group; default 262144. */
  readonly groupRows?: number
}

/** What was written. */
export interface Written {
  readonly rows: number
  readonly bytes: number
  /** Content digest of the rows, as `Dataset.digest` gives it. */
  readonly digest: Digest
}

const reasons: Partial<Record<BlobStore.BlobStoreError["reason"], DatasetError["reason"]>> = {
  InvalidInput: "InvalidInput",
  NotFound: "NotFound",
  Corrupt: "Corrupt",
}

const notRows = (field: string, rows: number): DatasetError =>
  invalid(field, `${field} is ${rows}; give a whole number from 1 to 2^31 - 1`)

const isRows = (rows: number): boolean => Number.isInteger(rows) && rows >= 1 && rows < 2 ** 31

const narrowBatch = (batch: Arrow.RecordBatch, schema: Arrow.Schema): Arrow.RecordBatch =>
  new Arrow.RecordBatch(
    schema,
    new Arrow.Data(
      new Arrow.Struct(schema.fields),
      0,
      batch.numRows,
      0,
      {},
      batch.data.children.map(narrow),
    ),
  )

/** The columns asked for, in the file's order, with `LargeUtf8` read as `Utf8`. */
const selectFields = (
  schema: Arrow.Schema,
  columns: ReadonlyArray<string> | undefined,
): Arrow.Schema => {
  const names = schema.fields.map((field) => field.name)
  const missing = columns?.find((name) => !names.includes(name))
  if (missing !== undefined) {
    throw invalid(
      missing,
      `no column '${missing}'; the file has ${names.map((n) => `'${n}'`).join(", ")}`,
    )
  }
  const wanted = new Set(columns ?? names)
  const fields = schema.fields
    .filter((field) => wanted.has(field.name))
    .map((f) =>
      Arrow.DataType.isLargeUtf8(f.type)
        ? new Arrow.Field(f.name, new Arrow.Utf8(), f.nullable, f.metadata)
        : f,
    )
  return new Arrow.Schema(fields, schema.metadata)
}

const layoutOf = Effect.fnUntraced(function* (
  reader: RangeReader,
  limits: Limits,
): Effect.fn.Return<Layout.Layout, DatasetError> {
  const { name, size } = reader
  const footerLimit = limits.footerBytes ?? 64 * 2 ** 20
  if (size < 12) {
    return yield* new DatasetError({
      reason: "InvalidInput",
      message: `${name} is not a Parquet file: it has ${size} bytes`,
    })
  }
  const head = yield* reader.read(0, 4)
  const tail = yield* reader.read(size - 8, size)
  const attempt = <A>(body: () => A): Effect.Effect<A, DatasetError> =>
    Effect.try({ try: body, catch: (e) => (e instanceof DatasetError ? e : ioError(name, e)) })
  const length = yield* attempt(() => Layout.footerLength(name, size, head, tail, footerLimit))
  const start = size - 8 - length
  const footer = yield* reader.read(start, size - 8)
  const layout = yield* attempt(() => Layout.parse(name, footer, start, footerLimit))
  if (!(layout.rows <= (limits.rows ?? Number.POSITIVE_INFINITY))) {
    return yield* new DatasetError({
      reason: "TooLarge",
      message: `${name} has ${layout.rows} rows, the limit is ${limits.rows}; raise limits.rows or split it`,
      field: "limits.rows",
    })
  }
  return layout
})

const readGroup = Effect.fnUntraced(function* (
  reader: RangeReader,
  layout: Layout.Layout,
  index: number,
  schema: Arrow.Schema,
  options: ReadOptions,
): Effect.fn.Return<ReadonlyArray<Arrow.RecordBatch>, DatasetError> {
  const group = layout.groups[index]
  if (group === undefined || group.rows === 0) return []
  const columns = new Set(schema.fields.map((field) => field.name))
  const limit = options.limits?.groupBytes ?? 2 ** 30
  const decoded = group.decoded(columns)
  if (!(decoded <= limit)) {
    return yield* new DatasetError({
      reason: "TooLarge",
      message: `row group ${index} of ${reader.name} takes ${decoded} bytes decoded, the limit is ${limit}; read fewer columns, or raise limits.groupBytes`,
      field: "limits.groupBytes",
    })
  }
  const parts = yield* Effect.forEach(
    Layout.ranges(group, columns),
    ({ start, end }) => Effect.map(reader.read(start, end), (bytes) => ({ start, bytes })),
    { concurrency: 4 },
  )
  return yield* Effect.try({
    try: () => {
      const file = Layout.groupFile(layout, group, columns, schemaText(schema), parts)
      const batches = decode(file, options.batchRows ?? 131_072).map((batch) =>
        narrowBatch(batch, schema),
      )
      const rows = batches.reduce((sum, batch) => sum + batch.numRows, 0)
      if (rows !== group.rows) throw new Error(`it has ${rows} rows, its footer says ${group.rows}`)
      return batches
    },
    catch: (cause) =>
      new DatasetError({
        reason: "Corrupt",
        message: `row group ${index} of ${reader.name} cannot be decoded (${cause instanceof Error ? cause.message : String(cause)}); the file is damaged, copy or write it again`,
        cause,
      }),
  })
})

/**
 * Opens a Parquet file, bytes or a range reader as a dataset. Reading it holds one row group in
 * memory and can be repeated; text is read as `Utf8`. Fails with `NotFound`, `InvalidInput` (not
 * Parquet, unknown column), `Corrupt` (truncated, damaged) or `TooLarge` (over a limit).
 */
export const read = Effect.fnUntraced(function* (
  source: string | URL | Uint8Array | RangeReader,
  options: ReadOptions = {},
): Effect.fn.Return<Dataset.Dataset, DatasetError> {
  const limits = options.limits ?? {}
  if (options.batchRows !== undefined && !isRows(options.batchRows)) {
    return yield* notRows("batchRows", options.batchRows)
  }
  const opened = yield* Effect.scoped(
    Effect.gen(function* () {
      const reader = yield* open(source)
      const layout = yield* layoutOf(reader, limits)
      const schema = yield* Effect.try({
        try: () => selectFields(schemaOf(Layout.schemaFile(layout)), options.columns),
        catch: (cause) =>
          cause instanceof DatasetError
            ? cause
            : new DatasetError({
                reason: "Corrupt",
                message: `the schema of ${reader.name} cannot be read (${String(cause)}); the file is damaged or uses a type Arrow does not have`,
                cause,
              }),
      })
      return { layout, schema, size: reader.size }
    }),
  )
  const { layout, schema } = opened
  const batches = Stream.unwrap(
    Effect.gen(function* () {
      const reader = yield* open(source)
      if (reader.size !== opened.size) {
        return yield* new DatasetError({
          reason: "Corrupt",
          message: `${reader.name} had ${opened.size} bytes when it was opened and has ${reader.size} now; open it again`,
        })
      }
      return Stream.range(0, layout.groups.length - 1).pipe(
        Stream.flatMap((index) =>
          Stream.unwrap(
            Effect.map(readGroup(reader, layout, index, schema, options), Stream.fromIterable),
          ),
        ),
      )
    }),
  )
  return { schema, rows: layout.rows, batches }
})

/** A range reader over a blob. Fails with `InvalidInput` (no key), `NotFound`, `Corrupt` or `Unavailable`. */
export const blobReader = Effect.fnUntraced(function* (
  store: BlobStore.BlobStore["Service"],
  key: string,
): Effect.fn.Return<RangeReader, DatasetError> {
  const failed = (cause: BlobStore.BlobStoreError): DatasetError =>
    new DatasetError({
      reason: reasons[cause.reason] ?? "Unavailable",
      message: `blob '${key}' cannot be read: ${cause.message}`,
      cause,
    })
  const info = yield* Effect.mapError(store.head(key), failed)
  return {
    name: `blob '${key}'`,
    size: info.size,
    read: (start, end) =>
      store.get(key, { start, end }).pipe(
        Stream.runCollect,
        Effect.map((chunks) => Buffer.concat(chunks)),
        Effect.mapError(failed),
      ),
  }
})

/**
 * Writes a dataset as a Parquet file, whole or not at all: it is written beside the target, synced
 * and renamed. Holds one row group in memory. Fails with the dataset's own error, or with
 * `OutOfSpace`, `NotFound` (no such folder), `Unavailable`.
 */
export const write = Effect.fnUntraced(function* (
  ds: Dataset.Dataset,
  file: string | URL,
  options: WriteOptions = {},
): Effect.fn.Return<Written, DatasetError> {
  const target = yield* pathOf(file)
  const { groupRows = 262_144 } = options
  if (!isRows(groupRows)) return yield* notRows("groupRows", groupRows)
  return yield* writeAtomically(
    target,
    (cause) => ioError(target, cause),
    Effect.fnUntraced(function* (handle): Effect.fn.Return<Written, DatasetError> {
      const digest = new TableDigest(ds.schema)
      const joiner = new Layout.Joiner()
      let pending: Array<Arrow.RecordBatch> = []
      let pendingRows = 0
      let rows = 0
      let bytes = 0
      const append = (chunk: Uint8Array) =>
        Effect.tryPromise({
          try: async () => {
            await handle.writeFile(chunk)
            bytes += chunk.length
          },
          catch: (cause) => ioError(target, cause),
        })
      const flush = Effect.suspend(() => {
        const batches = pending
        pending = []
        pendingRows = 0
        return Effect.flatMap(
          Effect.try({
            try: () => joiner.add(encodeGroup(joinBatches(ds.schema, batches), options)),
            catch: (cause) =>
              cause instanceof DatasetError
                ? cause
                : invalid("schema", `the table cannot be written as Parquet: ${String(cause)}`),
          }),
          append,
        )
      })
      yield* append(Buffer.from("PAR1"))
      yield* Stream.runForEach(
        ds.batches,
        Effect.fnUntraced(function* (batch) {
          yield* Effect.try({
            try: () => digest.update(batch),
            catch: (cause) =>
              cause instanceof DatasetError ? cause : invalid("batch", String(cause)),
          })
          rows += batch.numRows
          for (let at = 0; at < batch.numRows;) {
            const part = batch.slice(at, Math.min(batch.numRows, at + groupRows - pendingRows))
            pending.push(part)
            pendingRows += part.numRows
            at += part.numRows
            if (pendingRows === groupRows) yield* flush
          }
        }),
      )
      if (pendingRows > 0 || rows === 0) yield* flush
      for (const chunk of joiner.finish()) yield* append(chunk)
      return { rows, bytes, digest: digest.finish() }
    }),
  )
})

/** One batch of all rows, so that every dictionary column has one dictionary. */
const joinBatches = (
  schema: Arrow.Schema,
  batches: ReadonlyArray<Arrow.RecordBatch>,
): Arrow.Table => {
  const rows = batches.reduce((sum, batch) => sum + batch.numRows, 0)
  const columns = schema.fields.map((field, i) =>
    join(
      field.type,
      batches.flatMap((batch) => batch.data.children[i]?.slice(0, batch.numRows) ?? []),
    ),
  )
  const fields = schema.fields.map(
    (f, i) => new Arrow.Field(f.name, columns[i]?.type ?? f.type, true, f.metadata),
  )
  const joined = new Arrow.Schema(fields, schema.metadata)
  const data = new Arrow.Data(new Arrow.Struct(fields), 0, rows, 0, {}, columns)
  return new Arrow.Table(joined, [new Arrow.RecordBatch(joined, data)])
}
