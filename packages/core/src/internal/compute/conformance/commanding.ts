/**
 * Cases of the Compute suite: programs, and what is refused.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import { Compute, type ComputeCapabilities } from "../../../Compute.ts"
import type { JobSpec } from "../../../Job.ts"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { startOf } from "../processes.ts"
import { call, type ComputeCase, finish, lines, script } from "./scratch.ts"

const commands = {
  requires: (capabilities: ComputeCapabilities) => capabilities.tasks.includes("Command"),
  otherwise: "NotSupported",
} as const

/** False for a zombie too: nobody may be left to reap an orphan. */
const isAlive = (pid: number): boolean => startOf(pid) !== undefined

const deaf = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);"
// A child that is deaf too, and a grandchild that left for a session of its own.
const family = `
${deaf}
const { spawn } = require("node:child_process")
const options = { detached: true, stdio: "inherit" }
const program = ${JSON.stringify(`${deaf} console.log("pid " + process.pid)`)}
spawn(process.execPath, ["-e", program], options).unref()
console.log("pid " + process.pid)
`

// Ends as soon as a deaf grandchild, in a session of its own, lives.
const parent = `
const { spawn } = require("node:child_process")
const options = { detached: true, stdio: ["ignore", "pipe", "inherit"] }
const program = ${JSON.stringify(`${deaf} console.log("pid " + process.pid)`)}
spawn(process.execPath, ["-e", program], options).stdout.on("data", (line) => {
  process.stdout.write(line, () => process.exit(0))
})
`

/** The pids a job has printed, once there are so many. */
const pidsOf = Effect.fnUntraced(function* (
  compute: Compute["Service"],
  id: string,
  count: number,
) {
  for (;;) {
    const pids = (yield* lines(compute, id)).map((line) => Number(line.split(" ").at(-1)))
    if (pids.length >= count) return pids
    yield* Effect.sleep(50)
  }
})

const wrong = (change: Partial<Record<keyof JobSpec, unknown>>): JobSpec => ({
  ...call("add", { a: 1, b: 1 }),
  ...(change as Partial<JobSpec>),
})

/** Cases about `Command` tasks and wrong jobs. */
export const commanding: ReadonlyArray<ComputeCase> = [
  {
    name: "a program's exit code is reported",
    ...commands,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const fine = script("console.log('out'); console.error('err')")
        const done = yield* finish(compute, fine)
        yield* equal([done.state, done.exitCode], ["succeeded", 0], "a program that succeeds")
        yield* equal(
          (yield* lines(compute, fine.id)).toSorted(),
          ["stderr: err", "stdout: out"],
          "its lines",
        )
        const bad = yield* finish(compute, script("process.exit(42)"))
        yield* equal([bad.state, bad.exitCode], ["failed", 42], "a program that fails")
      }),
    ),
  },
  {
    name: "the signal that ended a program is reported",
    ...commands,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const done = yield* finish(compute, script("process.kill(process.pid, 'SIGKILL')"))
        yield* equal([done.state, done.signal], ["failed", "SIGKILL"], "state and signal")
      }),
    ),
  },
  {
    name: "a program that cannot start fails",
    ...commands,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const task = { _tag: "Command", argv: ["/no/such/program"] } as const
        const done = yield* finish(compute, { ...script(""), task })
        yield* equal(done.state, "failed", "the state")
        yield* ensure(done.message?.includes("/no/such/program") === true, "the name is lost")
      }),
    ),
  },
  {
    name: "arguments reach a program as they are",
    ...commands,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const odd = ["$(id)", "a b", "'", '"', ";", "*", "é"]
        const source = "console.log(JSON.stringify([process.argv.slice(1), process.env.GIVEN]))"
        const job: JobSpec = {
          ...script(""),
          task: {
            _tag: "Command",
            argv: [process.execPath, "-e", source, "--", ...odd],
            env: { GIVEN: "$HOME" },
          },
        }
        yield* finish(compute, job)
        yield* equal(
          yield* lines(compute, job.id),
          [`stdout: ${JSON.stringify([odd, "$HOME"])}`],
          "arguments and environment",
        )
      }),
    ),
  },
  {
    name: "only the exit codes named are tried again",
    ...commands,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const retry = { attempts: 2, backoffMs: 1, exitCodes: [75] }
        const temporary = yield* finish(compute, script("process.exit(75)", { retry }))
        yield* equal(temporary.attempt, 2, "attempts after exit code 75")
        const other = yield* finish(compute, script("process.exit(1)", { retry }))
        yield* equal(other.attempt, 1, "attempts after exit code 1")
      }),
    ),
  },
  {
    name: "cancelling stops all that a program started",
    ...commands,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const job = script(family)
        yield* compute.submit(job)
        const pids = yield* pidsOf(compute, job.id, 2)
        yield* ensure(pids.every(isAlive), "the processes do not live")
        yield* equal((yield* compute.cancel(job.id)).state, "cancelled", "the state")
        yield* equal(pids.filter(isAlive), [], "processes that still live")
      }),
    ),
  },
  {
    name: "nothing a program started outlives it",
    ...commands,
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        const job = script(parent)
        yield* compute.submit(job)
        const pids = yield* pidsOf(compute, job.id, 1)
        const done = yield* compute.wait(job.id)
        yield* equal(done.state, "succeeded", "the state")
        yield* equal(pids.filter(isAlive), [], "processes that still live")
      }),
    ),
  },
  {
    name: "says when there is no such job",
    run: Compute.use((compute) =>
      Effect.gen(function* () {
        yield* fails(compute.status("absent"), "NotFound")
        yield* fails(compute.wait("absent"), "NotFound")
        yield* fails(compute.cancel("absent"), "NotFound")
        yield* fails(lines(compute, "absent"), "NotFound")
        yield* fails(compute.status(""), "InvalidInput")
      }),
    ),
  },
  {
    name: "refuses jobs that are no jobs",
    run: Compute.use((compute) =>
      Effect.forEach(
        [
          wrong({ id: "" }),
          wrong({ name: "no name!" }),
          wrong({ timeoutMs: 0 }),
          wrong({ timeoutMs: 2 ** 31 }),
          wrong({ graceMs: -1 }),
          wrong({ retry: { attempts: 0 } }),
          wrong({ resources: { cpus: 0 } }),
          wrong({ resources: { cpus: 1e9 } }),
          wrong({ resources: { memoryMb: 0 } }),
          wrong({ task: { _tag: "Command", argv: [] } }),
          wrong({ task: { _tag: "Call", module: "node:fs", function: "rmSync", input: "/x" } }),
          wrong({ task: { _tag: "Unknown" } }),
        ],
        (job) => fails(compute.submit(job), "InvalidInput"),
      ),
    ),
  },
]
