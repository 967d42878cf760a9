/**
 * Compute backends with a known mistake, which the suite must reject.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Compute } from "../../../Compute.ts"
import * as Id from "../../../Id.ts"
import type { JobSpec, JobStatus } from "../../../Job.ts"
import * as Process from "../../../process.ts"
import type { Broken } from "../../../testing/Conformance.ts"
import * as Worker from "../../../worker.ts"

type Service = Compute["Service"]

const change = (
  base: Layer.Layer<Compute, unknown>,
  how: (inner: Service) => Partial<Service>,
): Layer.Layer<Compute, unknown> =>
  Layer.effect(
    Compute,
    Effect.map(Compute, (inner) => ({ ...inner, ...how(inner) })),
  ).pipe(Layer.provide(base))

const threads = (how: (inner: Service) => Partial<Service>) =>
  change(Worker.layer({ cpus: 2 }), how)

const processes = (how: (inner: Service) => Partial<Service>) =>
  change(
    Layer.unwrap(
      Effect.map(
        Effect.acquireRelease(
          Effect.promise(() => mkdtemp(join(tmpdir(), "compute-broken-"))),
          (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
        ),
        (directory) => Process.layer({ directory, cpus: 2, stopOnClose: true }),
      ),
    ),
    how,
  )

/** Changes every status that is told. */
const telling = (inner: Service, tell: (status: JobStatus) => JobStatus): Partial<Service> => ({
  status: (id) => Effect.map(inner.status(id), tell),
  wait: (id) => Effect.map(inner.wait(id), tell),
  cancel: (id) => Effect.map(inner.cancel(id), tell),
})

/** Changes every job before it runs. */
const running = (inner: Service, turn: (job: JobSpec) => JobSpec): Partial<Service> => ({
  submit: (job) => inner.submit(turn(job)),
})

const without =
  (...fields: ReadonlyArray<keyof JobStatus | keyof JobSpec>) =>
  <A extends object>(value: A): A =>
    Object.fromEntries(
      Object.entries(value).filter(([name]) => !fields.some((field) => field === name)),
    ) as A

/** Each with the cases that must not pass on it. */
export const broken: ReadonlyArray<Broken<Compute>> = [
  {
    name: "tells neither output, message nor exit code",
    layer: threads((inner) => telling(inner, without("output", "message", "exitCode"))),
    mustFail: [
      "a function's output is the job's",
      "a function that throws fails its job",
      "a function that ends its process fails its job",
      "a job inherits no secrets",
    ],
  },
  {
    name: "keeps one line",
    layer: threads((inner) => ({
      logs: (id, options) => Stream.take(inner.logs(id, options), 1),
    })),
    mustFail: [
      "output is kept, and followed until the end",
      "a cancelled job hears of it and has its grace",
    ],
  },
  {
    name: "takes every submission for a new job, and any job",
    layer: threads((inner) => {
      const latest = new Map<string, string>()
      return {
        submit: (job) => {
          const id = Id.make()
          latest.set(job.id, id)
          return Effect.orElseSucceed(inner.submit({ ...job, id }), () => ({
            ...job,
            state: "queued" as const,
            attempt: 1,
            submitted: 0,
          }))
        },
        wait: (id) => inner.wait(latest.get(id) ?? id),
      }
    }),
    mustFail: ["a known id starts nothing", "refuses jobs that are no jobs"],
  },
  {
    name: "knows no retry, timeout or CPUs",
    layer: threads((inner) => running(inner, without("retry", "timeoutMs", "resources"))),
    mustFail: [
      "a failed attempt is tried again, later",
      "a job that takes too long is stopped",
      "jobs wait for free CPUs, in order",
      "a queued job is cancelled before it starts",
    ],
  },
  {
    name: "cancels nothing",
    layer: threads((inner) => ({ cancel: inner.wait })),
    mustFail: [
      "a cancelled job hears of it and has its grace",
      "a job that ignores its cancellation is stopped",
    ],
  },
  {
    name: "limits no memory",
    layer: threads((inner) => ({
      ...running(inner, without("resources")),
      capabilities: { ...inner.capabilities, memoryLimit: true },
    })),
    mustFail: ["a job that takes too much memory is stopped"],
  },
  {
    name: "lists oldest first, and has every job",
    layer: threads((inner) => ({
      list: (page) => Effect.map(inner.list(page), ({ items }) => ({ items: items.toReversed() })),
      status: (id) =>
        Effect.succeed({ id, name: "job", state: "queued", attempt: 1, submitted: 0 }),
    })),
    mustFail: ["jobs are listed newest first, page by page", "says when there is no such job"],
  },
  {
    name: "tells no exit code, signal or message of programs",
    layer: processes((inner) => telling(inner, without("exitCode", "signal", "message"))),
    mustFail: [
      "a program's exit code is reported",
      "the signal that ended a program is reported",
      "a program that cannot start fails",
    ],
  },
  {
    name: "passes arguments through a shell, and tries every failure again",
    layer: processes((inner) =>
      running(inner, (job) => {
        if (job.task._tag !== "Command") return job
        const [program, ...rest] = job.task.argv
        const argv = [
          "/bin/sh",
          "-c",
          `exec ${program} "$1" "$2" ${rest.slice(2).join(" ")}`,
        ] as const
        const { attempts = 1 } = job.retry ?? {}
        return {
          ...job,
          retry: { attempts, backoffMs: 1 },
          task: { ...job.task, argv: [...argv, "sh", ...rest.slice(0, 2)] },
        }
      }),
    ),
    mustFail: [
      "arguments reach a program as they are",
      "only the exit codes named are tried again",
    ],
  },
  {
    name: "forgets what a program started",
    layer: processes((inner) => ({
      // The grace stands for "never": what should be gone is there when the case looks.
      ...running(inner, (job) => ({ ...job, graceMs: 3000 })),
      cancel: (id) =>
        Effect.map(inner.status(id), (status) => {
          if (status.pid !== undefined) process.kill(status.pid, "SIGKILL")
          return { ...status, state: "cancelled" as const }
        }),
      wait: (id) =>
        Effect.map(inner.status(id), (status) => ({ ...status, state: "succeeded" as const })),
    })),
    mustFail: [
      "cancelling stops all that a program started",
      "nothing a program started outlives it",
    ],
  },
]
