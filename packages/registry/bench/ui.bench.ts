/**
 * The pages in Chromium at 1,000 runs by 5,000 metric keys: how long until the table can be used,
 * the longest task of the page while it is scrolled, sorted, drawn and compared, and the size of
 * everything it loads. `ASHLAR_BENCH_RUNS` and `ASHLAR_BENCH_KEYS` scale it down;
 * `ASHLAR_BENCH_STORE` names a folder to keep what is stored, and to use it again.
 */
import * as Fs from "@ashlar/core/fs"
import * as HttpKit from "@ashlar/core/fastify"
import * as Sqlite from "@ashlar/core/sqlite"
import { Runs } from "@ashlar/registry"
import * as Mlflow from "@ashlar/registry/fastify"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { chromiumPath, launch } from "../test/browser.ts"

const runCount = Number(process.env["ASHLAR_BENCH_RUNS"] ?? 1000)
const keyCount = Number(process.env["ASHLAR_BENCH_KEYS"] ?? 5000)
const size = `${runCount} runs x ${keyCount} metric keys`

const print = (bench: string, value: number, unit: string, against: string, bar: number): void =>
  console.log(
    JSON.stringify({
      bench: `registry/ui/${bench}`,
      value: Number(value.toFixed(1)),
      unit,
      against,
      bar,
      pass: value <= bar,
    }),
  )

const pages = new URL("../dist/ui/", import.meta.url)
const bytes = readdirSync(pages).reduce(
  (sum, name) => sum + gzipSync(readFileSync(new URL(name, pages)), { level: 9 }).length,
  0,
)
print("size", bytes / 1000, "kB gzip", "every file of the pages, the worker included", 200)

if (chromiumPath === undefined) {
  console.error("There is no Chromium: install the package chromium, or set ASHLAR_CHROMIUM.")
  process.exit(0)
}

const kept = process.env["ASHLAR_BENCH_STORE"]
const folder = kept ?? mkdtempSync(join(tmpdir(), "ashlar-ui-bench-"))
const isStored = existsSync(join(folder, "registry.sqlite"))
const runtime = ManagedRuntime.make(
  Mlflow.services.pipe(
    Layer.provide([
      Sqlite.layer({ file: join(folder, "registry.sqlite") }),
      Fs.layer({ directory: join(folder, "blobs") }),
    ]),
  ),
)
const runs = await runtime.runPromise(Runs.Runs)
const keys = Array.from(
  { length: keyCount },
  (_, k) => `layer.${Math.floor(k / 50)}/metric-${k % 50}`,
)
const started = performance.now()
for (let i = 0; i < (isStored ? 0 : runCount); i++) {
  const { runId } = await runtime.runPromise(
    runs.start({
      experiment: "bench",
      name: `run-${i}`,
      params: { rate: ((i * 37) % 101) / 100, depth: i % 12, kind: i % 3 === 0 ? "a" : "b" },
    }),
  )
  const metrics = keys.map((key, k) => ({ key, value: i + k / keyCount, step: 1, time: 1_000_000 }))
  for (let from = 0; from < metrics.length; from += 1000) {
    await runtime.runPromise(runs.log(runId, { metrics: metrics.slice(from, from + 1000) }))
  }
  await runtime.runPromise(
    runs.log(runId, {
      metrics: Array.from({ length: 400 }, (_, step) => ({
        key: "loss",
        value: Math.exp(-step / (20 + (i % 50))) + (i % 7) / 100,
        step,
        time: 1_000_000 + step * 1_000_000,
      })),
    }),
  )
  await runtime.runPromise(runs.finish(runId, "FINISHED"))
}
console.error(`${size} stored in ${((performance.now() - started) / 1000).toFixed(0)} s`)

const server = await HttpKit.makeServer({
  auth: "off-on-loopback",
  register: (app) => app.register(Mlflow.plugin, { runtime }),
})
const browser = await launch()

/** A part of Chromium's trace; times in microseconds. */
interface TraceEvent {
  readonly name: string
  readonly pid: number
  readonly tid: number
  readonly dur?: number
  /** Time on a processor, which other programs of the machine do not lengthen. */
  readonly tdur?: number
  readonly args?: { readonly name?: string }
}

/** The longest tasks of pages' main threads in milliseconds: by the clock, and on a processor. */
const longestOf = (trace: Buffer): { readonly clock: number; readonly processor: number } => {
  const { traceEvents } = JSON.parse(trace.toString("utf8")) as {
    readonly traceEvents: ReadonlyArray<TraceEvent>
  }
  const mains = new Set(
    traceEvents.flatMap(({ name, args, pid, tid }) =>
      name === "thread_name" && args?.name === "CrRendererMain" ? [`${pid} ${tid}`] : [],
    ),
  )
  let clock = 0
  let processor = 0
  for (const { name, pid, tid, dur = 0, tdur = 0 } of traceEvents) {
    if (!name.endsWith("RunTask") || !mains.has(`${pid} ${tid}`)) continue
    clock = Math.max(clock, dur / 1000)
    processor = Math.max(processor, tdur / 1000)
  }
  return { clock, processor }
}

/** Times of tasks over 50 ms, as Chromium reports them. */
const watch = `globalThis.longTasks = []
new PerformanceObserver((list) => {
  for (const { duration, startTime } of list.getEntries()) longTasks.push({ duration, startTime })
}).observe({ type: "longtask", buffered: true })`

const rounds = 5
const ready: Array<number> = []
const clocks: Array<number> = []
const processors: Array<number> = []
const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

for (let round = 0; round < rounds; round++) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
  await page.addInitScript(watch)
  const taken = async (what: string): Promise<void> => {
    const tasks = (await page.evaluate(
      "longTasks.splice(0).map(({ duration }) => duration)",
    )) as ReadonlyArray<number>
    if (round > 0) return
    console.error(`${what}: longest task ${Math.max(0, ...tasks).toFixed(0)} ms by the clock`)
  }
  await browser.startTracing(page, { categories: ["toplevel", "__metadata"] })
  const begin = performance.now()
  await page.goto(`${server.url}/ui/`)
  // Usable: rows are there, with the values of the metrics in view, and a frame has been painted.
  await page.getByRole("link", { name: `run-${runCount - 1}`, exact: true }).waitFor()
  await page
    .locator(".k-grid-row")
    .first()
    .locator(".k-grid-cell[data-align=right]", { hasText: String(runCount - 1) })
    .first()
    .waitFor()
  await page.evaluate("new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))")
  ready.push(performance.now() - begin)
  await page.waitForTimeout(500)
  await taken("loading")
  const grid = page.getByRole("grid", { name: "Runs" })
  for (let i = 1; i <= 20; i++) {
    await grid.evaluate(
      (element, at) =>
        element.scrollTo({
          top: (element.scrollHeight * at) / 20,
          left: (element.scrollWidth * at) / 20,
        }),
      i,
    )
    await page.waitForTimeout(60)
  }
  await taken("scrolling the table")
  await grid.evaluate((element) => element.scrollTo({ top: 0, left: 0 }))
  await page.getByRole("button", { name: "rate", exact: true }).click()
  await page.waitForTimeout(1500)
  await taken("sorting")
  await page.getByRole("button", { name: "Columns" }).click()
  await page.getByLabel("Search columns").fill("layer.7/")
  await page.waitForTimeout(400)
  await page.getByRole("button", { name: "Close" }).click()
  await taken("choosing columns")
  await page.getByRole("tab", { name: "Charts" }).click()
  await page.waitForTimeout(1500)
  await taken("20 runs as charts")
  await page.getByLabel("Metrics by regular expression").fill("^loss$")
  await page.getByRole("button", { name: /^All .* runs$/ }).click()
  await page.getByRole("img", { name: `loss: ${runCount} lines` }).waitFor()
  await page.waitForTimeout(1000)
  await taken(`a chart of ${runCount} lines`)
  await page.getByRole("tab", { name: "Compare" }).click()
  await page.waitForTimeout(1000)
  const compared = page.getByRole("grid", { name: "Comparison" })
  for (let i = 1; i <= 10; i++) {
    await compared.evaluate(
      (element, at) =>
        element.scrollTo({
          top: (element.scrollHeight * at) / 10,
          left: (element.scrollWidth * at) / 10,
        }),
      i,
    )
    await page.waitForTimeout(60)
  }
  await taken("scrolling the comparison")
  await page.getByRole("tab", { name: "Parallel" }).click()
  await page.waitForTimeout(1500)
  await taken("parallel coordinates")
  const { clock, processor } = longestOf(await browser.stopTracing())
  clocks.push(clock)
  processors.push(processor)
  await page.close()
}
print("interactive", median(ready), "ms", `${size}: navigation to the first values painted`, 2000)
const about = `${size}: loading, scrolling, sorting, drawing, comparing; Chromium's trace, median of ${rounds}`
print(
  "longest task",
  median(clocks),
  "ms",
  `${about}, by the clock of a machine that others use too`,
  200,
)
print("longest task, processor time", median(processors), "ms", about, 200)

await browser.close()
await server.drain()
await runtime.dispose()
if (kept === undefined) rmSync(folder, { recursive: true, force: true })
