/**
 * Steps that run a tool: a non-zero exit is a problem, its output is the message.
 *
 * @module
 */
import { spawn } from "node:child_process"
import { join } from "node:path"
import type { Problem } from "./problem.ts"

/** What a finished program said. */
export interface Finished {
  readonly code: number
  readonly output: string
}

/** Runs a program and waits; it never fails, a program that does not start has code 127. */
export const execute = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<Finished> =>
  new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    })
    const chunks: Array<string> = []
    const keep = (chunk: Buffer) => chunks.push(chunk.toString())
    child.stdout.on("data", keep)
    child.stderr.on("data", keep)
    child.on("error", (error) => resolve({ code: 127, output: error.message }))
    child.on("close", (code) => resolve({ code: code ?? 1, output: chunks.join("") }))
  })

/** Runs a JavaScript file of an installed package on this Node. */
export const runTool = async (
  tree: string,
  script: string,
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {},
): Promise<ReadonlyArray<Problem>> => {
  const { code, output } = await execute(
    process.execPath,
    [join(tree, "node_modules", script), ...args],
    { cwd: tree, env },
  )
  return code === 0 ? [] : [{ file: script, message: `exits with ${code}\n${output.trimEnd()}` }]
}
