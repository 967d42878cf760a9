/**
 * A Python of its own for Feast's client, which needs an older pandas than the other foreign
 * clients have. `ASHLAR_FEAST_PYTHON` names one that has it already.
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("../../../../.ashlar/feast-venv", import.meta.url))
const requirement = "feast==0.67.0"

const run = (command: string, args: ReadonlyArray<string>): void => {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" })
  if (error !== undefined || status !== 0) {
    throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? stderr.slice(-2000)}`)
  }
}

/** Makes the environment once; returns its Python. */
export const feastPython = (): string => {
  const given = process.env["ASHLAR_FEAST_PYTHON"]
  if (given !== undefined) return given
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python")
  const stamp = join(folder, "ready")
  if (existsSync(stamp)) return python
  mkdirSync(folder, { recursive: true })
  run(process.platform === "win32" ? "python" : "python3", ["-m", "venv", folder])
  run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
  writeFileSync(stamp, requirement)
  return python
}
