/** What the Database layer costs over the raw drivers: a page, a batch insert, a point read. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import BetterSqlite from "better-sqlite3"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import type { Kysely } from "kysely"
import { Pool } from "pg"
import { testPostgres } from "../test/support/postgres.ts"

interface Row {
  readonly id: number
  readonly name: string
  readonly value: number
  readonly time: number
  readonly note: string | null
  readonly kind: string
}
interface Tables {
  readonly bench: Row
}

const count = 20_000
const columns = ["id", "name", "value", "time", "note", "kind"] as const
const rowAt = (id: number): Row => ({
  id,
  name: `row number ${id}`,
  value: id / 7,
  time: 1_700_000_000_000_000 + id,
  note: id % 3 === 0 ? null : `a note about ${id}`,
  kind: `k${id % 10}`,
})
const seed = Array.from({ length: count }, (_, id) => rowAt(id))
const batch = Array.from({ length: 1000 }, (_, i) => rowAt(1_000_000 + i))

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

// Many short rounds, each side beside the other: what else the machine does then hits few of them.

/** One side of a comparison: does the work `times` times. */
type Side = (times: number) => Promise<unknown>

const compare = async (
  bench: string,
  against: string,
  bar: number,
  sides: { readonly raw: Side; readonly ours: Side; readonly after?: () => Promise<unknown> },
  times: number,
  rounds: number,
) => {
  const { raw, ours, after = async () => {} } = sides
  const time = async (side: Side): Promise<number> => {
    const start = process.hrtime.bigint()
    await side(times)
    const took = Number(process.hrtime.bigint() - start) / 1000 / times
    await after()
    return took
  }
  const measured: Array<readonly [raw: number, ours: number]> = []
  for (let round = -3; round < rounds; round++) {
    // Turn about, so that neither side always runs on the warmer cache.
    const pair =
      round % 2 === 0
        ? ([await time(raw), await time(ours)] as const)
        : (([o, r]) => [r, o] as const)([await time(ours), await time(raw)] as const)
    if (round >= 0) measured.push(pair)
  }
  const value = median(measured.map(([r, o]) => o / r))
  const rawTime = median(measured.map(([r]) => r))
  console.log(
    JSON.stringify({
      bench,
      value: Number(value.toFixed(3)),
      unit: "times the raw driver",
      against: `${against}, ${rawTime.toFixed(2)} us`,
      bar,
      pass: value <= bar,
    }),
  )
}

/** The work through the Database layer. */
const oursOn = async (layer: Layer.Layer<Database.Database, unknown>) => {
  const runtime = ManagedRuntime.make(layer)
  const db = Context.get(await runtime.context(), Database.Database)
  const build: Kysely<Tables> = db.build<Tables>()
  const run = <E>(work: Effect.Effect<unknown, E>) => runtime.runPromise(work)
  await run(
    db.migrate("bench", [
      {
        id: "0001-bench",
        up: (b) => [
          b.schema
            .createTable("bench")
            .addColumn("id", "bigint", (c) => c.primaryKey())
            .addColumn("name", "text", (c) => c.notNull())
            .addColumn("value", "double precision", (c) => c.notNull())
            .addColumn("time", "bigint", (c) => c.notNull())
            .addColumn("note", "text")
            .addColumn("kind", "text", (c) => c.notNull()),
        ],
      },
    ]),
  )
  await run(db.insertMany("bench", seed))
  const point = db.prepare<Tables, readonly [number], Row>(
    (b, [id]) => b.selectFrom("bench").selectAll().where("id", "=", id),
    1,
  )
  const page = db.prepare<Tables, readonly [number, number], Row>(
    (b, [after, limit]) =>
      b.selectFrom("bench").selectAll().where("id", ">", after).orderBy("id").limit(limit),
    2,
  )
  const pageBuilt = (after: number, limit: number) =>
    db.all(build.selectFrom("bench").selectAll().where("id", ">", after).orderBy("id").limit(limit))
  const repeat = (work: (i: number) => Effect.Effect<unknown, unknown>): Side => {
    return (times) =>
      run(
        Effect.gen(function* () {
          for (let i = 0; i < times; i++) yield* work(i)
        }),
      )
  }
  return {
    point: repeat((i) => point((i * 7919) % count)),
    page: repeat((i) => page((i * 7919) % (count - 100), 100)),
    pageBuilt: repeat((i) => pageBuilt((i * 7919) % (count - 100), 100)),
    insert: repeat(() => db.insertMany("bench", batch)),
    clear: () => run(db.run(build.deleteFrom("bench").where("id", ">=", 1_000_000))),
    close: () => runtime.dispose(),
  }
}

const select = `select ${columns.join(", ")} from bench`

const onSqlite = async () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-bench-"))
  const file = join(folder, "bench.db")
  const ours = await oursOn(Sqlite.layer({ file }))
  const raw = new BetterSqlite(file)
  raw.pragma("synchronous = full")
  const point = raw.prepare(`${select} where id = ?`)
  const page = raw.prepare(`${select} where id > ? order by id limit ?`)
  const insert = raw.prepare(`insert into bench values (${columns.map(() => "?").join(", ")})`)
  const insertAll = raw.transaction((rows: ReadonlyArray<Row>) => {
    for (const r of rows) insert.run(r.id, r.name, r.value, r.time, r.note, r.kind)
  })
  const repeat =
    (work: (i: number) => unknown): Side =>
    async (times) => {
      for (let i = 0; i < times; i++) work(i)
    }
  const rawPage = repeat((i) => page.all((i * 7919) % (count - 100), 100))
  const against = "better-sqlite3"
  await compare(
    "database.sqlite.pointRead",
    against,
    1.5,
    { raw: repeat((i) => point.all((i * 7919) % count)), ours: ours.point },
    3_000,
    75,
  )
  await compare(
    "database.sqlite.page100",
    against,
    1.15,
    { raw: rawPage, ours: ours.page },
    100,
    75,
  )
  // Neither side keeps the statement: what the query builder costs beside preparing it again.
  const adHoc = repeat((i) =>
    raw.prepare(`${select} where id > ? order by id limit ?`).all((i * 7919) % (count - 100), 100),
  )
  await compare(
    "database.sqlite.page100.adHoc",
    against,
    1.15,
    { raw: adHoc, ours: ours.pageBuilt },
    100,
    75,
  )
  await compare(
    "database.sqlite.insert1000",
    against,
    1.15,
    { raw: repeat(() => insertAll(batch)), ours: ours.insert, after: ours.clear },
    1,
    31,
  )
  raw.close()
  await ours.close()
  rmSync(folder, { recursive: true, force: true })
}

const onPostgres = async () => {
  await using server = await testPostgres()
  const ours = await oursOn(Postgres.layer({ url: server.url, schema: server.schema }))
  const pool = new Pool({
    connectionString: server.url,
    options: `-c search_path=${server.schema}`,
  })
  const repeat =
    (work: (i: number) => Promise<unknown>): Side =>
    async (times) => {
      for (let i = 0; i < times; i++) await work(i)
    }
  const width = columns.length
  const tuples = batch.map(
    (_, i) => `(${columns.map((__, c) => `$${i * width + c + 1}`).join(", ")})`,
  )
  const insert = `insert into bench values ${tuples.join(", ")}`
  const rawPage = repeat((i) =>
    pool.query({
      name: "page",
      text: `${select} where id > $1 order by id limit $2`,
      values: [(i * 7919) % (count - 100), 100],
    }),
  )
  const against = "pg"
  await compare(
    "database.postgres.pointRead",
    against,
    1.5,
    {
      raw: repeat((i) =>
        pool.query({
          name: "point",
          text: `${select} where id = $1`,
          values: [(i * 7919) % count],
        }),
      ),
      ours: ours.point,
    },
    100,
    75,
  )
  await compare(
    "database.postgres.page100",
    against,
    1.15,
    { raw: rawPage, ours: ours.page },
    50,
    75,
  )
  const adHoc = repeat((i) =>
    pool.query({
      text: `${select} where id > $1 order by id limit $2`,
      values: [(i * 7919) % (count - 100), 100],
    }),
  )
  await compare(
    "database.postgres.page100.adHoc",
    against,
    1.15,
    { raw: adHoc, ours: ours.pageBuilt },
    50,
    75,
  )
  await compare(
    "database.postgres.insert1000",
    against,
    1.15,
    {
      raw: repeat(() =>
        pool.query(
          insert,
          batch.flatMap((row) => columns.map((c) => row[c])),
        ),
      ),
      ours: ours.insert,
      after: ours.clear,
    },
    1,
    31,
  )
  await pool.end()
  await ours.close()
}

await onSqlite()
await onPostgres()
