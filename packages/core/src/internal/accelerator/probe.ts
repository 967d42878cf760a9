/**
 * Looks for devices in child processes: a driver that crashes or hangs takes its child with it, and
 * becomes an entry of what is absent.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Absent, Device, Inventory } from "../../Accelerator.ts"

/** Looks for the devices of one kind. Never fails. */
export interface Probe {
  readonly kind: Device["kind"]
  readonly run: Effect.Effect<Inventory>
}

/** How a probe's child process is started. */
export interface ProbeOptions {
  /** The program and its arguments, instead of the built-in one; prints what that would print. */
  readonly command?: readonly [string, ...ReadonlyArray<string>]
  /** A child that has not ended by then is killed; default 15000. */
  readonly timeoutMs?: number
}

/** What came of a child process. */
export type Outcome = { readonly output: string } | { readonly why: string }

const outputLimit = 1 << 20

/** Runs a command to its end, or kills it. */
export const runCommand = (
  command: readonly [string, ...ReadonlyArray<string>],
  timeoutMs: number,
): Effect.Effect<Outcome> =>
  Effect.callback((resume) => {
    const [program, ...args] = command
    // A group of its own, so that what the child started is killed with it.
    const child = spawn(program, args, {
      stdio: ["ignore", "pipe", "pipe"],
      detached: process.platform !== "win32",
    })
    const kill = () => {
      try {
        if (child.pid !== undefined && process.platform !== "win32") {
          process.kill(-child.pid, "SIGKILL")
        } else child.kill("SIGKILL")
      } catch {
        // It has ended already.
      }
    }
    let output = ""
    let errors = ""
    let late = false
    const timer = setTimeout(() => {
      late = true
      kill()
    }, timeoutMs)
    const collect = (text: string, chunk: unknown) =>
      text.length < outputLimit ? text + String(chunk) : text
    child.stdout.on("data", (chunk) => (output = collect(output, chunk)))
    child.stderr.on("data", (chunk) => (errors = collect(errors, chunk)))
    const end = (outcome: Outcome) => {
      clearTimeout(timer)
      resume(Effect.succeed(outcome))
    }
    child.on("error", (error) => end({ why: `'${program}' did not start: ${error.message}` }))
    child.on("close", (code, signal) => {
      if (late) end({ why: `it did not answer within ${timeoutMs} ms and was stopped` })
      else if (signal !== null) end({ why: `it crashed with ${signal}` })
      else if (code !== 0) {
        const last = errors.trim().split("\n").at(-1) ?? ""
        end({
          why: `it ended with exit code ${code}${last === "" ? "" : `: ${last.slice(0, 300)}`}`,
        })
      } else end({ output })
    })
    return Effect.sync(() => {
      clearTimeout(timer)
      kill()
    })
  })

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"

/** The command that runs one of the programs beside this file. */
export const program = (
  name: string,
  ...args: ReadonlyArray<string>
): [string, ...Array<string>] => [
  process.execPath,
  fileURLToPath(new URL(`./${name}.${extension}`, import.meta.url)),
  ...args,
]

/** Marks the line of a child's output that is its answer; drivers print lines of their own. */
export const marker = "ashlar-probe:"

/** Decodes the answer of a child. */
export const answer = <A, I>(
  outcome: Outcome,
  schema: Schema.Codec<A, I>,
): Effect.Effect<A | { readonly why: string }> => {
  if ("why" in outcome) return Effect.succeed(outcome)
  const line = outcome.output.split("\n").find((text) => text.startsWith(marker))
  if (line === undefined) return Effect.succeed({ why: "it ended without an answer" })
  return Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(line.slice(marker.length)).pipe(
    Effect.catch((cause) => Effect.succeed({ why: `its answer is malformed: ${cause.message}` })),
  )
}

/** Nothing found. */
export const absent = (kind: Absent["kind"], what: string, why: string): Inventory => ({
  devices: [],
  absent: [{ kind, what, why }],
})
