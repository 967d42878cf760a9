/**
 * Jobs as child processes, each under a small supervisor that outlives the submitter: when that
 * crashes, the next one that opens the directory adopts what runs, and finds what has ended.
 *
 * @module
 */
import { availableParallelism } from "node:os"
import { resolve } from "node:path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Compute, type ComputeCapabilities, ComputeError } from "./Compute.ts"
import * as Failures from "./internal/compute/failure.ts"
import * as Input from "./internal/compute/input.ts"
import { pageOf } from "./internal/compute/paging.ts"
import * as ProcessJobs from "./internal/compute/ProcessJobs.ts"

/** How the child processes are set up. */
export interface ProcessOptions {
  /** Where jobs, their status and output are kept; made when absent. */
  readonly directory: string
  /** CPUs to share among jobs; default: those of the machine. */
  readonly cpus?: number
  /** Bytes of output kept for each attempt, the newest; default 64 MiB. */
  readonly logLimitBytes?: number
  /** Cancel what runs when the layer closes, instead of leaving it to be adopted; default false. */
  readonly stopOnClose?: boolean
}

const capabilities: ComputeCapabilities = {
  tasks: ["Command", "Call"],
  adopt: true,
  // The supervisor reads the tree's resident memory from /proc ten times a second.
  memoryLimit: process.platform === "linux",
}

const attempt = <A>(run: (signal: AbortSignal) => Promise<A>) =>
  Effect.tryPromise({ try: run, catch: Failures.wrap })

const make = (jobs: ProcessJobs.ProcessJobs, cpus: number): Compute["Service"] =>
  Compute.of({
    name: "process",
    capabilities,
    submit: (job) =>
      attempt(async () => jobs.submit(Input.job(job, { name: "process", cpus, capabilities }))),
    status: (id) => attempt(async () => jobs.status(Input.id(id))),
    wait: (id) => attempt(async (signal) => jobs.wait(Input.id(id), signal)),
    logs: (id, options) =>
      Stream.suspend(() =>
        Stream.fromAsyncIterable(jobs.logs(id, options?.follow ?? false), Failures.wrap),
      ),
    cancel: (id) =>
      attempt(async (signal) => {
        await jobs.cancel(Input.id(id))
        return jobs.wait(id, signal)
      }),
    list: (page) =>
      attempt(async () => {
        const wanted = Input.page(page)
        return pageOf(await jobs.list(), wanted)
      }),
  })

const decodeOptions = (options: ProcessOptions) => {
  const { directory, cpus = availableParallelism(), logLimitBytes = 64 * 2 ** 20 } = options
  if (process.platform === "win32") {
    throw new ComputeError({
      reason: "NotSupported",
      message: "Compute 'process' needs process groups, which Windows lacks; use 'worker' there.",
    })
  }
  if (typeof directory !== "string" || !/^[^\0]+$/.test(directory)) {
    throw Failures.invalid("directory", "directory is empty or no path; name one for the jobs.")
  }
  if (!(Number.isFinite(cpus) && cpus > 0)) {
    throw Failures.invalid("cpus", `cpus is ${cpus}; give a number above 0.`)
  }
  if (!(Number.isInteger(logLimitBytes) && logLimitBytes >= 4096)) {
    throw Failures.invalid(
      "logLimitBytes",
      `logLimitBytes is ${logLimitBytes}; give at least 4096.`,
    )
  }
  return { directory: resolve(directory), cpus, logLimitBytes }
}

/**
 * Child processes. Each attempt of a `Command` runs in a fresh working directory unless `cwd` names
 * one. Closing the layer leaves running jobs to the next submitter unless `stopOnClose` is set.
 *
 * @example
 * ```ts
 * import { mkdtemp } from "node:fs/promises"
 * import { tmpdir } from "node:os"
 * import { join } from "node:path"
 * import { Compute } from "@ashlar/core"
 * import * as Process from "@ashlar/core/process"
 * import * as Effect from "effect/Effect"
 *
 * const directory = await mkdtemp(join(tmpdir(), "jobs-"))
 * const program = Effect.gen(function* () {
 *   const compute = yield* Compute.Compute
 *   yield* compute.submit({
 *     id: "hello-1",
 *     name: "hello",
 *     task: { _tag: "Command", argv: ["echo", "hello"] },
 *   })
 *   const { state, exitCode } = yield* compute.wait("hello-1")
 *   return [state, exitCode]
 * })
 * await Effect.runPromise(Effect.provide(program, Process.layer({ directory }))) // => ["succeeded", 0]
 * ```
 */
export const layer = (options: ProcessOptions): Layer.Layer<Compute, ComputeError> =>
  Layer.effect(
    Compute,
    Effect.map(
      Effect.acquireRelease(
        attempt(async () => {
          const decoded = decodeOptions(options)
          return { jobs: await ProcessJobs.make(decoded), cpus: decoded.cpus }
        }),
        ({ jobs }) => Effect.promise(() => jobs.close(options.stopOnClose ?? false)),
      ),
      ({ jobs, cpus }) => make(jobs, cpus),
    ),
  )

/** The same, from configuration. */
export const layerConfig = (
  options: Config.Wrap<ProcessOptions>,
): Layer.Layer<Compute, ComputeError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
