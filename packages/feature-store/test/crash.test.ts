/** kill -9 in the middle of ingests and materialisations. */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import { afterAll, expect, it } from "vitest"
import { FeatureStore } from "../src/index.ts"
import { batchAt, batches, layerIn, service, start } from "./fixtures/crash.ts"
import { flights } from "./flights.ts"

const folder = mkdtempSync(join(tmpdir(), "ashlar-features-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const child = fileURLToPath(new URL("./fixtures/crash-child.ts", import.meta.url))

/** Runs the child and kills it after a while, if told to; true when it ended by itself. */
const run = (millis?: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const running = spawn(process.execPath, ["--conditions=@ashlar/source", child, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    let timer: NodeJS.Timeout | undefined
    // The clock starts once it is at work, however slow the machine is.
    running.stdout.once("data", () => {
      if (millis !== undefined) timer = setTimeout(() => running.kill("SIGKILL"), millis)
    })
    running.once("error", reject)
    running.once("exit", (code, signal) => {
      clearTimeout(timer)
      if (signal === "SIGKILL") resolve(false)
      else if (code === 0) resolve(true)
      else reject(new Error(`the child ended with ${code ?? signal}`))
    })
  })

it("loses nothing that was acknowledged, and goes on where it was", async () => {
  let kills = 0
  for (const millis of [15, 40, 90, 200, 400]) if (!(await run(millis))) kills++
  expect(kills).toBeGreaterThan(0)
  expect(await run()).toBe(true)
  const log = join(folder, "acknowledged.log")
  const acknowledged = readFileSync(log, "utf8").trim().split("\n")
  expect(new Set(acknowledged).size).toBe(batches)

  const read = Effect.gen(function* () {
    const store = yield* FeatureStore.FeatureStore
    yield* store.apply([service])
    // Every batch is there exactly once.
    for (let i = 0; i < batches; i++) {
      const again = yield* store.ingest(flights, yield* batchAt(i), { key: `batch-${i}` })
      expect(again.repeated).toBe(true)
    }
    const at = start + batches * 3600e6
    const entities = { origin: ["k0", "k1"], destination: ["d", "d"] }
    const before = yield* store.vectors({ service: service.name, entities, at })
    yield* store.materialize({ service: service.name, at })
    const after = yield* store.vectors({ service: service.name, entities, at })
    return { before, after }
  })
  const { after, before } = await Effect.runPromise(Effect.provide(read, layerIn(folder)))
  expect(before.values).toEqual(after.values)
  expect(after.values[0]?.[0]).toBeGreaterThan(0)
}, 180_000)
