/**
 * The program behind `npm run serve`.
 *
 * @module
 */
import { Failure } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { mkdir } from "node:fs/promises"
import { authLayer } from "./backends.ts"
import * as CommandLine from "./CommandLine.ts"
import * as PlatformSettings from "./PlatformSettings.ts"
import * as Tokens from "./tokens.ts"

const print: Tokens.Print = (text) => {
  process.stdout.write(text)
}

const complain = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

/** What is said about a failure, and the exit code that goes with it. */
const report = (error: unknown): number => {
  if (Failure.isFailure(error)) {
    complain(`${Failure.codeOf(error)}: ${error.message}`)
    return error.reason === "InvalidInput" || error.reason === "NotFound" ? 2 : 1
  }
  complain(error instanceof Error ? (error.stack ?? error.message) : String(error))
  return 1
}

const main = async (): Promise<number> => {
  const command = CommandLine.read(process.argv.slice(2))
  if ("error" in command) {
    complain(`${command.error}\nSee npm run serve -- --help`)
    return 2
  }
  if (command.name === "help") {
    print(CommandLine.help)
    return 0
  }
  const settings = await Effect.runPromise(PlatformSettings.load(command.given, process.env))
  if (command.name === "serve") {
    // Only a server waits for all the modules to load.
    const { serve } = await import("./server.ts")
    await serve(settings, print)
    return 0
  }
  await mkdir(settings.directory, { recursive: true, mode: 0o700 })
  const note = await Effect.runPromise(
    Effect.provide(Tokens.run(command, print), authLayer(settings)),
  )
  if (note !== undefined) complain(note)
  return 0
}

process.exitCode = await main().catch(report)
