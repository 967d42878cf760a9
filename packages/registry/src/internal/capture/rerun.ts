/** Runs a rebuilt tree: only when somebody asked for it, for a run is somebody else's program. */
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join, resolve, sep } from "node:path"
import { RegistryError, invalid } from "../../RegistryError.ts"
import { redacted } from "./secrets.ts"
import type { Source } from "./source.ts"

/** How it is run. */
export interface RerunOptions {
  /** The Python to run Python with; default `python3`. */
  readonly python?: string
  /** `inherit` shows what it writes; default `ignore`. */
  readonly output?: "inherit" | "ignore"
  /** It is killed after this; default never. */
  readonly timeoutMs?: number
}

/** These make a runtime load other code; they are not taken from a record. */
const loading = /^(?:NODE_OPTIONS|PYTHON.*|LD_.*|DYLD_.*|ASHLAR_.*|MLFLOW_.*|VIRTUAL_ENV|CONDA_.*)$/

const start = (
  program: string,
  args: ReadonlyArray<string>,
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
  { output = "ignore", timeoutMs }: RerunOptions,
): Promise<number> =>
  new Promise((done, reject) => {
    const child = spawn(program, args, {
      cwd: directory,
      env,
      stdio: ["ignore", output, output],
      ...(timeoutMs === undefined ? {} : { timeout: timeoutMs, killSignal: "SIGKILL" }),
    })
    child.on("error", (cause) =>
      reject(
        new RegistryError({
          reason: "Unavailable",
          message: `${program} did not start: ${cause.message}`,
          cause,
        }),
      ),
    )
    child.on("close", (code) => done(code ?? -1))
  })

/** Installs what the lockfile says, without running packages' scripts. */
export const install = async (directory: string, options: RerunOptions): Promise<void> => {
  if (!existsSync(join(directory, "package-lock.json"))) {
    throw invalid("install", "there is no package-lock.json to install from")
  }
  // The tree's own `.npmrc` could name another program as git.
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--git=git"]
  const code = await start("npm", args, directory, process.env, options)
  if (code !== 0) {
    throw new RegistryError({ reason: "Unavailable", message: `npm ci failed with code ${code}` })
  }
}

/** Runs the recorded command in a rebuilt tree; resolves with its exit code. */
export const rerun = (
  runId: string,
  root: string,
  { command, directory, runtime, env }: Source,
  options: RerunOptions,
): Promise<number> => {
  const script = command.find((part) => !part.startsWith("-"))
  if (script === undefined) {
    throw invalid("command", "the run has no script, as in a notebook: open it and run it by hand")
  }
  if (command.some((part) => part.includes(redacted))) {
    throw invalid("command", "an argument of the run was a secret: run it by hand with yours")
  }
  const below = resolve(root, directory)
  const file = resolve(below, script)
  if ((below !== root && !below.startsWith(root + sep)) || !file.startsWith(root + sep)) {
    throw new RegistryError({
      reason: "PermissionDenied",
      field: "command",
      message: "the run's script or directory is not in its tree",
    })
  }
  if (!existsSync(file)) throw invalid("command", `${script} is not part of what was captured`)
  const program = runtime.name === "node" ? process.execPath : (options.python ?? "python3")
  const recorded = Object.entries(env).filter(
    ([name, value]) => !loading.test(name) && !value.includes(redacted),
  )
  const variables = {
    ...Object.fromEntries(recorded),
    ...process.env,
    ASHLAR_REPRODUCE: runId,
  }
  return start(program, command, below, variables, options)
}
