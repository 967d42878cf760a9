/**
 * `npm run test:plugin`: a plugin author's day. Packs core, copies `examples/plugin-template` to a
 * folder outside the workspace, installs the tarball there with npm, and runs the type check and
 * the published conformance suite. The report lands in `.ashlar/reports/plugin.json`.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { npm, outside, packInto } from "./pack.ts"
import { packagesOf, root } from "./workspace.ts"

/** What the template promises: a backend in fewer lines of code than this. */
const limit = 100

const codeLines = (text: string): number =>
  text
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.trim().startsWith("//")).length

const run = (folder: string, script: string, ...args: ReadonlyArray<string>): boolean => {
  const options = { cwd: folder, stdio: "inherit", env: { ...process.env, ...outside } } as const
  return (
    spawnSync(process.execPath, [join(folder, "node_modules", script), ...args], options).status ===
    0
  )
}

const test = async (folder: string): Promise<boolean> => {
  cpSync(join(root, "examples/plugin-template"), folder, {
    recursive: true,
    filter: (source) => !source.includes("node_modules"),
  })
  const lines = codeLines(readFileSync(join(folder, "src/sqlite.ts"), "utf8"))
  console.log(`The backend has ${lines} lines of code.`)
  const core = packagesOf().filter(({ manifest }) => manifest.name === "@ashlar/core")
  const [tarball] = await packInto(root, join(folder, "tarballs"), core)
  if (tarball === undefined) throw new Error("packages/core is missing")
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
  manifest.dependencies["@ashlar/core"] = `file:${tarball.file}`
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest, null, 2))
  const install = ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
  const { code, output } = await npm(install, folder)
  if (code !== 0) throw new Error(`npm install exits with ${code}:\n${output}`)
  const report = join(root, ".ashlar/reports/plugin.json")
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const compiles = run(folder, "typescript/bin/tsc")
  return run(folder, "vitest/vitest.mjs", "run", ...reporters) && compiles && lines < limit
}

const folder = mkdtempSync(join(tmpdir(), "ashlar-plugin-"))
try {
  process.exitCode = (await test(folder)) ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
