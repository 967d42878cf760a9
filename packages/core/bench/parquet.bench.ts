/** Parquet and columns on three million flights, against the other ways to do the same. */
import { createHash } from "node:crypto"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { Dataset } from "@ashlar/core"
import * as parquet from "@ashlar/core/parquet"
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { parquetMetadataAsync, parquetRead } from "hyparquet"
import { compressors } from "hyparquet-compressors"
import { asyncBufferFromFile } from "hyparquet/src/node.js"
import {
  Compression,
  readParquet,
  Table,
  writeParquet,
  WriterPropertiesBuilder,
} from "parquet-wasm/node"

const file = fileURLToPath(
  new URL("../../../node_modules/vega-datasets/data/flights-3m.parquet", import.meta.url),
)
const run = <A, E>(effect: Effect.Effect<A, E>): Promise<A> => Effect.runPromise(effect)

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** Medians of both in ms, taken in turns. */
const compare = async (
  ours: () => Promise<unknown>,
  theirs: () => Promise<unknown>,
  times = 3,
): Promise<readonly [number, number]> => {
  const took: [Array<number>, Array<number>] = [[], []]
  for (let i = 0; i < times; i++) {
    for (const [k, work] of [ours, theirs].entries()) {
      globalThis.gc?.()
      const start = performance.now()
      await work()
      took[k]?.push(performance.now() - start)
    }
  }
  return [median(took[0]), median(took[1])]
}

const report = (bench: string, value: number, unit: string, against: string, bar: number): void => {
  const rounded = Math.round(value * 100) / 100
  console.log(JSON.stringify({ bench, value: rounded, unit, against, bar, pass: value <= bar }))
}

const drain = async (): Promise<void> => {
  const ds = await run(parquet.read(file))
  await run(Stream.runDrain(ds.batches))
}

// Memory first, before anything else has grown the process.
await run(parquet.read(file))
globalThis.gc?.()
const before = process.memoryUsage().rss
let peak = before
const stream = (await run(parquet.read(file))).batches
await run(
  Stream.runForEach(stream, () =>
    Effect.sync(() => {
      peak = Math.max(peak, process.memoryUsage().rss)
    }),
  ),
)
report("parquet.read.memory", (peak - before) / 2 ** 20, "MB over idle", "3,000,000 rows", 256)

const hyparquet = async (): Promise<void> => {
  const source = await asyncBufferFromFile(file)
  const metadata = await parquetMetadataAsync(source)
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    await parquetRead({ file: source, metadata, compressors, rowStart, rowEnd, onChunk: () => {} })
    rowStart = rowEnd
  }
}
const [read, readHyparquet] = await compare(drain, hyparquet)
report("parquet.read", read / readHyparquet, "x", `hyparquet ${readHyparquet.toFixed(0)} ms`, 1)

const whole = async (): Promise<void> => {
  const table = readParquet(await readFile(file), { batchSize: 131_072 })
  Arrow.tableFromIPC(table.intoIPCStream())
}
const [again, readWhole] = await compare(drain, whole)
report("parquet.read", again / readWhole, "x", `parquet-wasm ${readWhole.toFixed(0)} ms`, 1.1)

const folder = await mkdtemp(path.join(tmpdir(), "ashlar-bench-"))
try {
  const table = await run(Effect.flatMap(parquet.read(file), (ds) => Dataset.table(ds)))
  const ds = Dataset.fromTable(table)
  const [write, writeWhole] = await compare(
    () => run(parquet.write(ds, path.join(folder, "out.parquet"), { compression: "zstd" })),
    async () => {
      const properties = new WriterPropertiesBuilder().setCompression(Compression.ZSTD).build()
      return writeParquet(Table.fromIPCStream(Arrow.tableToIPC(table, "stream")), properties)
    },
  )
  const peer = `parquet-wasm in memory ${writeWhole.toFixed(0)} ms, no file, no digest`
  report("parquet.write", write / writeWhole, "x", peer, 1.5)

  const bytes = new Uint8Array(
    Math.ceil(table.data.reduce((sum, data) => sum + data.byteLength, 0)),
  )
  const [digest, sha] = await compare(
    () => run(Dataset.digest(ds)),
    async () => createHash("sha256").update(bytes).digest(),
  )
  report("dataset.digest", digest / sha, "x", `sha256 of its bytes ${sha.toFixed(0)} ms`, 2)

  const column = table.getChild("origin")
  const [codes, map] = await compare(
    () => run(Dataset.dictionary(table, "origin")),
    async () => {
      const known = new Map<unknown, number>()
      const out = new Int32Array(table.numRows)
      let row = 0
      for (const value of column ?? []) {
        let code = known.get(value)
        if (code === undefined) known.set(value, (code = known.size))
        out[row++] = code
      }
    },
  )
  report("dataset.dictionary", codes / map, "x", `a Map over strings ${map.toFixed(0)} ms`, 0.5)
} finally {
  await rm(folder, { recursive: true, force: true })
}
