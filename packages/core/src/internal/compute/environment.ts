/**
 * What a job sees of this process: very little, so that no secret leaks into it.
 *
 * @module
 */
import type { JobSpec } from "../../Job.ts"

const inherited = ["PATH", "HOME", "TMPDIR", "LANG", "SystemRoot"]
const threadVariables = [
  "OMP_NUM_THREADS",
  "OPENBLAS_NUM_THREADS",
  "MKL_NUM_THREADS",
  "VECLIB_MAXIMUM_THREADS",
  "NUMEXPR_NUM_THREADS",
  "RAYON_NUM_THREADS",
]

/** The few variables a job inherits. */
export const base = (): Record<string, string> => {
  const env: Record<string, string> = {}
  for (const name of inherited) {
    const value = process.env[name]
    if (value !== undefined) env[name] = value
  }
  return env
}

/** A job's environment: the base, its grant in the variables that numeric libraries read, its own. */
export const ofJob = (job: JobSpec, attempt: number): Record<string, string> => {
  const threads = String(Math.max(1, Math.floor(job.resources?.cpus ?? 1)))
  return {
    ...base(),
    ...Object.fromEntries(threadVariables.map((name) => [name, threads])),
    ASHLAR_JOB_ID: job.id,
    ASHLAR_JOB_ATTEMPT: String(attempt),
    ...(job.task._tag === "Command" ? job.task.env : {}),
  }
}

/** The `--conditions` this process was started with: children must resolve packages alike. */
export const conditions = (): Array<string> => {
  const given = [...process.execArgv, ...(process.env["NODE_OPTIONS"] ?? "").split(/\s+/)]
  const found = new Set<string>()
  for (const [index, argument] of given.entries()) {
    const inline = /^(?:--conditions|-C)=(.+)$/.exec(argument)?.[1]
    const isFlag = argument === "--conditions" || argument === "-C"
    const name = inline ?? (isFlag ? given[index + 1] : undefined)
    if (name !== undefined) found.add(`--conditions=${name}`)
  }
  return [...found]
}

/** URL of a program that lies beside this file, as source or built. */
export const program = (name: string): URL =>
  new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url)
