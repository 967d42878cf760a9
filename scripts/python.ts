/**
 * The Python environment of the foreign clients: one virtual environment in `.venv/`, made from
 * what `<package>/test/interop/requirements.txt` name.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { examplesOf, packagesOf, root } from "./workspace.ts"

const venv = join(root, ".venv")
const python = join(venv, process.platform === "win32" ? "Scripts/python.exe" : "bin/python")

const run = (command: string, args: ReadonlyArray<string>): void => {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  })
  if (result.error !== undefined) {
    throw new Error(
      `${command} did not start (${result.error.message}). Install Python 3.10 or later with venv.`,
    )
  }
  if (result.status !== 0) {
    throw new Error(
      `${command} ${args.join(" ")} failed:\n${result.stdout.slice(-4000)}${result.stderr.slice(-4000)}`,
    )
  }
}

/** The requirement lines of a pip requirements file, without comments and blank lines. */
export const requirementsOf = (text: string): ReadonlyArray<string> =>
  text
    .split("\n")
    .map((line) => line.replace(/(^|\s)#.*$/, "").trim())
    .filter((line) => line !== "")

const ensureVenv = (): void => {
  if (existsSync(python)) return
  run(process.platform === "win32" ? "python" : "python3", ["-m", "venv", venv])
}

/** Installs requirements into the virtual environment unless the same ones are there already. */
const install = (name: string, requirements: ReadonlyArray<string>): void => {
  ensureVenv()
  const wanted = [...new Set(requirements)].sort()
  if (wanted.length === 0) return
  const digest = createHash("sha256").update(wanted.join("\n")).digest("hex")
  const stamp = join(venv, `ashlar-${name}.sha256`)
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return
  console.log(`Installing ${wanted.join(", ")} into .venv (once)`)
  run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...wanted])
  mkdirSync(venv, { recursive: true })
  writeFileSync(stamp, digest)
}

/** Makes the environment of the interop suite; returns its Python. */
export const preparePython = (): string => {
  const files = [...packagesOf(), ...examplesOf()]
    .map(({ folder }) => join(folder, "test/interop/requirements.txt"))
    .filter((file) => existsSync(file))
  install(
    "interop",
    files.flatMap((file) => requirementsOf(readFileSync(file, "utf8"))),
  )
  return python
}

/** Makes the environment of the S3 server that the services suite uses; returns its Python. */
export const prepareMoto = (): string => {
  install("moto", ["moto[server]==5.2.5"])
  return python
}
