import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { startOurs, type Started } from "./differential/servers.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""

describe.skipIf(python === "")("MLflow's own command line", () => {
  const folder = mkdtempSync(join(tmpdir(), "ashlar-cli-"))
  let server: Started
  const mlflow = async (...args: ReadonlyArray<string>) => {
    const { stdout } = await promisify(execFile)(join(dirname(python), "mlflow"), args, {
      cwd: folder,
      env: {
        ...process.env,
        MLFLOW_TRACKING_URI: server.url,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES: "0",
        MLFLOW_DISABLE_TELEMETRY: "true",
        GIT_PYTHON_REFRESH: "quiet",
      },
    })
    return stdout
  }
  beforeAll(async () => {
    server = await startOurs(folder)
  })
  afterAll(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it("makes, finds, renames, deletes and restores experiments", { timeout: 120_000 }, async () => {
    const made = await mlflow("experiments", "create", "--experiment-name", "flights")
    const id = /with id (\S+)/.exec(made)?.[1] ?? ""
    expect(await mlflow("experiments", "search")).toContain("flights")
    await mlflow("experiments", "rename", "--experiment-id", id, "--new-name", "late flights")
    expect(await mlflow("experiments", "get", "--experiment-id", id)).toContain("late flights")
    await mlflow("experiments", "delete", "--experiment-id", id)
    expect(await mlflow("experiments", "search")).not.toContain("late flights")
    expect(await mlflow("experiments", "search", "--view", "deleted_only")).toContain(
      "late flights",
    )
    await mlflow("experiments", "restore", "--experiment-id", id)
    expect(await mlflow("experiments", "search")).toContain("late flights")
  })

  it("describes runs, and moves their files", { timeout: 120_000 }, async () => {
    const post = async (path: string, body: unknown) =>
      (
        await fetch(`${server.url}/api/2.0/mlflow/${path}`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        })
      ).json()
    const { run } = (await post("runs/create", { experiment_id: "0", run_name: "first" })) as {
      run: { info: { run_id: string } }
    }
    const id = run.info.run_id
    await post("runs/log-metric", { run_id: id, key: "auc", value: 0.9, timestamp: 1 })
    expect(await mlflow("runs", "list", "--experiment-id", "0")).toContain("first")
    expect(JSON.parse(await mlflow("runs", "describe", "--run-id", id))).toMatchObject({
      data: { metrics: { auc: 0.9 } },
    })
    writeFileSync(join(folder, "notes.txt"), "hello")
    await mlflow("artifacts", "log-artifact", "--local-file", "notes.txt", "--run-id", id)
    expect(await mlflow("artifacts", "list", "--run-id", id)).toContain("notes.txt")
    mkdirSync(join(folder, "down"))
    await mlflow(
      "artifacts",
      "download",
      "--run-id",
      id,
      "--artifact-path",
      "notes.txt",
      "--dst-path",
      "down",
    )
    expect(readFileSync(join(folder, "down", "notes.txt"), "utf8")).toBe("hello")
    await mlflow("runs", "delete", "--run-id", id)
    expect(await mlflow("runs", "list", "--experiment-id", "0")).not.toContain("first")
    await mlflow("runs", "restore", "--run-id", id)
    expect(await mlflow("runs", "list", "--experiment-id", "0")).toContain("first")
  })
})
