import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { getEventListeners, once } from "node:events"
import { describe, expect, it, vi } from "vitest"
import type { Job } from "@ashlar/core"
import * as Engine from "../src/internal/compute/Engine.ts"
import * as Processes from "../src/internal/compute/processes.ts"

const job: Job.JobSpec = { id: "one", name: "one", task: { _tag: "Command", argv: ["true"] } }
const queued: Job.JobStatus = {
  id: "one",
  name: "one",
  state: "queued",
  attempt: 1,
  submitted: 1,
}

/** An engine whose disk is full until it is freed, with a job that ends when told. */
const onFullDisk = () => {
  const saved: Array<Job.JobStatus> = []
  const end = Promise.withResolvers<Engine.Outcome>()
  let isFull = true
  const engine = Engine.make(1, {
    start: async () => ({ started: 2, done: end.promise, stop: () => undefined }),
    save: async (status) => {
      if (isFull) throw new Error("ENOSPC: no space left on device")
      saved.push(status)
    },
  })
  engine.add(job, queued)
  return {
    engine,
    saved,
    end: () => end.resolve({ state: "succeeded", finished: 3, exitCode: 0 }),
    free: () => void (isFull = false),
  }
}

describe("a job whose status cannot be saved", () => {
  it("runs to its end, is told from memory, and is saved once that works", async () => {
    const { engine, saved, end, free } = onFullDisk()
    const waiting = engine.wait("one")
    end()
    expect(await waiting).toMatchObject({ state: "succeeded", exitCode: 0 })
    expect(engine.status("one")).toMatchObject({ state: "succeeded" })
    expect(await engine.wait("one")).toMatchObject({ state: "succeeded" })
    free()
    await vi.waitFor(() => expect(engine.status("one")).toBeUndefined(), { timeout: 10_000 })
    expect(saved.map(({ state }) => state)).toEqual(["succeeded"])
    await engine.close()
  })
})

describe("a wait", () => {
  it("leaves no listener behind when it ends", async () => {
    const { engine, end, free } = onFullDisk()
    free()
    const { signal } = new AbortController()
    const waiting = engine.wait("one", signal)
    expect(getEventListeners(signal, "abort")).toHaveLength(1)
    end()
    await waiting
    expect(getEventListeners(signal, "abort")).toHaveLength(0)
  })

  it("rejects when it is aborted, and when the engine closes", async () => {
    const { engine } = onFullDisk()
    const abort = new AbortController()
    const waiting = engine.wait("one", abort.signal)
    abort.abort(new Error("enough"))
    await expect(waiting).rejects.toThrow("enough")
    await expect(engine.wait("one", abort.signal)).rejects.toThrow("enough")
    const { signal } = new AbortController()
    const [left] = await Promise.allSettled([engine.wait("one", signal), engine.close()])
    expect(left).toMatchObject({ status: "rejected", reason: { _tag: "ComputeError" } })
    expect(getEventListeners(signal, "abort")).toHaveLength(0)
  })
})

describe("a process that cannot be killed", () => {
  it("is given up on, and named", async () => {
    const run = randomUUID()
    const child = spawn("sleep", ["60"], {
      detached: true,
      env: { ...process.env, [Processes.runVariable]: run },
    })
    await once(child, "spawn")
    const kill = vi.spyOn(process, "kill").mockImplementation(() => {
      throw Object.assign(new Error("kill EPERM"), { code: "EPERM" })
    })
    try {
      expect(await Processes.stopRun(run, child.pid, 0, 200)).toEqual([child.pid])
    } finally {
      kill.mockRestore()
    }
    const gone = once(child, "exit")
    expect(await Processes.stopRun(run, child.pid, 0)).toEqual([])
    await gone
  })
})
