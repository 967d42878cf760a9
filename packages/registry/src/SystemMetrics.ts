/**
 * Metrics of the machine beside those of the run, under MLflow's names: `system/` and
 * `cpu_utilization_percentage`, `system_memory_usage_megabytes`, `disk_usage_percentage`,
 * `network_receive_megabytes`, `gpu_0_utilization_percentage` and the like. Megabytes are 10^6 bytes.
 *
 * @module
 */
import { Accelerator, type RunTracker, Timestamp } from "@ashlar/core"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Probes from "./internal/capture/probes.ts"

/** How to sample. */
export interface SystemMetricsOptions {
  /** Time between samples; default 10000, at least 100. */
  readonly everyMs?: number
  /** Goes into the names, to tell the machines of one run apart: `system/<node>/...`. */
  readonly node?: string
  /** The first step; default 0. Give the next one when a run is resumed. */
  readonly firstStep?: number
  /** Whether to ask for NVIDIA's GPUs; default if the service `Accelerator` has any, or is not there. */
  readonly gpu?: boolean
}

/** Where metrics go: `Runs`, `Tracking` and core's `RunTracker` all fit. */
export interface Sink<E> {
  readonly log: (runId: string, batch: RunTracker.RunBatch) => Effect.Effect<void, E>
}

/** A sampler at work. */
export interface Sampler {
  /** Takes a last sample and ends; waits for it. Stopping twice does nothing. */
  readonly stop: Effect.Effect<void>
}

const hasGpu = Effect.gen(function* () {
  const accelerator = yield* Effect.serviceOption(Accelerator.Accelerator)
  if (accelerator._tag === "None") return true
  const { devices } = yield* accelerator.value.discover
  return devices.some(({ kind }) => kind === "cuda")
})

const prepare = Effect.fnUntraced(function* (options: SystemMetricsOptions) {
  const probes = new Set<Probes.Probe>([
    Probes.cpuProbe(),
    Probes.memoryProbe,
    Probes.diskProbe,
    Probes.networkProbe(),
  ])
  if (options.gpu ?? (yield* hasGpu)) probes.add(Probes.gpuProbe)
  const prefix = options.node === undefined ? "system/" : `system/${options.node}/`
  /** One sample. What this machine cannot say is not asked for again. */
  return Effect.promise(async () => {
    const time = Timestamp.now()
    const readings = await Promise.all(
      [...probes].map(async (probe): Promise<Probes.Reading> => {
        try {
          return await probe()
        } catch {
          probes.delete(probe)
          return {}
        }
      }),
    )
    return readings
      .flatMap((reading) => Object.entries(reading))
      .map(([name, value]) => ({
        key: `${prefix}${name}`,
        value: Math.round(value * 10) / 10,
        time,
      }))
  })
})

/**
 * Samples the machine into a run until it is stopped, or until the run takes no more. The program is
 * not disturbed: a sample that cannot be taken or stored is skipped, with a warning in the log.
 */
export const start = <E>(
  sink: Sink<E>,
  runId: string,
  options: SystemMetricsOptions = {},
): Effect.Effect<Sampler> =>
  Effect.gen(function* () {
    const everyMs = Math.max(100, options.everyMs ?? 10_000)
    let step = options.firstStep ?? 0
    let stopped = false
    const sample = yield* prepare(options)
    const once = Effect.suspend(() => {
      const at = step++
      return Effect.flatMap(sample, (metrics) =>
        sink.log(runId, { metrics: metrics.map((metric) => ({ ...metric, step: at })) }),
      ).pipe(
        Effect.as(true),
        // A sink that throws is a defect, and no reason to end the program either.
        Effect.catchCause((cause) =>
          Effect.as(Effect.logWarning("system metrics were not stored", cause), false),
        ),
      )
    })
    let failures = 0
    const loop = Effect.gen(function* () {
      while (failures < 10) {
        failures = (yield* once) ? 0 : failures + 1
        yield* Effect.sleep(Duration.millis(everyMs))
      }
    })
    const fiber = yield* Effect.forkDetach(loop)
    return {
      stop: Effect.suspend(() => {
        if (stopped) return Effect.void
        stopped = true
        return Effect.andThen(
          Fiber.interrupt(fiber),
          failures === 0 ? Effect.asVoid(once) : Effect.void,
        )
      }),
    }
  })

/** Samples the machine into a run until the scope closes; see {@link start}. */
export const sample = <E>(
  sink: Sink<E>,
  runId: string,
  options: SystemMetricsOptions = {},
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.acquireRelease(start(sink, runId, options), ({ stop }) => stop))
