/**
 * Jobs in worker threads of this process: `Call` tasks only, cheap to start, gone with the process.
 *
 * @module
 */
import { availableParallelism } from "node:os"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Compute, type ComputeCapabilities, type ComputeError } from "./Compute.ts"
import * as Engine from "./internal/compute/Engine.ts"
import * as Failures from "./internal/compute/failure.ts"
import * as Input from "./internal/compute/input.ts"
import * as LogBuffer from "./internal/compute/LogBuffer.ts"
import { pageOf } from "./internal/compute/paging.ts"
import * as WorkerPool from "./internal/compute/WorkerPool.ts"
import type { JobSpec, JobStatus } from "./Job.ts"
import { now } from "./Timestamp.ts"

/** How the worker threads are set up. */
export interface WorkerOptions {
  /** CPUs to share among jobs, and idle threads kept; default: those of the machine. */
  readonly cpus?: number
  /** Finished jobs that can still be asked for, the newest; default 10000. */
  readonly keep?: number
  /** Characters of output kept for each job, the newest; default 1048576. */
  readonly logLimit?: number
}

const capabilities: ComputeCapabilities = { tasks: ["Call"], adopt: false, memoryLimit: false }

const outcomeOf = (
  end: Awaited<WorkerPool.Task["done"]>,
  stopped: "cancelled" | "timed_out" | undefined,
  timeoutMs: number | undefined,
): Engine.Outcome => {
  const finished = now()
  if (stopped === "timed_out") {
    return { state: stopped, finished, message: `it took longer than its ${timeoutMs} ms` }
  }
  if (stopped === "cancelled") return { state: stopped, finished, message: "it was cancelled" }
  if (!("ok" in end)) return { state: "failed", finished, ...end }
  return end.ok
    ? { state: "succeeded", finished, output: end.output }
    : { state: "failed", finished, message: end.message }
}

const make = (options: Required<WorkerOptions>) => {
  const { cpus, keep, logLimit } = options
  const pool = WorkerPool.make(Math.ceil(cpus))
  const logs = new Map<string, LogBuffer.LogBuffer>()
  const finished = new Map<string, JobStatus>()

  const start = (job: JobSpec, attempt: number): Engine.Running => {
    const { task } = job
    if (task._tag !== "Call") throw Failures.notSupported("worker", "Command tasks", "task._tag")
    const buffer = logs.get(job.id)
    const running = pool.run(task, (stream, line) =>
      buffer?.append({ time: now(), stream, line, attempt }),
    )
    let grace: NodeJS.Timeout | undefined
    let stopped: "cancelled" | "timed_out" | undefined
    const stop = (reason: "cancelled" | "timed_out") => {
      stopped ??= reason
      running.abort(reason === "cancelled" ? "the job was cancelled" : "the job ran out of time")
      grace ??= setTimeout(running.kill, job.graceMs ?? 10_000)
    }
    const timer =
      job.timeoutMs === undefined ? undefined : setTimeout(() => stop("timed_out"), job.timeoutMs)
    return {
      started: now(),
      stop: () => stop("cancelled"),
      done: running.done.then((end) => {
        clearTimeout(timer)
        clearTimeout(grace)
        return outcomeOf(end, stopped, job.timeoutMs)
      }),
    }
  }

  const save = (status: JobStatus): void => {
    if (status.finished === undefined) return
    logs.get(status.id)?.end()
    finished.set(status.id, status)
    for (const id of finished.keys()) {
      if (finished.size <= keep) break
      finished.delete(id)
      logs.delete(id)
    }
  }

  const engine = Engine.make(cpus, {
    start: async (job, attempt) => start(job, attempt),
    save: async (status) => save(status),
  })

  const statusOf = (id: string): JobStatus => {
    const status = engine.status(Input.id(id)) ?? finished.get(id)
    if (status === undefined) throw Failures.notFound(id)
    return status
  }

  const attempt = <A>(run: () => A) => Effect.try({ try: run, catch: Failures.wrap })

  const wait = (id: string) =>
    Effect.tryPromise({
      try: async (signal) => engine.wait(Input.id(id), signal) ?? statusOf(id),
      catch: Failures.wrap,
    })

  const service = Compute.of({
    name: "worker",
    capabilities,
    submit: (job) =>
      attempt(() => {
        const spec = Input.job(job, { name: "worker", cpus, capabilities })
        const known = engine.status(spec.id) ?? finished.get(spec.id)
        if (known !== undefined) return known
        const status: JobStatus = {
          id: spec.id,
          name: spec.name,
          state: "queued",
          attempt: 1,
          submitted: now(),
        }
        logs.set(spec.id, LogBuffer.make(logLimit))
        engine.add(spec, status)
        return status
      }),
    status: (id) => attempt(() => statusOf(id)),
    wait,
    logs: (id, request) =>
      Stream.suspend(() => {
        const buffer = logs.get(id)
        if (buffer === undefined) return Stream.fail(Failures.notFound(id))
        return Stream.fromAsyncIterable(buffer.read(request?.follow ?? false), Failures.wrap)
      }),
    cancel: (id) =>
      Effect.andThen(
        attempt(() => engine.cancel(Input.id(id))),
        wait(id),
      ),
    list: (page) =>
      attempt(() => {
        const active = Array.from(engine.active(), statusOf)
        return pageOf([...active, ...finished.values()], Input.page(page))
      }),
  })

  const close = Effect.promise(async () => {
    await engine.close()
    for (const buffer of logs.values()) buffer.end()
    await pool.close()
  })
  return { service, close }
}

const positive = (field: string, value: number): number => {
  if (Number.isFinite(value) && value > 0) return value
  throw Failures.invalid(field, `${field} is ${value}; give a number above 0.`)
}

/**
 * Worker threads. A task's function gets `(input, { signal, log })`; when its time is up or it is
 * cancelled the signal aborts, and after the job's grace the thread is ended. Closing the layer ends
 * all of them.
 *
 * @example
 * ```ts
 * import { mkdtemp, writeFile } from "node:fs/promises"
 * import { tmpdir } from "node:os"
 * import { join } from "node:path"
 * import { pathToFileURL } from "node:url"
 * import { Compute } from "@ashlar/core"
 * import * as Worker from "@ashlar/core/worker"
 * import * as Effect from "effect/Effect"
 *
 * const file = join(await mkdtemp(join(tmpdir(), "calls-")), "calls.mjs")
 * await writeFile(file, "export const double = (x) => 2 * x")
 * const program = Effect.gen(function* () {
 *   const compute = yield* Compute.Compute
 *   const module = pathToFileURL(file).href
 *   const task = { _tag: "Call", module, function: "double", input: 21 } as const
 *   yield* compute.submit({ id: "double-1", name: "double", task })
 *   return (yield* compute.wait("double-1")).output
 * })
 * await Effect.runPromise(Effect.provide(program, Worker.layer())) // => 42
 * ```
 */
export const layer = (options: WorkerOptions = {}): Layer.Layer<Compute, ComputeError> =>
  Layer.effect(
    Compute,
    Effect.map(
      Effect.acquireRelease(
        Effect.try({
          try: () =>
            make({
              cpus: positive("cpus", options.cpus ?? availableParallelism()),
              keep: positive("keep", options.keep ?? 10_000),
              logLimit: positive("logLimit", options.logLimit ?? 1 << 20),
            }),
          catch: Failures.wrap,
        }),
        ({ close }) => close,
      ),
      ({ service }) => service,
    ),
  )

/** The same, from configuration. */
export const layerConfig = (
  options: Config.Wrap<WorkerOptions>,
): Layer.Layer<Compute, ComputeError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
