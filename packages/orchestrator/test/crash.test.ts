import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-crash-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const program = join(import.meta.dirname, "crash-child.ts")

/**
 * Runs the child; with `killAfter`, kills it (-9) once it has begun so many steps, a little later.
 * Returns its exit code, null when killed.
 */
const child = (database: string, log: string, killAfter: number, delayMs: number) =>
  new Promise<number | null>((resolve) => {
    const before = lines(log).length
    const started = spawn(
      process.execPath,
      ["--conditions=@ashlar/source", program, database, log],
      { stdio: ["ignore", "ignore", "inherit"] },
    )
    const watch = setInterval(() => {
      if (lines(log).length < before + killAfter) return
      clearInterval(watch)
      setTimeout(() => started.kill("SIGKILL"), delayMs)
    }, 5)
    started.on("exit", (code) => {
      clearInterval(watch)
      resolve(code)
    })
  })

const lines = (log: string) =>
  existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").filter(Boolean) : []

describe("kill -9", () => {
  it("at any point: the run ends right, and no finished step is done again", async () => {
    const database = join(folder, "db.sqlite")
    const log = join(folder, "log")
    let kills = 0
    let code: number | null = null
    // Each life begins a few steps; the run needs several lives.
    while (code !== 0 && kills < 40) {
      code = await child(database, log, 2 + (kills % 5), (kills * 13) % 40)
      if (code === null) kills += 1
    }
    expect(code).toBe(0)
    expect(kills).toBeGreaterThan(0)
    const entries = lines(log)
    const done = entries.filter((line) => line.startsWith("done "))
    // A step logs "begin", then (after its result is journaled) the next one begins: a step that
    // began after a later one had begun would have been repeated.
    const order = entries.filter((line) => line.startsWith("begin ")).map((l) => Number(l.slice(6)))
    order.forEach((step, i) => {
      if (i > 0) expect(step).toBeGreaterThanOrEqual(order[i - 1] ?? 0)
    })
    expect(new Set(order).size).toBe(30)
    expect(done).toEqual(["done 435"])
  })
})
