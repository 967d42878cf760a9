import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { startOurs, type Started } from "./differential/servers.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""
const lightning = process.env["ASHLAR_LIGHTNING"] ?? ""
const old = process.env["ASHLAR_MLFLOW2"] ?? ""
const folder = mkdtempSync(join(tmpdir(), "ashlar-autolog-"))
let server: Started
beforeAll(async () => {
  server = await startOurs(folder)
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const run = async (interpreter: string, script: string, ...args: ReadonlyArray<string>) => {
  const path = fileURLToPath(new URL(script, import.meta.url))
  const { stdout } = await promisify(execFile)(interpreter, [path, server.url, ...args], {
    maxBuffer: 1 << 26,
    cwd: folder,
  })
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as unknown
}

const trained = {
  status: "FINISHED",
  models: ["READY"],
  same: true,
  tags: expect.objectContaining({ "mlflow.source.type": "LOCAL" }),
}

describe.skipIf(python === "")("autologging of", () => {
  it("scikit-learn", async () => {
    const got = await run(python, "autolog.py", "sklearn")
    expect(got).toMatchObject({
      ...trained,
      params: { C: "0.5", solver: "lbfgs" },
      metrics: { training_accuracy_score: expect.any(Number) },
      datasets: expect.arrayContaining(["dataset"]),
      artifacts: ["estimator.html"],
    })
  })

  it("XGBoost", async () => {
    const got = await run(python, "autolog.py", "xgboost")
    expect(got).toMatchObject({
      ...trained,
      params: { max_depth: "2", num_boost_round: "5" },
      metrics: { "train-logloss": expect.any(Number) },
      artifacts: expect.arrayContaining(["feature_importance_weight.json"]),
    })
  })

  it("LightGBM", async () => {
    const got = await run(python, "autolog.py", "lightgbm")
    expect(got).toMatchObject({
      ...trained,
      params: { num_leaves: "4" },
      metrics: { "train-binary_logloss": expect.any(Number) },
    })
  })

  it("Optuna's callback", async () => {
    const got = await run(python, "autolog.py", "optuna")
    expect(got).toMatchObject({
      runs: 4,
      best: true,
      params: { x: expect.any(String) },
      tags: { direction: "MINIMIZE" },
    })
  })
})

describe.skipIf(lightning === "")("autologging of", () => {
  it("PyTorch Lightning's logger", { timeout: 180_000 }, async () => {
    const got = await run(lightning, "autolog.py", "lightning")
    expect(got).toMatchObject({
      status: "FINISHED",
      params: { rate: "0.1" },
      metrics: { loss: expect.any(Number) },
      points: 12,
      artifacts: expect.arrayContaining([expect.stringMatching(/\.ckpt$/)]),
    })
  })
})

describe.skipIf(old === "")("the client of MLflow 2", () => {
  it("tracks runs, stores artifacts and moves models", async () => {
    const got = await run(old, "client2.py")
    expect(got).toEqual({
      version: expect.stringMatching(/^2\./),
      metrics: { loss: 0.25 },
      history: [1, 0.5, 0.25],
      params: { rate: "0.1" },
      artifacts: ["notes/a.txt"],
      text: "written",
      found: 1,
      deleted: "deleted",
      aliases: ["champion"],
      stage: "Staging",
      champion: "1",
      refused: "RESOURCE_DOES_NOT_EXIST",
    })
  })
})
