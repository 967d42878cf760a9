import { Transfer } from "@ashlar/registry"
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { oraclePython, startMlflow, startOurs, type Started } from "./differential/servers.ts"

describe.skipIf((process.env["ASHLAR_MLFLOW"] ?? "") === "")("moving from and to MLflow", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-transfer-test-"))
  const at = (name: string) => {
    mkdirSync(join(folder, name), { recursive: true })
    return join(folder, name)
  }
  const fill = (uri: string) =>
    promisify(execFile)(
      oraclePython(),
      [fileURLToPath(new URL("transfer.py", import.meta.url)), uri],
      { cwd: folder },
    )
  const copy = (from: Transfer.From, to: string, more: Partial<Transfer.TransferOptions> = {}) =>
    Effect.runPromise(Transfer.copy({ from, to: { url: to, retries: 0 }, ...more }))
  const started: Array<Started> = []
  const start = async (server: Promise<Started>) => {
    const running = await server
    started.push(running)
    return running.url
  }

  let theirs = ""
  let ours = ""
  beforeAll(async () => {
    theirs = await start(startMlflow(at("theirs")))
    ours = await start(startOurs(at("ours")))
    await fill(theirs)
  }, 240_000)
  afterAll(async () => {
    for (const { stop } of started) await stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const everything = {
    runs: { found: 3, copied: 3, skipped: 0 },
    points: 1506,
    params: 3,
    loggedModels: { found: 1, copied: 1, skipped: 0 },
    models: { found: 1, copied: 1, skipped: 0 },
    versions: { found: 3, copied: 3, skipped: 0 },
    aliases: { found: 2, copied: 2, skipped: 0 },
    differing: [],
    failures: [],
  }
  let imported: Transfer.Report

  it(
    "a server's runs, files and models arrive whole, and are compared",
    { timeout: 120_000 },
    async () => {
      const seen: Array<number> = []
      imported = await copy({ server: { url: theirs } }, ours, {
        onProgress: ({ runs }) => seen.push(runs),
      })
      expect(imported).toMatchObject({
        ...everything,
        experiments: { found: 3, copied: 3, skipped: 0 },
        digest: expect.stringMatching(/^sha256:/),
      })
      expect(imported.files).toBeGreaterThanOrEqual(8)
      expect(seen.at(-1)).toBe(3)
    },
  )

  it("again, nothing is copied twice", { timeout: 120_000 }, async () => {
    const again = await copy({ server: { url: theirs } }, ours)
    expect(again).toMatchObject({
      runs: { found: 3, copied: 0, skipped: 3 },
      points: 0,
      files: 0,
      loggedModels: { found: 1, copied: 0, skipped: 1 },
      models: { found: 1, copied: 0, skipped: 1 },
      versions: { found: 3, copied: 0, skipped: 3 },
      aliases: { found: 2, copied: 0, skipped: 2 },
      digest: imported.digest,
    })
  })

  it("numbers, aliases, stages, parents and sources of models mean the same", async () => {
    interface Version {
      readonly version: string
      readonly source: string
      readonly current_stage: string
      readonly run_id: string
    }
    const get = async (path: string) => (await fetch(`${ours}/api/2.0/mlflow/${path}`)).json()
    const { model_versions } = (await get(
      "model-versions/search?filter=name%20%3D%20%27flights%27",
    )) as {
      model_versions: ReadonlyArray<Version>
    }
    const byNumber = model_versions.toSorted((a, b) => Number(a.version) - Number(b.version))
    expect(byNumber.map(({ version, current_stage }) => [version, current_stage])).toEqual([
      ["1", "None"],
      ["3", "Staging"],
      ["4", "None"],
    ])
    expect(await get("registered-models/get?name=flights")).toMatchObject({
      registered_model: {
        description: "late flights",
        tags: [{ key: "owner", value: "ada" }],
        aliases: expect.arrayContaining([
          { alias: "champion", version: "1" },
          { alias: "challenger", version: "4" },
        ]),
      },
    })
    const parent = byNumber[1]?.run_id ?? ""
    const { run } = (await get(`runs/get?run_id=${parent}`)) as {
      run: { info: { run_name: string; experiment_id: string } }
    }
    expect(run.info.run_name).toBe("parent")
    expect(byNumber[1]?.source).toContain(`${parent}/artifacts/notes`)
    const { runs } = (await (
      await fetch(`${ours}/api/2.0/mlflow/runs/search`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          experiment_ids: [run.info.experiment_id],
          filter: `tags.mlflow.parentRunId = '${parent}'`,
        }),
      })
    ).json()) as { runs: ReadonlyArray<{ info: { run_name: string } }> }
    expect(runs.map(({ info }) => info.run_name)).toEqual(["child"])
  })

  it(
    "and back to another server of MLflow, with the same digest",
    { timeout: 240_000 },
    async () => {
      const back = await start(startMlflow(at("back")))
      const report = await copy({ server: { url: ours } }, back)
      expect(report).toMatchObject({ ...everything, digest: imported.digest })
    },
  )

  it("a file store arrives whole", { timeout: 240_000 }, async () => {
    const store = at("mlruns")
    await fill(`file://${store}`)
    const other = await start(startOurs(at("from-files")))
    const report = await copy({ fileStore: store }, other)
    expect(report).toMatchObject(everything)
    const again = await copy({ fileStore: store }, other)
    expect(again.runs).toEqual({ found: 3, copied: 0, skipped: 3 })
    expect(again.digest).toBe(report.digest)
  })
})
