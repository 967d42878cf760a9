/** The same runs for both sides, written straight into their tables: 10 metrics, params and 5 tags each. */
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { Database as DatabaseService } from "@ashlar/core"
import Database from "better-sqlite3"
import * as Effect from "effect/Effect"
import { sql } from "kysely"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import pg from "pg"
import * as Segment from "../src/internal/series/segment.ts"
import type { Side } from "./servers.ts"

const fixed = (name: string) => sql.raw(name)
/** When run 0 started, in ms; the next one starts a ms later. */
const started = 1_700_000_000_000
const pointsEach = 10

/** What a series of a run has at a step; SQL says the same below. */
const valueOf = (run: number, metric: number, step: number): number =>
  ((run * 7919 + metric * 104_729 + step * 31) % 100_003) / 100_003

/** Runs on either database: a statement for each table, the numbers from 0 as `i`. */
const statements = (side: Side, runs: number, series: string): ReadonlyArray<string> => {
  const postgres = side.tables.store === "postgres"
  const numbers = (name: string, count: number) =>
    postgres
      ? `generate_series(0, ${count - 1}) as ${name}(${name})`
      : `(with recursive n(${name}) as (select 0 union all select ${name} + 1 from n where ${name} < ${count - 1}) select ${name} from n) as numbers_${name}`
  const id = postgres ? `lpad(to_hex(i), 32, '0')` : `printf('%032x', i)`
  const number = (text: string) =>
    postgres ? `cast(${text} as double precision)` : `cast(${text} as real)`
  const value = `${number(`(i * 7919 + j * 104729 + 9 * 31) % 100003`)} / 100003`
  const low = `cast(0 as double precision)`
  const start = `${started} + i`
  const cells = { param: `'v' || ((i * (j + 3)) % 50)`, tag: `'t' || ((i * (j + 7)) % 20)` }
  const status = `case when i % 3 = 0 then 'FAILED' else 'FINISHED' end`
  if (side.name === "ours") {
    return [
      `insert into registry_run (id, experiment, name, key, status, started, ended, user_id)
        select ${id}, '${series}', 'run-' || i, ${id}, ${status}, (${start}) * 1000, (${start} + 5) * 1000, 'ada' from ${numbers("i", runs)}`,
      `insert into registry_series (run, experiment, key, count, numbers, last_step, last_time, last_value, min_value, max_value, sum_value, mean_value, dirty, ranked)
        select ${id}, '${series}', 'metric_' || j, ${pointsEach}, ${pointsEach}, 9, (${start} + 9) * 1000, ${value}, ${low}, ${value}, ${value}, ${value}, 0, ${value}
        from ${numbers("i", runs)} cross join ${numbers("j", 10)}`,
      `insert into registry_param (run, key, value) select ${id}, 'param_' || j, ${cells.param} from ${numbers("i", runs)} cross join ${numbers("j", 10)}`,
      `insert into registry_tag (run, key, value) select ${id}, 'tag_' || j, ${cells.tag} from ${numbers("i", runs)} cross join ${numbers("j", 5)}`,
    ]
  }
  const no = postgres ? "false" : "0"
  return [
    `insert into runs (run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id)
      select ${id}, 'run-' || i, 'ada', ${status}, ${start}, ${start} + 5, 'active', 'mlflow-artifacts:/${series}/' || ${id} || '/artifacts', ${series} from ${numbers("i", runs)}`,
    `insert into latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
      select 'metric_' || j, ${value}, ${start} + 9, 9, ${no}, ${id} from ${numbers("i", runs)} cross join ${numbers("j", 10)}`,
    `insert into params (key, value, run_uuid) select 'param_' || j, ${cells.param}, ${id} from ${numbers("i", runs)} cross join ${numbers("j", 10)}`,
    `insert into tags (key, value, run_uuid) select 'tag_' || j, ${cells.tag}, ${id} from ${numbers("i", runs)} cross join ${numbers("j", 5)}`,
  ]
}

/** The points of our runs: a segment each, as a batch leaves it. MLflow's search never reads its own. */
const points = (side: Side, runs: number) =>
  Effect.gen(function* () {
    const db = yield* DatabaseService.Database
    const size = 5000
    for (let from = 0; from < runs; from += size) {
      const ids = yield* db.all(
        sql<{ readonly id: number; readonly run: string; readonly key: string }>`
          select id, run, key from registry_series where id > ${from * 10} and id <= ${(from + size) * 10} order by id`,
      )
      const byRun = Map.groupBy(ids, ({ run }) => run)
      yield* db.insertMany(
        "registry_segment",
        Array.from(byRun, ([run, list]) => {
          const i = Number.parseInt(run, 16)
          const rows = list.flatMap(({ id, key }) =>
            Array.from({ length: pointsEach }, (_, step) => ({
              id,
              step,
              time: (started + i + step) * 1000,
              value: valueOf(i, Number(key.slice(7)), step),
            })),
          )
          return {
            run,
            points: rows.length,
            data: Segment.encode(
              rows.map(({ id }) => id),
              {
                steps: Float64Array.from(rows, ({ step }) => step),
                times: Float64Array.from(rows, ({ time }) => time),
                values: Float64Array.from(rows, ({ value }) => value),
              },
            ),
          }
        }),
      )
    }
    if (side.tables.store === "postgres") yield* db.run(fixed("analyze"))
  })

/** Writes runs into an experiment that both sides made themselves. */
export const seed = async (side: Side, runs: number, experiment: string): Promise<void> => {
  const { store, place, schema } = side.tables
  const all = statements(side, runs, experiment)
  if (store === "sqlite") {
    const db = new Database(place, { timeout: 60_000 })
    db.transaction(() => all.forEach((text) => db.exec(text)))()
    // Without it SQLite plans MLflow's ordered searches so badly that they take minutes.
    if (side.name === "mlflow") db.exec("analyze")
    db.close()
  } else {
    const client = new pg.Client({ connectionString: place, options: `-c search_path=${schema}` })
    await client.connect()
    for (const text of all) await client.query(text)
    if (side.name === "mlflow") await client.query("analyze")
    await client.end()
  }
  if (side.name !== "ours") return
  const database =
    store === "sqlite" ? Sqlite.layer({ file: place }) : Postgres.layer({ url: place, schema })
  await Effect.runPromise(points(side, runs).pipe(Effect.provide(database)))
}

/** The largest size of a process since it started, in MB. */
export const peakOf = (pid: number): number => {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(join("/proc", String(pid), "status"), "utf8"))
  return Number(line?.[1] ?? Number.NaN) / 1024
}
