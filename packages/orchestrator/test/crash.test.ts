import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const folder = mkdtempSync(join(tmpdir(), "ashlar-crash-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const program = join(import.meta.dirname, "crash-child.ts")

/** Runs the child, killing it (-9) after a while; returns its exit code, null when killed. */
const child = (database: string, log: string, killAfterMs?: number) =>
  new Promise<number | null>((resolve) => {
    const started = spawn(
      process.execPath,
      ["--conditions=@ashlar/source", program, database, log],
      { stdio: ["ignore", "ignore", "inherit"] },
    )
    if (killAfterMs !== undefined) setTimeout(() => started.kill("SIGKILL"), killAfterMs)
    started.on("exit", (code) => resolve(code))
  })

const lines = (log: string) =>
  existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").filter(Boolean) : []

describe("kill -9", () => {
  it("at any point: the run ends right, and no finished step is done again", async () => {
    const database = join(folder, "db.sqlite")
    const log = join(folder, "log")
    let kills = 0
    let code: number | null = null
    // Each life is long enough for a few steps; the run needs several lives.
    while (code !== 0 && kills < 40) {
      code = await child(database, log, 700 + ((kills * 137) % 400))
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
