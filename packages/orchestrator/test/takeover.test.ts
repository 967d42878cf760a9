import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { make } from "@ashlar/orchestrator/promise"
import { afterAll, afterEach, describe, expect, it } from "vitest"
import { Databases, type Fresh } from "./support/databases.ts"
import { long, steps } from "./support/takeoverChild.ts"

const databases = new Databases()
const children = new Set<ChildProcess>()
afterEach(() => {
  for (const child of children) child.kill("SIGKILL")
  children.clear()
})
afterAll(() => databases[Symbol.asyncDispose]())

const program = join(import.meta.dirname, "support/takeoverChild.ts")

interface Line {
  readonly at: number
  readonly process: string
  readonly what: string
  readonly step: number
  readonly epoch: number
}

const linesOf = (log: string): ReadonlyArray<Line> =>
  existsSync(log)
    ? readFileSync(log, "utf8")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => {
          const [at, process = "", what = "", step, epoch] = line.split(" ")
          return { at: Number(at), process, what, step: Number(step), epoch: Number(epoch) }
        })
    : []

const until = async (log: string, found: (lines: ReadonlyArray<Line>) => boolean) => {
  const end = Date.now() + 40_000
  while (!found(linesOf(log))) {
    if (Date.now() > end) throw new Error(`never happened:\n${readFileSync(log, "utf8")}`)
    await delay(10)
  }
}

const launch = async (database: Fresh, log: string, name: string, leaseMs: number) => {
  const child = spawn(
    process.execPath,
    [
      "--conditions=@ashlar/source",
      program,
      JSON.stringify(database.place),
      log,
      name,
      String(leaseMs),
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  )
  children.add(child)
  await until(log, (lines) => lines.some((line) => line.process === name && line.what === "ready"))
  return child
}

/**
 * Two processes, one run; returns the process that works on it, in the middle of a step (so that it
 * holds no lock in the database), and the name of the other.
 */
const scene = async (kind: "sqlite" | "postgres", leaseMs: number) => {
  const database = await databases.fresh(kind)
  const log = databases.file(`${kind}-${leaseMs}.log`)
  const orchestrator = await make({ database: database.layer, pollMs: 20 })
  const processes = {
    a: await launch(database, log, "a", leaseMs),
    b: await launch(database, log, "b", leaseMs),
  }
  const run = await orchestrator.start(
    long(() => {}),
    { key: "k", input: null },
  )
  const isMoment = ({ at, what, step }: Line) =>
    what === "begin" && step >= 2 && Date.now() - at < 30
  await until(log, (lines) => lines.slice(-1).some(isMoment))
  const working = linesOf(log).at(-1)?.process === "a" ? "a" : "b"
  const heir = working === "a" ? "b" : "a"
  return { orchestrator, log, victim: processes[working], working, heir, run }
}

const total = (steps * (steps - 1)) / 2

describe.each(["sqlite", "postgres"] as const)("takeover on %s", (kind) => {
  it("kill -9: the other process goes on, and no finished step is done again", async () => {
    const { orchestrator, log, victim, heir, run } = await scene(kind, 2000)
    await using _ = orchestrator
    const killed = Date.now()
    victim.kill("SIGKILL")
    expect(
      await orchestrator.wait(
        long(() => {}),
        "k",
      ),
    ).toBe(total)
    const lines = linesOf(log)
    const first = lines.find((line) => line.process === heir && line.what === "begin")
    expect((first?.at ?? Infinity) - killed).toBeLessThan(2000 + 1000)
    // A step logs its end before it is journaled: at most the one being killed is done again.
    const ends = lines.filter((line) => line.what === "end").map((line) => line.step)
    expect(ends.length).toBeLessThanOrEqual(steps + 1)
    expect(new Set(ends).size).toBe(steps)
    const begun = await orchestrator.steps(run.id)
    expect(begun).toHaveLength(steps)
    expect(begun.every((step) => step.state === "succeeded")).toBe(true)
  })

  it("SIGSTOP, takeover, SIGCONT: what the thawed process finishes late does not count", async () => {
    const { orchestrator, log, victim, working, heir, run } = await scene(kind, 600)
    await using _ = orchestrator
    victim.kill("SIGSTOP")
    const stopped = Date.now()
    await until(log, (lines) =>
      lines.some((line) => line.process === heir && line.what === "begin"),
    )
    const taken = linesOf(log).find((line) => line.process === heir && line.what === "begin")
    expect((taken?.at ?? Infinity) - stopped).toBeLessThan(600 + 1000)
    const thawed = Date.now()
    victim.kill("SIGCONT")
    expect(
      await orchestrator.wait(
        long(() => {}),
        "k",
      ),
    ).toBe(total)
    const lines = linesOf(log)
    // The thawed process may end the step it was in; it begins no other one in its old epoch.
    const late = lines.filter((line) => line.process === working && line.at > thawed)
    expect(late.filter((line) => line.what === "begin" && line.epoch === 1)).toEqual([])
    const stale = lines.filter((line) => line.epoch === 1 && line.what === "end")
    const winner = lines.filter((line) => line.epoch === 2 && line.what === "begin")
    // What epoch 2 began, it did not take from epoch 1: only one step can have ended in both.
    const both = stale.filter((line) => winner.some((other) => other.step === line.step))
    expect(both.length).toBeLessThanOrEqual(1)
    expect(await orchestrator.getRun(run.id)).toMatchObject({ state: "succeeded" })
  })
})
