import { Accelerator, type RunTracker } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Sqlite from "@ashlar/core/sqlite"
import { RegistryError, Runs, SystemMetrics } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import { gpuReading } from "../src/internal/capture/probes.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-system-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const layer = Runs.layer.pipe(
  Layer.provide([
    Sqlite.layer({ file: join(folder, "registry.sqlite") }),
    Fs.layer({ directory: join(folder, "blobs") }),
  ]),
)

it("samples under MLflow's names while the scope is open, and once more at its end", async () => {
  const seen = await Effect.runPromise(
    Effect.gen(function* () {
      const runs = yield* Runs.Runs
      const { runId } = yield* runs.start({ experiment: "system" })
      const busyUntil = Date.now() + 350
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* SystemMetrics.sample(runs, runId, { everyMs: 100, node: "node_0" })
          while (Date.now() < busyUntil) yield* Effect.sleep(1)
        }),
      )
      const run = yield* runs.get(runId)
      const cpu = yield* runs.history(runId, "system/node_0/cpu_utilization_percentage")
      yield* Effect.sleep(250)
      const later = yield* runs.history(runId, "system/node_0/cpu_utilization_percentage")
      return { run, cpu, later }
    }).pipe(Effect.provide(layer)),
  )
  const names = Object.keys(seen.run.metrics).map((name) => name.replace("system/node_0/", ""))
  expect(names).toEqual(
    expect.arrayContaining([
      "cpu_utilization_percentage",
      "disk_available_megabytes",
      "disk_usage_megabytes",
      "disk_usage_percentage",
      "system_memory_usage_megabytes",
      "system_memory_usage_percentage",
      ...(process.platform === "linux"
        ? ["network_receive_megabytes", "network_transmit_megabytes"]
        : []),
    ]),
  )
  for (const [name, value] of Object.entries(seen.run.metrics)) {
    expect(value).toBeGreaterThanOrEqual(0)
    if (name.endsWith("_percentage")) expect(value).toBeLessThanOrEqual(100)
  }
  expect(seen.run.metrics["system/node_0/system_memory_usage_megabytes"]).toBeGreaterThan(10)
  expect(seen.cpu.length).toBeGreaterThanOrEqual(3)
  expect(seen.cpu.map(({ step }) => step)).toEqual(seen.cpu.map((_, i) => i))
  // It has stopped.
  expect(seen.later).toHaveLength(seen.cpu.length)
})

it("disturbs nobody when the run has ended, the store is broken, or it throws", async () => {
  const broken: ReadonlyArray<SystemMetrics.Sink<RegistryError.RegistryError>> = [
    {
      log: () =>
        Effect.fail(new RegistryError.RegistryError({ reason: "Unavailable", message: "down" })),
    },
    {
      log: () => {
        throw new Error("a defect")
      },
    },
    { log: () => Effect.die("another") },
  ]
  await Effect.runPromise(
    Effect.gen(function* () {
      const runs = yield* Runs.Runs
      const { runId } = yield* runs.start({ experiment: "system" })
      yield* runs.finish(runId, "FINISHED")
      for (const sink of [runs, ...broken]) {
        const sampler = yield* SystemMetrics.start(sink, runId, { everyMs: 100 })
        yield* Effect.sleep(220)
        yield* sampler.stop
        yield* sampler.stop
      }
    }).pipe(Effect.provide(layer)),
  )
})

it("reads GPUs as NVIDIA's tool tells them, and asks only where there are any", async () => {
  const reading = gpuReading(
    "0, 1024, 143771, 37, 75.25, 700.00\n1, 0, 143771, [N/A], [N/A], [N/A]\n",
  )
  expect(reading).toMatchObject({
    gpu_0_memory_usage_megabytes: 1073.741824,
    gpu_0_utilization_percentage: 37,
    gpu_0_power_usage_watts: 75.25,
    gpu_0_power_usage_percentage: 10.75,
    gpu_1_memory_usage_megabytes: 0,
    gpu_1_memory_usage_percentage: 0,
  })
  expect(Object.keys(reading)).toHaveLength(7)
  expect(gpuReading("No devices were found\n")).toEqual({})

  const batches: Array<RunTracker.RunBatch> = []
  const sink = {
    log: (_: string, batch: RunTracker.RunBatch) => Effect.sync(() => void batches.push(batch)),
  }
  const none = Accelerator.Accelerator.of({
    discover: Effect.succeed({ devices: [], absent: [] }),
    lease: () => Effect.never,
  })
  await Effect.runPromise(
    Effect.gen(function* () {
      const sampler = yield* SystemMetrics.start(sink, "run", { everyMs: 100 })
      yield* Effect.sleep(50)
      yield* sampler.stop
    }).pipe(Effect.provideService(Accelerator.Accelerator, none)),
  )
  expect(batches.length).toBeGreaterThan(0)
  const keys = batches.flatMap(({ metrics = [] }) => metrics.map(({ key }) => key))
  expect(keys.filter((key) => key.includes("gpu"))).toEqual([])
})
