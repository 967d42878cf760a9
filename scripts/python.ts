/**
 * The Python environments of the foreign clients: a virtual environment in `.venv/`, made from what
 * `<package>/test/interop/requirements.txt` name, and some of their own in `.venv-<name>/`, for what
 * would change what the others see: MLflow's server, its client of version 2, PyTorch Lightning.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { examplesOf, packagesOf, root } from "./workspace.ts"

const clients = join(root, ".venv")

/** What lies in environments of its own, by the variable that names its Python. */
const apart: Readonly<
  Record<string, { readonly name: string; readonly packages: ReadonlyArray<string> }>
> = {
  ASHLAR_MLFLOW: { name: "mlflow", packages: ["mlflow==3.17.2", "psycopg2-binary==2.9.13"] },
  ASHLAR_MLFLOW2: { name: "mlflow2", packages: ["mlflow-skinny==2.22.5"] },
  ASHLAR_LIGHTNING: {
    name: "lightning",
    packages: ["pytorch-lightning==2.6.6", "mlflow-skinny==3.17.2"],
  },
}

const pythonOf = (venv: string): string =>
  join(venv, process.platform === "win32" ? "Scripts/python.exe" : "bin/python")

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

const ensureVenv = (venv: string): void => {
  if (existsSync(pythonOf(venv))) return
  run(process.platform === "win32" ? "python" : "python3", ["-m", "venv", venv])
}

/** Installs requirements into a virtual environment unless the same ones are there already. */
const install = (venv: string, name: string, requirements: ReadonlyArray<string>): void => {
  ensureVenv(venv)
  const wanted = [...new Set(requirements)].sort()
  if (wanted.length === 0) return
  const digest = createHash("sha256").update(wanted.join("\n")).digest("hex")
  const stamp = join(venv, `ashlar-${name}.sha256`)
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return
  console.log(`Installing ${wanted.join(", ")} into ${basename(venv)} (once)`)
  run(pythonOf(venv), ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...wanted])
  mkdirSync(venv, { recursive: true })
  writeFileSync(stamp, digest)
}

/** Makes the environment of the interop suite; returns its Python. */
export const preparePython = (): string => {
  const files = [...packagesOf(), ...examplesOf()]
    .map(({ folder }) => join(folder, "test/interop/requirements.txt"))
    .filter((file) => existsSync(file))
  install(
    clients,
    "interop",
    files.flatMap((file) => requirementsOf(readFileSync(file, "utf8"))),
  )
  return pythonOf(clients)
}

/**
 * Makes the environments that lie apart; returns the variables that name their Pythons. A variable
 * that is set already names one that is there.
 */
export const prepareApart = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(apart).map(([variable, { name, packages }]) => {
      const given = process.env[variable] ?? ""
      if (given !== "") return [variable, given]
      const venv = join(root, `.venv-${name}`)
      install(venv, name, packages)
      return [variable, pythonOf(venv)]
    }),
  )

/** Makes the environment of the S3 server that the services suite uses; returns its Python. */
export const prepareMoto = (): string => {
  install(clients, "moto", ["moto[server]==5.2.5"])
  return pythonOf(clients)
}
