/**
 * Predictions recorded a second, durably (synchronous=FULL), 20 features each, against a row for
 * each prediction in the same database; and the cost of asking for performance afterwards.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Database, type PredictionEvent } from "@ashlar/core"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sql } from "kysely"
import { Monitoring } from "../src/index.ts"
import { random } from "../src/internal/random.ts"

const features = 20
const start = 990_000_000_000_000

const batchOf = (from: number, rows: number): PredictionEvent.PredictionBatch => {
  const next = random(from)
  return {
    model: "bench",
    version: "1",
    predictionIds: Array.from({ length: rows }, (_, i) => `2001-05-01/AA${from + i}/SFO-JFK`),
    times: Float64Array.from({ length: rows }, (_, i) => start + (from + i) * 2_000_000),
    features: Object.fromEntries(
      Array.from({ length: features }, (_, f) => [
        `f${f}`,
        Float32Array.from({ length: rows }, next),
      ]),
    ),
    outputs: { probability: Float32Array.from({ length: rows }, next) },
  }
}

const print = (
  bench: string,
  value: number,
  unit: string,
  against: string,
  bar: number,
  pass: boolean,
): void =>
  console.log(
    JSON.stringify({ bench, value: Number(value.toPrecision(4)), unit, against, bar, pass }),
  )

const folder = mkdtempSync(join(tmpdir(), "ashlar-bench-"))

const names = Array.from({ length: features }, (_, f) => `f${f}`)

/** Rows a second when every prediction is a row with a unique id. */
const rowPerPrediction = (rows: number, size: number) =>
  Effect.gen(function* () {
    const db = yield* Database.Database
    const columns = sql.join(names.map((name) => sql`${sql.ref(name)} double precision`))
    yield* db.run(
      sql`create table plain (id text primary key, time bigint, probability double precision, ${columns})`,
    )
    const batches = Array.from({ length: Math.ceil(rows / size) }, (_, i) =>
      batchOf(i * size, size),
    )
    const began = performance.now()
    for (const batch of batches) {
      const values = batch.predictionIds.map((id, row) => ({
        id,
        time: batch.times[row],
        probability: batch.outputs["probability"]?.[row],
        ...Object.fromEntries(names.map((name) => [name, batch.features[name]?.[row]])),
      }))
      yield* db.insertMany("plain", values, { onConflict: "ignore" })
    }
    return (batches.length * size) / ((performance.now() - began) / 1000)
  }).pipe(Effect.provide(Sqlite.layer({ file: join(folder, `plain-${size}.sqlite`) })))

const ingest = (name: string, rows: number, size: number, concurrency: number) =>
  Effect.gen(function* () {
    const plain = yield* rowPerPrediction(rows / 20, size)
    const monitoring = yield* Monitoring.Monitoring
    const batches = Array.from({ length: Math.ceil(rows / size) }, (_, i) =>
      batchOf(i * size, size),
    )
    const before = process.memoryUsage().rss
    const began = performance.now()
    yield* Effect.forEach(batches, monitoring.predictions, { concurrency, discard: true })
    const seconds = (performance.now() - began) / 1000
    const rate = (batches.length * size) / seconds
    const grown = (process.memoryUsage().rss - before) / 2 ** 20
    print(`sink.${name}.rate`, rate, "predictions/s", "idle machine", 100_000, rate >= 100_000)
    print(`sink.${name}`, rate / plain, "x", "a row for each prediction", 2, rate / plain >= 2)
    print(`sink.${name}.memory`, grown, "MiB grown", "limit", 256, grown <= 256)
    return batches
  })

const query = (batches: ReadonlyArray<PredictionEvent.PredictionBatch>) =>
  Effect.gen(function* () {
    const monitoring = yield* Monitoring.Monitoring
    const began = performance.now()
    let rows = 0
    for (const { predictionIds, times } of batches) {
      const next = random(rows)
      rows += times.length
      yield* monitoring.labels({
        model: "bench",
        predictionIds,
        times,
        labels: Float64Array.from(times, () => (next() < 0.5 ? 1 : 0)),
      })
    }
    const rate = rows / ((performance.now() - began) / 1000)
    print("sink.labels", rate, "labels/s", "idle machine", 100_000, rate >= 100_000)
    for (const name of ["cold", "warm"]) {
      const asked = performance.now()
      yield* monitoring.performance({ model: "bench", by: "week" })
      const seconds = (performance.now() - asked) / 1000
      print(
        `performance.${name}.${rows}_rows`,
        seconds,
        "s",
        "200,000 rows a second",
        rows / 200_000,
        seconds <= rows / 200_000,
      )
    }
  })

const fresh = (name: string) =>
  Monitoring.layer().pipe(Layer.provide(Sqlite.layer({ file: join(folder, `${name}.sqlite`) })))

try {
  const rows = Number(process.env["ROWS"] ?? 400_000)
  await Effect.runPromise(
    Effect.provide(ingest("batches_of_256_by_16", rows / 2, 256, 16), fresh("a")),
  )
  await Effect.runPromise(
    Effect.provide(Effect.flatMap(ingest("batches_of_8192", rows, 8192, 1), query), fresh("b")),
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
