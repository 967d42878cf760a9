/** Git, run without a shell, hooks, helpers or prompts, within limits of time and output. */
import { spawn } from "node:child_process"
import { RegistryError } from "../../RegistryError.ts"

/** How git is run. */
export interface GitOptions {
  readonly directory: string
  /** Most bytes of output; more ends it. Default 64 MiB. */
  readonly limit?: number
  /** Default 60000. */
  readonly timeoutMs?: number
  readonly input?: Uint8Array
}

/** What git said. */
export interface GitResult {
  readonly code: number
  readonly out: Buffer
  readonly error: string
  /** There was more than the limit. */
  readonly cut: boolean
}

/** Nothing that a repository or a user configured runs or changes the output. */
const quiet = [
  "--no-pager",
  ...[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "diff.suppressBlankEmpty=false",
    "diff.ignoreSubmodules=none",
    "color.ui=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
  ].flatMap((setting) => ["-c", setting]),
]

/** Git's own variables point to other repositories, editors and programs. */
const environment = (): Record<string, string | undefined> => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"))),
  GIT_OPTIONAL_LOCKS: "0",
  GIT_TERMINAL_PROMPT: "0",
  GIT_ALLOW_PROTOCOL: "file:https:ssh",
  GIT_ADVICE: "0",
  LC_ALL: "C",
})

/** Runs git; resolves with what it said, also when it failed. Rejects when there is no git. */
export const git = (args: ReadonlyArray<string>, options: GitOptions): Promise<GitResult> =>
  new Promise((resolve, reject) => {
    const { directory, limit = 64 << 20, timeoutMs = 60_000, input } = options
    const child = spawn("git", [...quiet, ...args], {
      cwd: directory,
      env: environment(),
      stdio: ["pipe", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
      windowsHide: true,
    })
    const out: Array<Buffer> = []
    let size = 0
    let cut = false
    let error = ""
    child.stdout.on("data", (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) {
        cut = true
        child.kill("SIGKILL")
      } else out.push(chunk)
    })
    child.stderr.on("data", (chunk: Buffer) => {
      if (error.length < 4000) error += chunk.toString()
    })
    // A git that ends early does not read its input.
    child.stdin.on("error", () => undefined)
    child.stdin.end(input)
    child.on("error", (cause) =>
      reject(
        new RegistryError({
          reason: "Unavailable",
          message: `git did not start: ${cause.message}`,
          cause,
        }),
      ),
    )
    child.on("close", (code) =>
      resolve({ code: cut ? 0 : (code ?? -1), out: Buffer.concat(out), error: error.trim(), cut }),
    )
  })

/** Runs git; rejects when it fails. */
export const gitOrThrow = async (
  args: ReadonlyArray<string>,
  options: GitOptions,
): Promise<Buffer> => {
  const { code, out, error, cut } = await git(args, options)
  if (code === 0 && !cut) return out
  throw new RegistryError({
    reason: "Unavailable",
    message: `git ${args[0]} ${cut ? "gave too much output" : `failed: ${error.slice(0, 1000)}`}`,
  })
}

/** Paths of an output with `-z`. */
export const pathsIn = (out: Buffer): ReadonlyArray<string> => [
  ...new Set(
    out
      .toString("utf8")
      .split("\0")
      .filter((path) => path !== ""),
  ),
]
