/**
 * The program between the submitter and one run of a job. It belongs to neither's process group, so
 * it sees the run to its end, keeps its output, enforces its limits and writes down how it ended,
 * also when the submitter is long gone. Usage: `node supervisor.ts <run directory>`.
 *
 * @module
 */
import { spawn } from "node:child_process"
import { createJson, readJson, writeJson } from "./atomicFile.ts"
import { join } from "node:path"
import { lineSplitter, makeWriter } from "./LogFile.ts"
import * as Processes from "./processes.ts"
import type { RunEnd, RunOrder } from "./run.ts"

const directory = process.argv[2] ?? "."
const order = (await readJson(join(directory, "order.json"))) as RunOrder

const patiently = async (write: () => Promise<void>): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write()
    } catch (cause) {
      // A full disk may be freed; a result that is not on disk is lost.
      if (attempt === 60) throw cause
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}

const run = async (): Promise<void> => {
  const log = makeWriter(directory, order.logLimitBytes)
  const child = spawn(order.argv[0] ?? "", order.argv.slice(1), {
    cwd: order.cwd,
    env: { ...order.env, [Processes.runVariable]: order.run },
    detached: true,
    stdio:
      order.call === undefined ? ["ignore", "pipe", "pipe"] : ["ignore", "pipe", "pipe", "ipc"],
  })
  const splitters = [
    [child.stdout, lineSplitter((line) => log.append("stdout", line))],
    [child.stderr, lineSplitter((line) => log.append("stderr", line))],
  ] as const
  for (const [stream, split] of splitters) stream?.on("data", split)

  let reply: RunEnd["reply"]
  let because: RunEnd["because"]
  let stopping: Promise<ReadonlyArray<number>> | undefined
  const stuck = Promise.withResolvers<Pick<RunEnd, never>>()
  const stop = (reason: RunEnd["because"], graceMs: number) => {
    because ??= reason
    stopping ??= Processes.stopRun(order.run, child.pid, graceMs).then((left) => {
      // A child that cannot be killed may never exit.
      if (left.length > 0) stuck.resolve({})
      return left
    })
  }
  process.on("SIGTERM", () => stop("cancelled", order.graceMs))
  // The channel to a submitter that died.
  process.on("error", () => undefined)
  // A terminal's interrupt goes to the submitter, which decides.
  process.on("SIGINT", () => undefined)
  process.on("SIGHUP", () => undefined)
  if (order.call !== undefined) {
    child.on("message", (message) => (reply = message as RunEnd["reply"]))
    child.send(order.call, () => undefined)
  }
  const timer =
    order.timeoutMs === undefined
      ? undefined
      : setTimeout(() => stop("timed_out", order.graceMs), order.timeoutMs)
  const limit = order.memoryMb === undefined ? Infinity : order.memoryMb * 1024 * 1024
  const watch = setInterval(
    () => {
      const members = Processes.membersOf(order.run, child.pid)
      // No grace: a job that is out of memory may take the machine with it.
      if (Processes.residentBytes(members) > limit) stop("memory", 0)
    },
    limit === Infinity ? 2 ** 30 : 100,
  )

  const ended = new Promise<Pick<RunEnd, "exitCode" | "signal" | "spawnError">>((resolve) => {
    child.once("error", (error) => {
      if (child.pid === undefined) resolve({ spawnError: error.message })
    })
    child.once("exit", (code, signal) =>
      resolve({
        ...(code === null ? {} : { exitCode: code }),
        ...(signal === null ? {} : { signal }),
      }),
    )
  })
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const running = {
    ...(child.pid === undefined
      ? {}
      : { pid: child.pid, start: Processes.startOf(child.pid) ?? "" }),
    started: Date.now() * 1000,
  }
  await patiently(() => writeJson(join(directory, "running.json"), running))
  // The submitter may be dead already; then nobody hears it.
  process.send?.(running, () => {
    if (process.connected) process.disconnect()
  })

  const end: Partial<RunEnd> = await Promise.race([ended, stuck.promise])
  clearTimeout(timer)
  clearInterval(watch)
  // What the job left running ends with it.
  let left: ReadonlyArray<number> = []
  if (end.spawnError === undefined) {
    stopping ??= Processes.stopRun(order.run, child.pid, order.graceMs)
    left = await stopping
    // Pipes held open by a process out of reach must not hold the result back.
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 2000).unref())])
  }
  for (const [, split] of splitters) split()
  log.close()
  const result: RunEnd = {
    ...end,
    ...(reply === undefined ? {} : { reply }),
    ...(because === undefined ? {} : { because }),
    ...(left.length === 0 ? {} : { left }),
    finished: Date.now() * 1000,
  }
  await patiently(() => writeJson(join(directory, "end.json"), result))
}

// Whoever claims the run first decides: this supervisor, or a new submitter that gave up on it.
if (await createJson(join(directory, "claim.json"), Processes.self())) await run()
process.exit(0)
