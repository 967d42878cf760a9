/** Asks the Python oracle. */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("oracle.py", import.meta.url))

/** The oracle's answer, the last line it prints. */
export const ask = (what: string, parameter: unknown): unknown => {
  const python = spawnSync(process.env["ASHLAR_PYTHON"] ?? "python3", [script], {
    input: JSON.stringify({ do: what, with: parameter }),
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true" },
  })
  if (python.status !== 0) throw new Error(`the oracle failed: ${python.stderr.slice(-4000)}`)
  return JSON.parse(python.stdout.trim().split("\n").at(-1) ?? "")
}
