/**
 * The offline store: events of a source as Parquet files in the BlobStore, listed in the Database.
 * The list is written last and in one transaction, so an interrupted ingest leaves nothing behind
 * that counts; its files are named by their content and written again by the next attempt.
 */
import { type BlobStore, type Database, Dataset, Digest, Id, Name, Timestamp } from "@ashlar/core"
import * as Parquet from "@ashlar/core/parquet"
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FeatureStoreError } from "../FeatureStoreError.ts"
import type { Source } from "../Source.ts"
import { fromCause, invalid } from "./failures.ts"
import type { Tables } from "./migrations.ts"
import type { ColumnUse } from "./sourceColumns.ts"

/** Rows of one file; bounds the memory of an ingest. */
const partRows = 1_000_000

/** What an ingest did. */
export interface Ingested {
  readonly source: string
  readonly key: string
  /** Position among the ingests of the source, from 1. */
  readonly sequence: number
  readonly rows: number
  readonly digest: Digest.Digest
  /** True when this key had been ingested before, with the same rows. */
  readonly repeated: boolean
}

interface Part {
  readonly blob: string
  readonly rows: number
  readonly digest: Digest.Digest
}

/** The offline store. */
export interface Offline {
  readonly ingest: (
    source: Source,
    dataset: Dataset.Dataset,
    key: string,
    uses: Uses,
  ) => Effect.Effect<Ingested, FeatureStoreError>
  /** Sequence of the latest ingest of a source, 0 when there is none. */
  readonly revision: (source: string) => Effect.Effect<number, FeatureStoreError>
  /** Tables of the source's parts up to a revision, in ingest order, with these columns only. */
  readonly read: (
    source: string,
    revision: number,
    columns: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<Arrow.Table>, FeatureStoreError>
}

/** Columns that views read, and how; a column may be read in several ways. */
export type Uses = ReadonlyArray<readonly [name: string, use: ColumnUse]>

/**
 * Squares of larger numbers, added up over millions of events, would overflow, and spoil a window
 * for good. Nothing that is measured comes near; the largest double as a mark for "none" does.
 */
const largest = 1e140

const refuseHuge = (table: Arrow.Table, firstRow: number): void => {
  for (const field of table.schema.fields) {
    if (!Arrow.DataType.isFloat(field.type)) continue
    const half = field.type.precision === Arrow.Precision.HALF
    let row = firstRow
    for (const chunk of table.getChild(field.name)?.data ?? []) {
      const values: Float64Array | Float32Array | Uint16Array = chunk.values
      for (let i = 0; i < chunk.length; i++, row++) {
        const x = values[i] as number
        // Half floats are their bits here: all ones in the exponent, nothing after it.
        const isHuge = half ? (x & 0x7fff) === 0x7c00 : x > largest || x < -largest
        if (isHuge && chunk.getValid(i)) {
          throw invalid(
            field.name,
            `column '${field.name}' row ${row} is ${half ? "infinite" : x}; store a missing value (null or NaN) or a number within 1e140`,
          )
        }
      }
    }
  }
}

/**
 * Checks events before they are kept: what cannot be read later would make a source useless for
 * good, because events are never taken out.
 */
export const check = Effect.fnUntraced(function* (
  source: Source,
  table: Arrow.Table,
  firstRow: number,
  uses: Uses,
) {
  const times = yield* Dataset.micros(table, source.timestamp)
  const bad = times.findIndex((time) => !Number.isSafeInteger(time))
  if (bad >= 0) {
    return yield* invalid(
      source.timestamp,
      `column '${source.timestamp}' row ${firstRow + bad} has no usable time; every event needs one`,
    )
  }
  if (source.created !== undefined) yield* Dataset.micros(table, source.created)
  for (const [name, use] of uses) {
    if (use === "text") yield* Dataset.expect(Dataset.fromTable(table), { [name]: "string" })
    else if (use === "number") yield* Dataset.float64(table, name)
  }
  return yield* Effect.try({ try: () => refuseHuge(table, firstRow), catch: fromCause })
}, Effect.mapError(fromCause))

/** Cuts a dataset into tables of a fixed number of rows, whatever its batches are. */
const parts = <E, R>(
  dataset: Dataset.Dataset,
  use: (table: Arrow.Table, firstRow: number) => Effect.Effect<void, E, R>,
) =>
  Effect.gen(function* () {
    let held: Array<Arrow.RecordBatch> = []
    let rows = 0
    let done = 0
    const flush = Effect.suspend(() => {
      const table = new Arrow.Table(dataset.schema, held)
      const first = done
      held = []
      done += rows
      rows = 0
      return use(table, first)
    })
    yield* Stream.runForEach(dataset.batches, (batch) =>
      Effect.gen(function* () {
        for (let start = 0; start < batch.numRows;) {
          const end = Math.min(batch.numRows, start + partRows - rows)
          held.push(batch.slice(start, end))
          rows += end - start
          start = end
          if (rows === partRows) yield* flush
        }
      }),
    )
    if (rows > 0 || done === 0) yield* flush
  })

/** Parquet bytes of a table, by way of a temporary file. */
const encode = (table: Arrow.Table) =>
  Effect.acquireUseRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "ashlar-ingest-"))),
    (folder) =>
      Effect.gen(function* () {
        const file = join(folder, Id.make())
        const written = yield* Parquet.write(Dataset.fromTable(table), file)
        const bytes = yield* Effect.promise(() => readFile(file))
        return { ...written, content: bytes }
      }),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true })),
  )

/** An offline store over a Database and a BlobStore. */
export const make = (
  db: Database.Database["Service"],
  blobs: BlobStore.BlobStore["Service"],
): Offline => {
  const build = db.build<Tables>()

  const find = (source: string, key: string) =>
    db.first(
      build
        .selectFrom("feature_ingest")
        .selectAll()
        .where("source", "=", source)
        .where("ingest_key", "=", key),
    )

  const last = (source: string) =>
    db
      .first(
        build
          .selectFrom("feature_ingest")
          .select((eb) => eb.fn.max("sequence").as("last"))
          .where("source", "=", source),
      )
      .pipe(Effect.map((row) => Number(row?.last ?? 0)))

  const revision = (source: string) => Effect.mapError(last(source), fromCause)

  const conflict = (source: string, key: string) =>
    new FeatureStoreError({
      reason: "Conflict",
      field: "key",
      message: `source '${source}' already ingested other rows under the key '${key}'; use a new key for new rows`,
    })

  const digestOf = (list: ReadonlyArray<{ readonly digest: string; readonly rows: number }>) =>
    Digest.ofJson(list.map(({ digest, rows }) => [digest, rows]))

  const repeat = Effect.fnUntraced(function* (
    known: Tables["feature_ingest"],
    dataset: Dataset.Dataset,
  ) {
    const list: Array<{ digest: string; rows: number }> = []
    yield* parts(dataset, (table) =>
      Effect.map(Dataset.digest(Dataset.fromTable(table)), (digest) => {
        list.push({ digest, rows: table.numRows })
      }),
    )
    const { digest, ingest_key: key, rows, sequence, source } = known
    if (digestOf(list) !== digest) return yield* conflict(source, key)
    return {
      source,
      key,
      sequence: Number(sequence),
      rows: Number(rows),
      digest: digest as Digest.Digest,
      repeated: true,
    }
  })

  const ingest: Offline["ingest"] = Effect.fnUntraced(function* (source, dataset, key, uses) {
    if (!Name.isName(key)) {
      return yield* invalid(
        "key",
        `ingest key '${key}' is no name: 1 to 128 letters, digits, '_', '.' or '-'`,
      )
    }
    const known = yield* find(source.name, key)
    if (known !== undefined) return yield* repeat(known, dataset)
    const list: Array<Part> = []
    yield* parts(dataset, (table, firstRow) =>
      Effect.gen(function* () {
        yield* check(source, table, firstRow, uses)
        const { content, digest, rows } = yield* encode(table)
        const blob = `features/${source.name}/${digest.slice(7)}.parquet`
        yield* blobs.put(blob, content)
        list.push({ blob, rows, digest })
      }),
    )
    const rows = list.reduce((sum, part) => sum + part.rows, 0)
    const digest = digestOf(list)
    const committed = yield* db
      .transaction(
        Effect.gen(function* () {
          const other = yield* find(source.name, key)
          if (other !== undefined) return other
          const sequence = (yield* last(source.name)) + 1
          const ingested = Timestamp.now()
          const row = { source: source.name, ingest_key: key, sequence, digest, rows, ingested }
          yield* db.run(build.insertInto("feature_ingest").values(row))
          yield* db.insertMany(
            "feature_part",
            list.map(({ blob, rows }, part) => ({
              source: source.name,
              sequence,
              part,
              blob,
              rows,
            })),
          )
          return row
        }),
      )
      .pipe(
        // Another process took the sequence number: look again and take the next.
        Effect.retry({
          times: 8,
          while: ({ reason }) => reason === "Conflict" || reason === "AlreadyExists",
        }),
      )
    if (committed.digest !== digest) return yield* conflict(source.name, key)
    const sequence = Number(committed.sequence)
    return { source: source.name, key, sequence, rows, digest, repeated: false }
  }, Effect.mapError(fromCause))

  const read: Offline["read"] = Effect.fnUntraced(function* (source, upTo, columns) {
    const rows = yield* db.all(
      build
        .selectFrom("feature_part")
        .select(["blob"])
        .where("source", "=", source)
        .where("sequence", "<=", upTo)
        .orderBy("sequence")
        .orderBy("part"),
    )
    return yield* Effect.forEach(rows, ({ blob }) =>
      Effect.gen(function* () {
        const chunks = yield* Stream.runCollect(blobs.get(blob, { verify: true }))
        const dataset = yield* Parquet.read(Buffer.concat([...chunks]), { columns })
        return yield* Dataset.table(dataset)
      }),
    )
  }, Effect.mapError(fromCause))

  return { ingest, revision, read }
}
