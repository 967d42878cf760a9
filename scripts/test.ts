/**
 * `npm test`, `npm run test:services` and `npm run test:interop`. Other arguments go to vitest:
 * `npm test -- packages/core -t digest`. The JSON report lands in `.ashlar/reports/<suite>.json`.
 *
 * @module
 */
import { spawn } from "node:child_process"
import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { prepareApart, preparePython } from "./python.ts"
import { startS3, startServices } from "./services.ts"
import { root } from "./workspace.ts"

const own = ["--services", "--interop", "--allow-missing"]
const given = process.argv.slice(2)
const flags = new Set(given.filter((arg) => own.includes(arg)))
const rest = given.filter((arg) => !flags.has(arg))
const suite = flags.has("--services") ? "services" : flags.has("--interop") ? "interop" : "unit"

const runVitest = (env: Readonly<Record<string, string>>): Promise<number> => {
  const reports = join(root, ".ashlar/reports")
  const report = join(reports, `${suite}.json`)
  mkdirSync(reports, { recursive: true })
  rmSync(report, { force: true })
  const args = [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...rest,
  ]
  const child = spawn(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), ...args], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...env, ASHLAR_SUITE: suite },
  })
  const forward = (signal: NodeJS.Signals) => child.kill(signal)
  process.on("SIGINT", forward).on("SIGTERM", forward)
  return new Promise((resolve) => {
    child.on("exit", (code, signal) => resolve(code ?? (signal === null ? 1 : 130)))
  })
}

const main = async (): Promise<number> => {
  if (suite === "unit") return runVitest({})
  const pythons = suite === "interop" ? { ASHLAR_PYTHON: preparePython(), ...prepareApart() } : {}
  const services =
    suite === "interop"
      ? await startS3()
      : await startServices({
          allowMissing: flags.has("--allow-missing") && process.env["CI"] === undefined,
        })
  try {
    return await runVitest({ ...pythons, ...services.env })
  } finally {
    await services.stop()
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
