import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import type { Summary } from "../src/summary.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-flights-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const program = join(import.meta.dirname, "../src/main.ts")

/** Runs the example; with `killAt`, kills it (-9) when its output first contains that text. */
const run = (directory: string, killAt?: string) =>
  new Promise<{ readonly code: number | null; readonly output: string }>((resolve) => {
    const child = spawn(
      process.execPath,
      ["--conditions=@ashlar/source", program, "--rows", "30000", "--directory", directory],
      { stdio: ["ignore", "pipe", "pipe"] },
    )
    let output = ""
    const take = (chunk: Buffer) => {
      output += chunk.toString()
      if (killAt !== undefined && output.includes(killAt)) child.kill("SIGKILL")
    }
    child.stdout.on("data", take)
    child.stderr.on("data", take)
    child.on("exit", (code) => resolve({ code, output }))
  })

const summaryOf = (directory: string): Summary =>
  JSON.parse(readFileSync(join(directory, "summary.json"), "utf8"))

describe("kill -9 and start again", () => {
  it(
    "goes on where it was, redoes nothing, and ends with the same models",
    { timeout: 600_000 },
    async () => {
      const whole = join(folder, "whole")
      const clean = await run(whole)
      expect(clean.code, clean.output).toBe(0)
      const expected = summaryOf(whole)
      expect(expected.steps_resumed).toBe(0)
      expect(expected.rows_read).toBe(30_000)

      const torn = join(folder, "torn")
      const points = [
        "take flights into the feature store",
        "search and train gradient-boosted trees",
        "score 2001-05-14",
        "measure drift",
      ]
      for (const point of points) {
        const killed = await run(torn, point)
        expect(killed.code, killed.output).toBeNull()
      }
      const last = await run(torn)
      expect(last.code, last.output).toBe(0)
      const summary = summaryOf(torn)
      expect(summary.steps_resumed).toBeGreaterThan(10)
      expect(summary.auc).toEqual(expected.auc)
      expect(summary.rows_scored).toBe(expected.rows_scored)
      // Finished work is not done again: the last life neither cleans nor trains nor scores.
      expect(last.output).not.toContain("read flights")
      expect(last.output).not.toContain("search and train")
      expect(last.output).not.toContain("over HTTP")
      expect(readFileSync(join(torn, "report.html"), "utf8")).toContain("<svg")
    },
  )
})
