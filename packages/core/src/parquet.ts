/**
 * Parquet files in and out of datasets.
 *
 * @module
 */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { randomUUID } from "node:crypto"
import { fileURLToPath } from "node:url"
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Dataset from "./Dataset.ts"
import type { Digest } from "./Digest.ts"
import { narrow } from "./internal/columnText.ts"
import { DatasetError } from "./internal/datasetError.ts"
import { withEngine } from "./internal/parquetEngine.ts"

/** How to read. */
export interface ReadOptions {
  /** Only these columns; default all. */
  readonly columns?: ReadonlyArray<string>
}

/** How to write. */
export interface WriteOptions {
  /** Default `zstd`. */
  readonly compression?: "zstd" | "snappy" | "none"
  /** Key-value metadata of the file. */
  readonly metadata?: Readonly<Record<string, string>>
}

/** What was written. */
export interface Written {
  readonly rows: number
  readonly bytes: number
  /** Content digest of the rows, as {@link Dataset.digest} gives it. */
  readonly digest: Digest
}

const failure = (reason: DatasetError["reason"], message: string, cause?: unknown): DatasetError =>
  new DatasetError({ reason, message, ...(cause === undefined ? {} : { cause }) })

const ioError = (file: string, cause: unknown): DatasetError => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : ""
  if (code === "ENOENT") return failure("NotFound", `no file '${file}'; check the path`, cause)
  if (code === "ENOSPC" || code === "EDQUOT") {
    return failure(
      "OutOfSpace",
      `no space left to write '${file}'; free some and write again`,
      cause,
    )
  }
  return failure("Unavailable", `'${file}' cannot be accessed: ${String(cause)}`, cause)
}

const pathOf = (file: string | URL): string => (file instanceof URL ? fileURLToPath(file) : file)

const narrowBatch = (batch: Arrow.RecordBatch): Arrow.RecordBatch => {
  const children = batch.data.children.map(narrow)
  const fields = batch.schema.fields.map(
    (f, i) => new Arrow.Field(f.name, children[i]?.type ?? f.type, f.nullable, f.metadata),
  )
  const schema = new Arrow.Schema(fields, batch.schema.metadata)
  return new Arrow.RecordBatch(
    schema,
    new Arrow.Data(new Arrow.Struct(fields), 0, batch.numRows, 0, {}, children),
  )
}

/** Opens a Parquet file or its bytes as a dataset. */
export const read = Effect.fnUntraced(function* (
  source: string | URL | Uint8Array,
  options: ReadOptions = {},
): Effect.fn.Return<Dataset.Dataset, DatasetError> {
  const bytes =
    source instanceof Uint8Array
      ? source
      : yield* Effect.tryPromise({
          try: () => fs.readFile(source),
          catch: (cause) => ioError(pathOf(source), cause),
        })
  const decoded = yield* Effect.try({
    try: () =>
      withEngine((engine) => {
        const table = engine.readParquet(bytes, {
          batchSize: 131_072,
          ...(options.columns === undefined ? {} : { columns: [...options.columns] }),
        })
        return Arrow.tableFromIPC(table.intoIPCStream())
      }),
    catch: (cause) =>
      failure("Corrupt", `the Parquet data cannot be read: ${String(cause)}`, cause),
  })
  const batches = decoded.batches.map(narrowBatch)
  const schema = batches[0]?.schema ?? decoded.schema
  return Dataset.fromTable(new Arrow.Table(schema, batches))
})

/** Writes a dataset as a Parquet file, whole or not at all. */
export const write = Effect.fnUntraced(function* (
  ds: Dataset.Dataset,
  file: string | URL,
  options: WriteOptions = {},
): Effect.fn.Return<Written, DatasetError> {
  const target = pathOf(file)
  const table = yield* Dataset.table(ds)
  const digest = yield* Dataset.digest(ds)
  const bytes = yield* Effect.try({
    try: () =>
      withEngine((engine) => {
        const codec = { zstd: "ZSTD", snappy: "SNAPPY", none: "UNCOMPRESSED" } as const
        const properties = new engine.WriterPropertiesBuilder()
          .setCompression(engine.Compression[codec[options.compression ?? "zstd"]])
          .setKeyValueMetadata(new Map(Object.entries(options.metadata ?? {})))
          .build()
        return engine.writeParquet(
          engine.Table.fromIPCStream(Arrow.tableToIPC(table, "stream")),
          properties,
        )
      }),
    catch: (cause) =>
      failure("InvalidInput", `the table cannot be written as Parquet: ${String(cause)}`, cause),
  })
  const staged = path.join(path.dirname(target), `.${path.basename(target)}.${randomUUID()}.tmp`)
  yield* Effect.tryPromise({
    try: async () => {
      const handle = await fs.open(staged, "wx")
      try {
        await handle.writeFile(bytes)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await fs.rename(staged, target)
    },
    catch: (cause) => ioError(target, cause),
  }).pipe(Effect.onError(() => Effect.promise(() => fs.rm(staged, { force: true }))))
  return { rows: table.numRows, bytes: bytes.length, digest }
})
