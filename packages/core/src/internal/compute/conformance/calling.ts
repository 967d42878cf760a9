/**
 * Cases of the Compute suite: functions.
 *
 * @module
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { Compute, type ComputeCapabilities } from "../../../Compute.ts"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { call, type ComputeCase, finish, lines, printed, until, withDirectory } from "./scratch.ts"

const calls = {
  requires: (capabilities: ComputeCapabilities) => capabilities.tasks.includes("Call"),
  otherwise: "NotSupported",
} as const

/** Cases about `Call` tasks. */
export const calling: ReadonlyArray<ComputeCase> = [
  {
    name: "a function's output is the job's",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const job = call("add", { a: 1.5, b: 2 })
        const submitted = yield* compute.submit(job)
        yield* equal([submitted.id, submitted.attempt], [job.id, 1], "what submit returns")
        const done = yield* compute.wait(job.id)
        yield* equal([done.state, done.output], ["succeeded", 3.5], "state and output")
        const { started = 0, finished = 0 } = done
        yield* ensure(
          done.submitted <= started && started <= finished && started > 1.6e15,
          "submitted, started and finished do not follow each other",
        )
        yield* equal(yield* compute.status(job.id), done, "the status afterwards")
      }),
    ),
  },
  {
    name: "a function that throws fails its job",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const done = yield* finish(compute, call("fail", "seven is too many"))
        yield* equal([done.state, done.output], ["failed", undefined], "state and output")
        yield* ensure(done.message?.includes("seven is too many") === true, "the message is lost")
        const missing = yield* finish(compute, call("missing"))
        yield* equal(missing.state, "failed", "a function that is not there")
        yield* ensure(missing.message?.includes("missing") === true, "the name is lost")
      }),
    ),
  },
  {
    name: "a function that ends its process fails its job",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const done = yield* finish(compute, call("exit", 7))
        yield* equal([done.state, done.exitCode], ["failed", 7], "state and exit code")
        yield* equal((yield* finish(compute, call("exit", 0))).state, "failed", "exit code 0")
        yield* equal((yield* finish(compute, call("add", { a: 1, b: 1 }))).output, 2, "the next")
      }),
    ),
  },
  {
    name: "output is kept, and followed until the end",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const job = call("talk", 10)
        yield* compute.submit(job)
        const expected = Array.from({ length: 10 }, (_, at) => `stdout: line ${at}`)
        yield* equal(yield* lines(compute, job.id, true), expected, "followed lines")
        yield* equal(yield* lines(compute, job.id), expected, "kept lines")
        const print = call("print", "x")
        yield* finish(compute, print)
        yield* equal(
          (yield* lines(compute, print.id)).toSorted(),
          ["stderr: warned x", "stdout: logged x", "stdout: printed x"],
          "lines of both streams",
        )
      }),
    ),
  },
  {
    name: "a known id starts nothing",
    ...calls,
    run: withDirectory((compute, directory) =>
      Effect.gen(function* () {
        const file = join(directory, "calls")
        const job = call("append", { file, line: "a", waitMs: 50 })
        const again = Array.from({ length: 8 }, () => compute.submit(job))
        const all = yield* Effect.all(again, { concurrency: "unbounded" })
        yield* equal(new Set(all.map(({ submitted }) => submitted)).size, 1, "submissions")
        const done = yield* compute.wait(job.id)
        yield* equal(yield* compute.submit(job), done, "a submit afterwards")
        yield* Effect.sleep(100)
        const text = yield* Effect.promise(() => readFile(file, "utf8"))
        yield* equal(text, "+a\n-a\n", "what the job wrote")
      }),
    ),
  },
  {
    name: "a failed attempt is tried again, later",
    ...calls,
    run: withDirectory((compute, directory) =>
      Effect.gen(function* () {
        const retry = { attempts: 4, backoffMs: 50 }
        const job = call("flaky", { file: join(directory, "a"), failures: 2 }, { retry })
        const done = yield* finish(compute, job)
        yield* equal([done.state, done.attempt, done.output], ["succeeded", 3, 3], "the job")
        // 50 ms, then 100.
        yield* ensure((done.started ?? 0) - done.submitted >= 140_000, "it did not wait")
        const poor = call("flaky", { file: join(directory, "b"), failures: 9 }, { retry })
        const failed = yield* finish(compute, { ...poor, retry: { ...retry, attempts: 2 } })
        yield* equal([failed.state, failed.attempt], ["failed", 2], "the job that never succeeds")
      }),
    ),
  },
  {
    name: "a job that takes too long is stopped",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const spin = yield* finish(compute, call("spin", null, { timeoutMs: 200 }))
        yield* equal(spin.state, "timed_out", "a job that hears nothing")
        const listen = yield* finish(compute, call("listen", null, { timeoutMs: 200 }))
        yield* equal(listen.state, "timed_out", "a job that stops when asked")
        yield* ensure((spin.message ?? "") !== "", "no message says why")
      }),
    ),
  },
  {
    name: "a cancelled job hears of it and has its grace",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const job = call("listen", null, { graceMs: 10_000 })
        yield* compute.submit(job)
        yield* printed(compute, job.id, "listening")
        const done = yield* compute.cancel(job.id)
        yield* equal(done.state, "cancelled", "the state")
        yield* equal(
          yield* lines(compute, job.id),
          ["stdout: listening", "stdout: aborted"],
          "its last words",
        )
        yield* equal((yield* compute.cancel(job.id)).state, "cancelled", "cancelled again")
      }),
    ),
  },
  {
    name: "a job that ignores its cancellation is stopped",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const job = call("spin", null, { retry: { attempts: 3 } })
        yield* compute.submit(job)
        yield* until(compute, job.id, (state) => state === "running")
        yield* equal((yield* compute.cancel(job.id)).state, "cancelled", "the state")
        yield* equal((yield* finish(compute, call("add", { a: 1, b: 1 }))).output, 2, "the next")
      }),
    ),
  },
  {
    name: "a queued job is cancelled before it starts",
    ...calls,
    run: withDirectory((compute, directory) =>
      Effect.gen(function* () {
        const file = join(directory, "calls")
        const first = call("append", { file, line: "a", waitMs: 300 }, { resources: { cpus: 2 } })
        const second = call("append", { file, line: "b", waitMs: 0 }, { resources: { cpus: 2 } })
        yield* compute.submit(first)
        yield* compute.submit(second)
        const done = yield* compute.cancel(second.id)
        yield* equal([done.state, done.started], ["cancelled", undefined], "the second job")
        yield* equal((yield* compute.wait(first.id)).state, "succeeded", "the first job")
        yield* equal((yield* compute.cancel(first.id)).state, "succeeded", "cancelled too late")
        const text = yield* Effect.promise(() => readFile(file, "utf8"))
        yield* equal(text, "+a\n-a\n", "what the jobs wrote")
      }),
    ),
  },
  {
    name: "jobs wait for free CPUs, in order",
    ...calls,
    run: withDirectory((compute, directory) =>
      Effect.gen(function* () {
        const file = join(directory, "calls")
        const jobs = ["a", "b", "c", "d"].map((line) =>
          call("append", { file, line, waitMs: 30 }, { resources: { cpus: 2 } }),
        )
        for (const job of jobs) yield* compute.submit(job)
        yield* Effect.forEach(jobs, ({ id }) => compute.wait(id), { concurrency: "unbounded" })
        const text = yield* Effect.promise(() => readFile(file, "utf8"))
        yield* equal(text.split("\n").join(""), "+a-a+b-b+c-c+d-d", "order of the jobs")
      }),
    ),
  },
  {
    name: "a job inherits no secrets",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const name = "ASHLAR_SUITE_SECRET"
        process.env[name] = "secret"
        const done = yield* Effect.ensuring(
          finish(compute, call("environment")),
          Effect.sync(() => delete process.env[name]),
        )
        yield* ensure(Array.isArray(done.output), "the job told no environment")
        yield* ensure(!JSON.stringify(done.output).includes(name), "the secret was inherited")
      }),
    ),
  },
  {
    name: "a job that takes too much memory is stopped",
    requires: (capabilities) => capabilities.memoryLimit && capabilities.tasks.includes("Call"),
    otherwise: "NotSupported",
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const job = call("hoard", null, { resources: { memoryMb: 250 }, timeoutMs: 20_000 })
        const done = yield* finish(compute, job)
        yield* equal(done.state, "failed", "the state")
        yield* ensure(done.message?.includes("250 MB") === true, "the limit is not named")
      }),
    ),
  },
  {
    name: "jobs are listed newest first, page by page",
    ...calls,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const jobs = [1, 2, 3, 4, 5].map((a) => call("add", { a, b: 0 }))
        for (const job of jobs) {
          yield* finish(compute, job)
          yield* Effect.sleep(2)
        }
        const first = yield* compute.list({ limit: 2 })
        const next = first.next ?? ""
        const second = yield* compute.list({ limit: 2, token: next })
        yield* equal(
          [...first.items, ...second.items].map(({ id }) => id),
          jobs
            .toReversed()
            .slice(0, 4)
            .map(({ id }) => id),
          "the jobs",
        )
        yield* fails(compute.list({ limit: 0 }), "InvalidInput")
        yield* fails(compute.list({ token: "none" }), "InvalidInput")
      }),
    ),
  },
]
