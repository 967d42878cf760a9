/**
 * What a batch of 100 metrics costs over the same rows inserted by the raw driver, and what a page
 * of 100 runs costs over the raw queries that read the same rows. Both sides in the same rounds.
 */
import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { Runs } from "@ashlar/registry"
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folder = mkdtempSync(join(tmpdir(), "ashlar-registry-bench-"))
const runtime = ManagedRuntime.make(
  Layer.provide(Runs.layer, [
    Sqlite.layer({ file: join(folder, "registry.sqlite") }),
    Fs.layer({ directory: join(folder, "blobs") }),
  ]),
)
const runs = await runtime.runPromise(Runs.Runs)

const raw = new Database(join(folder, "raw.sqlite"))
raw.pragma("journal_mode = WAL")
raw.pragma("synchronous = FULL")
raw.exec(`create table metric (run text not null, key text not null, step integer not null,
  time integer not null, value text not null, primary key (run, key, step, time, value))`)
const insert = raw.prepare("insert into metric values (?, ?, ?, ?, ?) on conflict do nothing")

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const time = async (run: () => unknown, count: number): Promise<number> => {
  const start = performance.now()
  for (let i = 0; i < count; i++) await run()
  return ((performance.now() - start) * 1000) / count
}

const print = (bench: string, ours: number, theirs: number, what: string, bar: number) =>
  console.log(
    JSON.stringify({
      bench: `registry/${bench}`,
      value: Number((ours / theirs).toFixed(2)),
      unit: "x",
      against: `${theirs.toFixed(0)} us for ${what}; ours ${ours.toFixed(0)} us`,
      bar,
      pass: ours / theirs <= bar,
    }),
  )

const { runId } = await runtime.runPromise(runs.start({ experiment: "bench" }))
for (const keys of [1, 10]) {
  let step = keys * 1_000_000
  const points = () =>
    Array.from({ length: 100 }, (_, i) => ({
      key: `k${keys}-${i % keys}`,
      value: i / 7,
      step: step++,
      time: 1_000_000,
    }))
  const ours = () => runtime.runPromise(runs.log(runId, { metrics: points() }))
  const write = raw.transaction((rows: ReturnType<typeof points>) => {
    for (const row of rows) insert.run(runId, row.key, row.step, row.time, String(row.value))
  })
  const theirs = () => write(points())
  const times: { ours: Array<number>; theirs: Array<number> } = { ours: [], theirs: [] }
  for (let round = -1; round < 9; round++) {
    const measured = { ours: await time(ours, 20), theirs: await time(theirs, 20) }
    // The first round warms up.
    if (round < 0) continue
    times.ours.push(measured.ours)
    times.theirs.push(measured.theirs)
  }
  print(
    `log-batch/100 metrics of ${keys} keys`,
    median(times.ours),
    median(times.theirs),
    "a transaction of 100 prepared inserts in better-sqlite3, WAL, synchronous FULL",
    3,
  )
}

// A page of runs, each with 10 params, 10 tags and 10 metrics of 20 points.
const record = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`key${i}`, `value ${i}`]))
await runtime.runPromise(
  Effect.gen(function* () {
    for (let i = 0; i < 200; i++) {
      const run = yield* runs.start({ experiment: "list", params: record, tags: record })
      yield* runs.log(run.runId, {
        metrics: Array.from({ length: 200 }, (_, j) => ({
          key: `m${j % 10}`,
          value: j,
          step: j,
          time: 1,
        })),
      })
    }
  }),
)
const reader = new Database(join(folder, "registry.sqlite"), { readonly: true })
const page = reader.prepare(
  "select r.* from registry_run r join registry_experiment e on e.id = r.experiment where e.name = 'list' order by started desc, r.id desc limit 100",
)
const rowsOf = (table: string) =>
  reader.prepare(`select * from ${table} where run in (${Array(100).fill("?").join(",")})`)
const tables = ["registry_param", "registry_tag", "registry_series"].map(rowsOf)
const read = () => {
  const ids = page.all().map((row) => (row as { readonly id: string }).id)
  return tables.map((statement) => statement.all(ids))
}
const list = () => runtime.runPromise(runs.list("list", { limit: 100 }))
const times: { ours: Array<number>; theirs: Array<number> } = { ours: [], theirs: [] }
for (let round = -1; round < 9; round++) {
  const measured = { ours: await time(list, 10), theirs: await time(read, 10) }
  if (round < 0) continue
  times.ours.push(measured.ours)
  times.theirs.push(measured.theirs)
}
print(
  "list/100 runs",
  median(times.ours),
  median(times.theirs),
  "the same rows by four prepared statements in better-sqlite3",
  3,
)

reader.close()
raw.close()
await runtime.dispose()
rmSync(folder, { recursive: true, force: true })
