import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import { Monitoring } from "../src/index.ts"

const script = fileURLToPath(new URL("./support/ingest.ts", import.meta.url))

/** Runs the writer, kills it after some acknowledgements, and gives the batches it had told. */
const runAndKill = (file: string, acknowledgements: number): Promise<ReadonlyArray<number>> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--conditions=@ashlar/source", script, file], {
      stdio: ["ignore", "pipe", "pipe"],
    })
    let out = ""
    let errors = ""
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()))
    child.stdout.on("data", (data: Buffer) => {
      out += data.toString()
      if (out.split("\n").length > acknowledgements) child.kill("SIGKILL")
    })
    child.on("error", reject)
    child.on("close", (code) => {
      // The last line may be cut off.
      const told = out
        .slice(0, out.lastIndexOf("\n") + 1)
        .split("\n")
        .filter((line) => line !== "")
      if (code !== null) reject(new Error(`the writer ended by itself: ${errors}`))
      else resolve(told.map(Number))
    })
  })

describe("kill -9 during ingest", () => {
  it("loses nothing that was acknowledged, keeps nothing half-written, and counts retries once", async () => {
    const folder = mkdtempSync(join(tmpdir(), "crash-"))
    const file = join(folder, "monitoring.sqlite")
    try {
      const told = new Set<number>()
      for (const acknowledgements of [5, 40, 15]) {
        // Each writer starts again from the first batch: everything it sends first is a retry.
        for (const batch of await runAndKill(file, acknowledgements)) told.add(batch)
      }
      const [rows, misses] = await Effect.runPromise(
        Effect.gen(function* () {
          const monitoring = yield* Monitoring.Monitoring
          const asked = yield* monitoring.performance({ model: "m", by: "all" })
          return [asked, yield* monitoring.worstMisses({ model: "m", limit: 10_000 })] as const
        }).pipe(Effect.provide(Monitoring.layer().pipe(Layer.provide(Sqlite.layer({ file }))))),
      )
      const [row] = rows
      expect(told.size).toBeGreaterThanOrEqual(40)
      expect((row?.predictions ?? 0) % 200).toBe(0)
      expect(row?.labelled).toBeGreaterThanOrEqual(told.size * 200)
      expect(row?.metrics.auc).toBe(1)
      const ids = misses.map((miss) => miss.predictionId)
      expect(new Set(ids).size).toBe(ids.length)
      for (const batch of told) expect(ids).toContain(`${batch}-100`)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
