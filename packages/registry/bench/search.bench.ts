/**
 * Searches over many runs by HTTP, beside the real `mlflow server` on the same runs: first the same
 * answers, then how long they take. `ASHLAR_BENCH_RUNS` (100000) says how many runs there are.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { peakOf, seed } from "./seed.ts"
import {
  call,
  load,
  missing,
  mlflow,
  nodeFlags,
  ours,
  print,
  printRatio,
  quantile,
  type Side,
} from "./servers.ts"

const runs = Number(process.env["ASHLAR_BENCH_RUNS"] ?? 100_000)
const forMs = Number(process.env["ASHLAR_BENCH_MS"] ?? 500)

interface Search {
  readonly filter?: string
  readonly order_by?: ReadonlyArray<string>
}

const searches: Readonly<Record<string, Search>> = {
  "newest first": {},
  "selective metric": { filter: "metrics.metric_3 > 0.999" },
  "wide metric": { filter: "metrics.metric_3 > 0.5" },
  "param and tag": { filter: "params.param_1 = 'v8' AND tags.tag_2 = 't18'" },
  "status and metric": { filter: "attributes.status = 'FAILED' AND metrics.metric_0 < 0.9" },
  pattern: { filter: "params.param_2 LIKE 'v1%' AND metrics.metric_1 > 0.2" },
  "ordered by metric": { order_by: ["metrics.metric_5 DESC"] },
  "filtered and ordered": {
    filter: "metrics.metric_3 > 0.5 AND params.param_1 != 'v7'",
    order_by: ["metrics.metric_5 ASC"],
  },
}

interface Answer {
  readonly runs?: ReadonlyArray<{ readonly info: { readonly run_id: string } }>
  readonly next_page_token?: string
}

const find = async (
  side: Side,
  experiment: string,
  search: Search,
  max_results = 100,
  page_token?: string,
) => {
  const answer = await call(
    side,
    "POST",
    "runs/search",
    JSON.stringify({ experiment_ids: [experiment], max_results, ...search, page_token }),
  )
  if (answer.status !== 200) throw new Error(`${side.name} answered ${answer.text.slice(0, 500)}`)
  return answer
}

const idsOf = ({ runs: found = [] }: Answer): ReadonlyArray<string> =>
  found.map(({ info }) => info.run_id)

const prepare = async (side: Side): Promise<string> => {
  const made = await call(side, "POST", "experiments/create", JSON.stringify({ name: "search" }))
  const { experiment_id } = JSON.parse(made.text) as { readonly experiment_id: string }
  await seed(side, runs, experiment_id)
  return experiment_id
}

const compare = async (
  sides: ReadonlyArray<readonly [side: Side, experiment: string]>,
  store: string,
) => {
  const all: Array<number> = []
  for (const [name, search] of Object.entries(searches)) {
    const answers: Array<string> = []
    const times: ReadonlyArray<Array<number>> = sides.map(() => [])
    for (let round = 0; round < 2; round++) {
      for (const [index, [side, experiment]] of sides.entries()) {
        if (round > 0 && quantile(times[index] ?? [], 0.5) > 2000) continue
        const first = await find(side, experiment, search)
        answers[index] = idsOf(JSON.parse(first.text) as Answer).join(" ")
        times[index]?.push(
          ...(await load(side, 1, forMs, () => find(side, experiment, search))).times,
        )
      }
    }
    if (answers.some((ids) => ids !== answers[0])) {
      throw new Error(`the two sides find different runs for ${name}`)
    }
    if (times[1] !== undefined) {
      printRatio(`${store}/search/${runs} runs, ${name}`, times[0] ?? [], times[1], 5)
    }
    all.push(...(times[0] ?? []))
    const p95 = quantile(times[0] ?? [], 0.95)
    print({
      bench: `${store}/search/${runs} runs, ${name}: p95 of a page of 100`,
      value: p95,
      unit: "ms",
      against: `${answers[0]?.split(" ").filter(Boolean).length ?? 0} runs found, the same on both sides`,
      bar: 50,
      pass: p95 < 50,
    })
  }
}

/** Walks to a page in big steps, then reads pages of 20 from there. */
const deep = async ([side, experiment]: readonly [Side, string], store: string) => {
  for (const [name, search] of [
    ["newest first", {}],
    ["ordered by metric", { order_by: ["metrics.metric_5 DESC"] }],
  ] as const) {
    const size = 20
    const page = 500
    let token: string | undefined
    for (let skipped = 0; skipped < (page - 1) * size; skipped += 1000) {
      const step = Math.min(1000, (page - 1) * size - skipped)
      const answer = await find(side, experiment, search, step, token)
      token = (JSON.parse(answer.text) as Answer).next_page_token
    }
    const times: readonly [Array<number>, Array<number>] = [[], []]
    for (let round = 0; round < 3; round++) {
      times[0].push(
        ...(await load(side, 1, forMs / 2, () => find(side, experiment, search, size))).times,
      )
      times[1].push(
        ...(await load(side, 1, forMs / 2, () => find(side, experiment, search, size, token)))
          .times,
      )
    }
    const [first, late] = [quantile(times[0], 0.5), quantile(times[1], 0.5)]
    print({
      bench: `${store}/search/${runs} runs, page ${page} over page 1, ${name}`,
      value: late / first,
      unit: "x",
      against: `page 1: ${first.toFixed(2)} ms; page ${page}: ${late.toFixed(2)} ms`,
      bar: 1.5,
      pass: late / first <= 1.5,
    })
  }
}

const folder = mkdtempSync(join(tmpdir(), "ashlar-search-bench-"))
try {
  for (const store of ["sqlite", "postgres"] as const) {
    if ((process.env["ASHLAR_BENCH_STORE"] ?? store) !== store) continue
    const why = missing(store)
    if (why !== undefined) {
      console.error(`registry/${store}: not measured. ${why}`)
      continue
    }
    await using our = await ours(store, join(folder, store))
    const mine = [our, await prepare(our)] as const
    await deep(mine, store)
    await using their = await mlflow(store, join(folder, store))
    await compare([mine, [their, await prepare(their)]], store)
    const peak = peakOf(our.pid)
    print({
      bench: `${store}/memory after searches of ${runs} runs, ${runs * 100} points`,
      value: peak,
      unit: "MB",
      against: `the largest size of our server since it started, with ${nodeFlags.join(" ")}`,
      bar: 250,
      pass: peak < 250,
    })
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exit(0)
