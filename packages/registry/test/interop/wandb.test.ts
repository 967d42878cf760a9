import { Transfer } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { startOurs, type Started } from "./differential/servers.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""

interface Run {
  readonly info: { readonly run_id: string; readonly run_name: string; readonly status: string }
  readonly data: {
    readonly metrics: ReadonlyArray<{
      readonly key: string
      readonly value: number | string
      readonly step: number
    }>
    readonly params?: ReadonlyArray<{ readonly key: string; readonly value: string }>
    readonly tags: ReadonlyArray<{ readonly key: string; readonly value: string }>
  }
}

describe.skipIf(python === "")("runs of W&B's client", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-wandb-"))
  const runs = join(folder, "wandb")
  let server: Started
  let report: Transfer.Report
  const copy = (directory = runs) =>
    Effect.runPromise(
      Transfer.copy({ from: { wandb: directory }, to: { url: server.url, retries: 0 } }),
    )
  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${server.url}/api/2.0/mlflow/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    })
    return (await response.json()) as { readonly runs: ReadonlyArray<Run> }
  }
  const get = async (path: string) => (await fetch(`${server.url}/api/2.0/mlflow/${path}`)).json()

  beforeAll(async () => {
    server = await startOurs(folder)
    const script = fileURLToPath(new URL("wandb.py", import.meta.url))
    await promisify(execFile)(python, [script, folder], { cwd: folder })
    report = await copy()
  }, 120_000)
  afterAll(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it("arrive whole, and once", async () => {
    expect(report).toMatchObject({
      experiments: { found: 2, copied: 2, skipped: 0 },
      runs: { found: 3, copied: 3, skipped: 0 },
      points: 3 * 2000 + 1 + 1 + 1 + 1,
      differing: [],
      failures: [],
    })
    expect((await copy()).runs).toEqual({ found: 3, copied: 0, skipped: 3 })
  })

  it("mean what they meant", async () => {
    const { experiment } = (await get("experiments/get-by-name?experiment_name=flights")) as {
      experiment: { experiment_id: string }
    }
    const found = await post("runs/search", {
      experiment_ids: [experiment.experiment_id],
      order_by: ["run_name ASC"],
    })
    const [first, second] = found.runs
    expect([first?.info.run_name, first?.info.status]).toEqual(["first", "FINISHED"])
    expect([second?.info.run_name, second?.info.status]).toEqual(["second", "FAILED"])
    const record = (pairs: ReadonlyArray<{ key: string; value: unknown }> = []) =>
      Object.fromEntries(pairs.map(({ key, value }) => [key, value]))
    expect(record(first?.data.params)).toEqual({
      rate: "0.1",
      "nested.a": "1",
      "nested.list": "[1,2]",
      text: "größe",
    })
    expect(record(first?.data.metrics)).toMatchObject({
      loss: 1 / 2000,
      "deep.acc": 199.9,
      "odd key_": 1999,
      best: 0.9,
      late: "NaN",
    })
    expect(first?.data.metrics.find(({ key }) => key === "late")?.step).toBe(5000)
    expect(record(first?.data.tags)).toMatchObject({
      "wandb.tags": "x,y",
      "wandb.group": "g",
      "wandb.job_type": "train",
      "wandb.summary.verdict": "good",
      "mlflow.note.content": "a note",
    })
    const files = (await get(`artifacts/list?run_id=${first?.info.run_id ?? ""}`)) as {
      files: ReadonlyArray<{ path: string }>
    }
    expect(files.files.map(({ path }) => path)).toContain("notes.txt")
  })

  const file = (directory: string) => {
    const [name = ""] = readdirSync(directory).filter((one) => one.endsWith(".wandb"))
    return join(directory, name)
  }
  const damaged = (name: string, change: (bytes: Buffer) => Buffer) => {
    const [original = ""] = readdirSync(runs).filter((one) => one.startsWith("offline-run"))
    const bytes = change(readFileSync(file(join(runs, original))))
    const directory = join(folder, name)
    mkdirSync(join(directory, "run-1"), { recursive: true })
    writeFileSync(join(directory, "run-1", "run-x.wandb"), bytes)
    return directory
  }

  it("that were cut off come as far as they go; damaged ones are told", async () => {
    const cut = await copy(damaged("cut", (bytes) => bytes.subarray(0, bytes.length - 5000)))
    expect(cut.failures).toEqual([])
    const flip = (at: number) => (bytes: Buffer) => {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 1
      return changed
    }
    for (const [name, change] of [
      ["magic", flip(1)],
      ["version", flip(6)],
      ["content", flip(60)],
      ["nothing", () => Buffer.alloc(0)],
    ] as const) {
      await expect(copy(damaged(name, change))).rejects.toMatchObject({ reason: "Corrupt" })
    }
  })
})
