/**
 * Compute: how many jobs that do nothing pass per second, and what a child process costs.
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Compute, Id, type Job } from "@ashlar/core"
import * as Process from "@ashlar/core/process"
import * as Worker from "@ashlar/core/worker"

const print = (bench: string, value: number, against: string, bar: string, pass: boolean) =>
  console.log(
    JSON.stringify({
      bench,
      value: Number(value.toPrecision(4)),
      unit: "jobs/s",
      against,
      bar,
      pass,
    }),
  )

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const noop = (): Job.JobSpec => ({
  id: Id.make(),
  name: "noop",
  task: {
    _tag: "Call",
    module: new URL("./noop.ts", import.meta.url).href,
    function: "noop",
    input: null,
  },
})

/** Jobs per second from the first submit to the last result. */
const rate = (count: number) =>
  Effect.gen(function* () {
    const compute = yield* Compute.Compute
    const jobs = Array.from({ length: count }, noop)
    const start = performance.now()
    yield* Effect.forEach(jobs, (job) => compute.submit(job))
    yield* Effect.forEach(jobs, ({ id }) => compute.wait(id), { concurrency: "unbounded" })
    return (count * 1000) / (performance.now() - start)
  })

const measure = (layer: Layer.Layer<Compute.Compute, unknown>, count: number, rounds: number) =>
  Effect.runPromise(
    Effect.provide(
      Effect.gen(function* () {
        yield* rate(Math.min(count, 20))
        const rates: Array<number> = []
        for (let round = 0; round < rounds; round++) rates.push(yield* rate(count))
        return median(rates)
      }),
      layer,
    ),
  )

const worker = await measure(Worker.layer(), 2000, 5)
print("compute worker no-op", worker, "none", ">= 500", worker >= 500)

const directory = await mkdtemp(join(tmpdir(), "ashlar-bench-"))
try {
  const children = await measure(Process.layer({ directory, stopOnClose: true }), 10, 3)
  print("compute process no-op", children, "none", "none: two Node processes a job", true)
} finally {
  await rm(directory, { recursive: true, force: true })
}
