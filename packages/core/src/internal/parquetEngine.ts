/**
 * Instances of the WebAssembly Parquet engine. A trap (a damaged page that makes it ask for more
 * memory than there is, say) leaves an instance unusable, and its memory never shrinks; so an
 * instance that failed or grew is thrown away, and only a healthy small one is kept. All calls are
 * synchronous: a trap inside one of the engine's promises could not be caught.
 */
import { createRequire } from "node:module"
import * as Arrow from "apache-arrow"
import type * as Engine from "parquet-wasm/node"

const keptBytes = 128 * 2 ** 20
let idle: typeof Engine | undefined

const load = (): typeof Engine => {
  // A new loader each time: a shared one would keep every instance it ever loaded alive.
  const loader = createRequire(import.meta.url)
  delete loader.cache[loader.resolve("parquet-wasm/node")]
  return loader("parquet-wasm/node")
}

/** Runs synchronous work on an instance; whatever it throws passes through. */
const withEngine = <A>(work: (engine: typeof Engine) => A): A => {
  const engine = idle ?? load()
  idle = undefined
  const result = work(engine)
  if (engine.wasmMemory().buffer.byteLength <= keptBytes) idle = engine
  return result
}

/** The Arrow schema of a file. */
export const schemaOf = (file: Uint8Array): Arrow.Schema =>
  withEngine((engine) => Arrow.tableFromIPC(engine.readSchema(file).intoIPCStream()).schema)

/** A schema as Parquet files keep it in their `ARROW:schema` metadata. */
export const schemaText = (schema: Arrow.Schema): string => {
  const stream = Arrow.tableToIPC(new Arrow.Table(schema), "stream")
  // The end-of-stream marker takes the last 8 bytes.
  return Buffer.from(stream.subarray(0, stream.length - 8)).toString("base64")
}

/** Decodes a file. (The engine's own choice of columns does nothing in a synchronous read.) */
export const decode = (file: Uint8Array, batchRows: number): ReadonlyArray<Arrow.RecordBatch> =>
  withEngine((engine) => {
    const table = engine.readParquet(file, { batchSize: batchRows })
    try {
      const batches: Array<Arrow.RecordBatch> = []
      for (let i = 0; i < table.numBatches; i++) {
        const batch = table.recordBatch(i)
        if (batch !== undefined) batches.push(...Arrow.tableFromIPC(batch.intoIPCStream()).batches)
      }
      return batches
    } finally {
      table.free()
    }
  })

const codec = { zstd: "ZSTD", snappy: "SNAPPY", none: "UNCOMPRESSED" } as const

/** Encodes a table as a file of one row group. */
export const encodeGroup = (
  table: Arrow.Table,
  options: {
    readonly compression?: keyof typeof codec
    readonly metadata?: Readonly<Record<string, string>>
  },
): Uint8Array =>
  withEngine((engine) => {
    const properties = new engine.WriterPropertiesBuilder()
      .setCompression(engine.Compression[codec[options.compression ?? "zstd"]])
      .setKeyValueMetadata(new Map(Object.entries(options.metadata ?? {})))
      .setMaxRowGroupSize(Math.max(1, table.numRows))
      .build()
    return engine.writeParquet(
      engine.Table.fromIPCStream(Arrow.tableToIPC(table, "stream")),
      properties,
    )
  })
