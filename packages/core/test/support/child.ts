import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("databaseChild.ts", import.meta.url))

/** A child process on a database. */
export interface DatabaseChild {
  /** Complete lines it wrote. */
  readonly lines: Array<string>
  /** Resolves when it ended by itself; rejects when it failed. */
  readonly done: () => Promise<void>
  /** Waits for so many lines, then kills it with SIGKILL and waits until it is gone. */
  readonly killAfter: (lines: number) => Promise<void>
}

/** Starts a task of `databaseChild.ts`. */
export const startChild = (task: string, env: Readonly<Record<string, string>>): DatabaseChild => {
  const child = spawn(process.execPath, ["--conditions=@ashlar/source", script, task], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  const exit = once(child, "close")
  const lines: Array<string> = []
  let [rest, errors] = ["", ""]
  let enough = { count: Number.POSITIVE_INFINITY, reached: () => {} }
  child.stderr.on("data", (chunk) => (errors += String(chunk)))
  child.stdout.on("data", (chunk) => {
    const parts = (rest + String(chunk)).split("\n")
    rest = parts.pop() ?? ""
    lines.push(...parts)
    if (lines.length >= enough.count) enough.reached()
  })
  return {
    lines,
    done: async () => {
      const [code] = await exit
      if (code !== 0) throw new Error(`the child ended with ${String(code)}:\n${errors}`)
    },
    killAfter: async (count) => {
      await Promise.race([
        new Promise<void>((resolve) => {
          enough = { count, reached: resolve }
          if (lines.length >= count) resolve()
        }),
        exit,
      ])
      if (lines.length < count) throw new Error(`the child ended early:\n${errors}`)
      child.kill("SIGKILL")
      await exit
    },
  }
}
