/**
 * An attempt under a supervisor: starts it, or finds again one that another submitter started.
 *
 * @module
 */
import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { closeSync, openSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Schema from "effect/Schema"
import type { JobSpec } from "../../Job.ts"
import { now } from "../../Timestamp.ts"
import { createJson, readJson, writeJson } from "./atomicFile.ts"
import type { Outcome, Running } from "./Engine.ts"
import * as Environment from "./environment.ts"
import * as Processes from "./processes.ts"
import { Claim, RunEnd, type RunOrder, RunStart } from "./run.ts"

const read = async <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  path: string,
): Promise<S["Type"] | undefined> => {
  const value = await readJson(path)
  return value === undefined ? undefined : Schema.decodeUnknownSync(schema)(value)
}

const script = (name: string) => fileURLToPath(Environment.program(name))

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

const leftText = (left: ReadonlyArray<number>): string =>
  `its processes ${left.join(", ")} could not be killed; end them by hand`

const failureOf = (job: JobSpec, end: RunEnd): string | undefined => {
  if (end.because === "memory")
    return `it used more than its ${job.resources?.memoryMb} MB of memory`
  if (end.because === "timed_out") return `it took longer than its ${job.timeoutMs} ms`
  if (end.left !== undefined) return leftText(end.left)
  if (end.spawnError !== undefined) {
    return `it could not be started (${end.spawnError}); check argv[0] and cwd`
  }
  if (end.signal !== undefined) return `it was ended by signal ${end.signal}; see its logs`
  if (end.reply?.ok === false) return end.reply.message
  if (end.exitCode !== 0) return `it exited with code ${end.exitCode}; see its logs`
  if (job.task._tag === "Call" && end.reply === undefined) {
    return "the process ended before the function returned; see its logs"
  }
  return undefined
}

const outcomeOf = (job: JobSpec, end: RunEnd): Outcome => {
  const message = failureOf(job, end)
  const stopped = end.because === "memory" ? "failed" : end.because
  return {
    state: stopped ?? (message === undefined ? "succeeded" : "failed"),
    finished: end.finished,
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end.signal === undefined ? {} : { signal: end.signal }),
    ...(message === undefined ? {} : { message }),
    ...(end.reply?.ok === true ? { output: end.reply.output } : {}),
  }
}

const orderOf = (job: JobSpec, attempt: number, path: string, logLimitBytes: number): RunOrder => {
  const { task, resources, timeoutMs } = job
  return {
    run: randomUUID(),
    attempt,
    argv:
      task._tag === "Command"
        ? task.argv
        : [process.execPath, ...Environment.conditions(), script("callMain")],
    cwd: (task._tag === "Command" ? task.cwd : undefined) ?? join(path, "work"),
    env: Environment.ofJob(job, attempt),
    ...(task._tag === "Call"
      ? { call: { module: task.module, function: task.function, input: task.input } }
      : {}),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(resources?.memoryMb === undefined ? {} : { memoryMb: resources.memoryMb }),
    graceMs: job.graceMs ?? 10_000,
    logLimitBytes,
  }
}

/** The outcome of a run whose supervisor is gone. */
const conclude = async (job: JobSpec, path: string): Promise<Outcome> => {
  const end = await read(RunEnd, join(path, "end.json"))
  if (end !== undefined) return outcomeOf(job, end)
  // Nobody watches what may still run, so nobody could tell how it ends: stop it.
  const order = (await readJson(join(path, "order.json"))) as Partial<RunOrder> | undefined
  let left: ReadonlyArray<number> = []
  if (typeof order?.run === "string") {
    const start = await read(RunStart, join(path, "running.json"))
    const isSame =
      start?.pid !== undefined && Processes.isAlive({ pid: start.pid, start: start.start ?? "" })
    left = await Processes.stopRun(order.run, isSame ? start.pid : undefined, order.graceMs ?? 0)
  }
  const said = await readFile(join(path, "supervisor.err"), "utf8").catch(() => "")
  const kept = left.length === 0 ? "" : ` Also ${leftText(left)}.`
  const detail = said.trim() === "" ? "" : ` It said: ${said.trim().slice(-500)}`
  return {
    state: "lost",
    finished: now(),
    message: `its supervisor vanished without a result, e.g. killed or the machine restarted.${kept}${detail}`,
  }
}

/** Starts an attempt in its directory. */
export const start = async (
  job: JobSpec,
  attempt: number,
  path: string,
  logLimitBytes: number,
): Promise<Running> => {
  await writeJson(join(path, "order.json"), orderOf(job, attempt, path, logLimitBytes))
  const outer = process.env[Processes.runVariable]
  const errors = openSync(join(path, "supervisor.err"), "a", 0o600)
  const child = spawn(process.execPath, [...Environment.conditions(), script("supervisor"), path], {
    cwd: path,
    detached: true,
    // A supervisor inside another job belongs to that job, and is stopped with it.
    env: {
      ...Environment.base(),
      ...(outer === undefined ? {} : { [Processes.runVariable]: outer }),
    },
    stdio: ["ignore", "ignore", errors, "ipc"],
  })
  closeSync(errors)
  const exited = new Promise<void>((resolve, reject) => {
    child.once("exit", () => resolve())
    child.once("error", reject)
  })
  exited.catch(() => undefined)
  const started = await Promise.race([
    exited.then(() => undefined),
    new Promise<RunStart>((resolve) =>
      child.once("message", (value) => resolve(value as RunStart)),
    ),
  ])
  return {
    started: started?.started ?? now(),
    ...(started?.pid === undefined ? {} : { pid: started.pid }),
    stop: () => void child.kill("SIGTERM"),
    abandon: () => child.unref(),
    done: exited.then(() => conclude(job, path)),
  }
}

/** How long a supervisor may take to claim its run. */
const claimMs = 10_000

/**
 * Takes over a run that another submitter started. `undefined` when that never came so far as to
 * start anything; it will not any more.
 */
export const adopt = async (job: JobSpec, path: string): Promise<Running | undefined> => {
  const claimPath = join(path, "claim.json")
  let claim: Processes.ProcessId | undefined
  for (const deadline = Date.now() + claimMs; ;) {
    claim = await read(Claim, claimPath)
    if (claim !== undefined || Date.now() > deadline) break
    await sleep(100)
  }
  if (claim === undefined && (await createJson(claimPath, Processes.self()))) return undefined
  const supervisor = claim ?? (await read(Claim, claimPath))
  if (supervisor === undefined) return undefined
  let start: RunStart | undefined
  while (start === undefined) {
    start = await read(RunStart, join(path, "running.json"))
    if (!Processes.isAlive(supervisor)) break
    if (start === undefined) await sleep(50)
  }
  const gone = async (): Promise<Outcome> => {
    while (Processes.isAlive(supervisor)) await sleep(100)
    return conclude(job, path)
  }
  return {
    started: start?.started ?? now(),
    ...(start?.pid === undefined ? {} : { pid: start.pid }),
    stop: () => {
      if (Processes.isAlive(supervisor)) Processes.signal(supervisor.pid, "SIGTERM")
    },
    done: gone(),
  }
}
