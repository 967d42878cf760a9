/**
 * Writing and reading metrics over HTTP, beside the real `mlflow server`: the same requests to both,
 * one side after the other in each round, both on the same machine. Needs `ASHLAR_MLFLOW` or the
 * environment of `npm run test:interop`; PostgreSQL also psycopg2 there. `ASHLAR_BENCH_MS` (500) says
 * for how long each load lasts.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  call,
  type Load,
  load,
  missing,
  mlflow,
  ours,
  print,
  printRatio,
  quantile,
  type Side,
} from "./servers.ts"

const forMs = Number(process.env["ASHLAR_BENCH_MS"] ?? 500)
const rounds = 2
const now = 1_700_000_000_000

const createRun = async (side: Side): Promise<string> => {
  const { text } = await call(
    side,
    "POST",
    "runs/create",
    JSON.stringify({ experiment_id: "0", start_time: now }),
  )
  const { run } = JSON.parse(text) as {
    readonly run: { readonly info: { readonly run_id: string } }
  }
  return run.info.run_id
}

/** Metrics of a batch: each key once a step, as trainers log. */
const batchOf = (run: string, metrics: number, keys: number, first: number, shift = 0): string =>
  JSON.stringify({
    run_id: run,
    metrics: Array.from({ length: metrics }, (_, i) => {
      const place = (i + shift) % metrics
      const step = first + Math.floor(place / keys)
      return {
        key: `train/metric_${place % keys}`,
        value: Math.sin(step + place) / 3,
        timestamp: now + step,
        step,
      }
    }),
  })

/** The points of a history: both sides must have the same. */
const history = async (side: Side, run: string, key: string): Promise<ReadonlyArray<unknown>> => {
  const { text } = await call(side, "GET", `metrics/get-history?run_id=${run}&metric_key=${key}`)
  const { metrics = [] } = JSON.parse(text) as {
    readonly metrics?: ReadonlyArray<Record<string, unknown>>
  }
  return metrics.map(({ value, timestamp, step }) => [value, timestamp, step])
}

const equal = (what: string, a: unknown, b: unknown): void => {
  if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`the two sides differ in ${what}`)
}

const writing = async (sides: readonly [Side, Side], store: string) => {
  // MLflow's pool has 15 connections and lets the rest of 32 clients wait for 30 s: once is enough.
  for (const [metrics, keys, all] of [
    [1, 1, [1, 8]],
    [10, 10, [1, 8]],
    [100, 10, [1, 8, 32]],
    [1000, 10, [1, 8]],
    [1000, 1000, [1, 8]],
  ] as const) {
    for (const clients of all) {
      const times: readonly [Array<number>, Array<number>] = [[], []]
      let refused = 0
      for (let round = -1; round < rounds; round++) {
        for (const [index, side] of sides.entries()) {
          // A peer whose requests wait for its time-outs shows as much in one round.
          if (round > 0 && quantile(times[index] ?? [], 1) > 5000) continue
          const most = round < 0 ? Math.min(clients, 8) : clients
          const runs: Array<string> = []
          // One by one: MLflow on SQLite fails some of many at once.
          for (let i = 0; i < most; i++) runs.push(await createRun(side))
          const steps = Math.ceil(metrics / keys)
          const measured = await load(side, most, round < 0 ? forMs / 4 : forMs, (client, turn) =>
            call(
              side,
              "POST",
              "runs/log-batch",
              batchOf(runs[client] ?? "", metrics, keys, turn * steps),
            ),
          )
          if (round < 0) continue
          times[index]?.push(...measured.times)
          refused += measured.refused
        }
      }
      printRatio(
        `${store}/log-batch/${metrics} metrics of ${keys} keys, ${clients} runs`,
        times[0],
        times[1],
        5,
        refused,
      )
    }
  }
}

/** One run, shuffled keys: what makes others deadlock. */
const contended = async (sides: readonly [Side, Side], store: string) => {
  const found: Array<Load> = []
  for (const side of sides) {
    const run = await createRun(side)
    found.push(
      await load(side, 32, forMs * 2, (client, turn) => {
        const body = batchOf(run, 10, 10, turn * 1000 + client * 10, (client * 7) % 10)
        return call(side, "POST", "runs/log-batch", body)
      }),
    )
  }
  const [our, their] = found
  printRatio(
    `${store}/log-batch/one run, 32 writers, shuffled keys`,
    our?.times ?? [],
    their?.times ?? [],
    1,
    their?.refused,
  )
}

const reading = async (sides: readonly [Side, Side], store: string) => {
  const [runs, points] = [
    Number(process.env["ASHLAR_BENCH_CURVES"] ?? 10),
    Number(process.env["ASHLAR_BENCH_POINTS"] ?? 10_000),
  ]
  const ids: Array<ReadonlyArray<string>> = []
  for (const side of sides) {
    const made: Array<string> = []
    for (let i = 0; i < runs; i++) made.push(await createRun(side))
    ids.push(made)
    for (const run of made) {
      for (let first = 0; first < points; first += 1000) {
        await call(side, "POST", "runs/log-batch", batchOf(run, 1000, 1, first))
      }
    }
  }
  const key = "train%2Fmetric_0"
  equal(
    "a history",
    await history(sides[0], ids[0]?.[0] ?? "", key),
    await history(sides[1], ids[1]?.[0] ?? "", key),
  )
  for (const [name, path, most] of [
    ["get-history", "metrics/get-history", 1],
    ["get-history-bulk-interval", "metrics/get-history-bulk-interval", runs],
  ] as const) {
    const times: readonly [Array<number>, Array<number>] = [[], []]
    const answers: Array<string> = []
    for (let round = 0; round < 3; round++) {
      for (const [index, side] of sides.entries()) {
        const asked = (ids[index] ?? []).slice(0, most)
        const query =
          most === 1
            ? `run_id=${asked[0]}&metric_key=${key}`
            : `${asked.map((id) => `run_ids=${id}`).join("&")}&metric_key=${key}&max_results=320`
        times[index]?.push(
          ...(
            await load(side, 1, forMs, async () => {
              const answer = await call(side, "GET", `${path}?${query}`)
              answers[index] = answer.text
              return answer
            })
          ).times,
        )
      }
    }
    const values = answers.map((text) =>
      (
        JSON.parse(text) as { readonly metrics: ReadonlyArray<Record<string, unknown>> }
      ).metrics.map(({ value, step, timestamp }) => [value, step, timestamp]),
    )
    equal(name, values[0], values[1])
    printRatio(
      `${store}/${name}/${most} runs of ${points} points${most === 1 ? "" : ", 320 samples"}`,
      times[0],
      times[1],
      1,
    )
  }
  await bar(sides[0], store, ids[0] ?? [], points)
}

/** What the bar is for: 100 runs at once, which would keep the peer busy for minutes. */
const bar = async (side: Side, store: string, some: ReadonlyArray<string>, points: number) => {
  const runs = [...some]
  while (runs.length < 100) {
    const run = await createRun(side)
    for (let first = 0; first < points; first += 1000) {
      await call(side, "POST", "runs/log-batch", batchOf(run, 1000, 1, first))
    }
    runs.push(run)
  }
  const query = runs.map((id) => `run_ids=${id}`).join("&")
  const { times } = await load(side, 1, forMs * 2, () =>
    call(
      side,
      "GET",
      `metrics/get-history-bulk-interval?${query}&metric_key=train%2Fmetric_0&max_results=320`,
    ),
  )
  const value = quantile(times, 0.5)
  print({
    bench: `${store}/get-history-bulk-interval/100 runs of ${points} points, 320 samples`,
    value,
    unit: "ms",
    against: `median over HTTP, p95 ${quantile(times, 0.95).toFixed(0)} ms`,
    bar: 100,
    pass: value < 100,
  })
}

const folder = mkdtempSync(join(tmpdir(), "ashlar-tracking-bench-"))
const only = process.env["ASHLAR_BENCH_PART"]
try {
  for (const store of ["sqlite", "postgres"] as const) {
    if ((process.env["ASHLAR_BENCH_STORE"] ?? store) !== store) continue
    const why = missing(store)
    if (why !== undefined) {
      console.error(`registry/${store}: not measured. ${why}`)
      continue
    }
    await using our = await ours(store, join(folder, store))
    await using their = await mlflow(store, join(folder, store))
    const sides = [our, their] as const
    if ((only ?? "write") === "write") await writing(sides, store)
    if ((only ?? "contend") === "contend") await contended(sides, store)
    if ((only ?? "read") === "read") await reading(sides, store)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0)
