import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Failure, Progress } from "@ashlar/core"
import { Orchestrator } from "@ashlar/orchestrator"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Environment from "./environment.ts"
import * as Loop from "./loop.ts"
import * as Options from "./options.ts"
import * as Report from "./report.ts"
import * as Summary from "./summary.ts"
import { flightDelays } from "./workflow.ts"

const started = performance.now()

const program = (options: Options.Options, resumed: () => number) =>
  Effect.scoped(
    Effect.gen(function* () {
      const orchestrator = yield* Orchestrator.Orchestrator
      yield* orchestrator.work({
        kind: "retrain",
        workflow: Loop.retrain,
        start: (event) => ({
          key: event.key,
          input: { at: windowEnd(event.payload), rows: options.rows },
        }),
      })
      const result = yield* orchestrator.execute(flightDelays, {
        key: `rows-${options.rows}`,
        input: { rows: options.rows },
      })
      const summary = Summary.of(result, {
        wallSeconds: (performance.now() - started) / 1000,
        peakRssMb: process.resourceUsage().maxRSS / 1024,
        stepsResumed: resumed(),
      })
      const html = yield* Effect.promise(() => Report.html(result, summary))
      const report = join(options.directory, "report.html")
      writeFileSync(report, html)
      writeFileSync(
        join(options.directory, "summary.json"),
        `${JSON.stringify(summary, null, 2)}\n`,
      )
      process.stdout.write(`${Summary.text(result, summary)}\nReport: ${report}\n`)
    }),
  )

/** End of the window that fired the trigger. */
const windowEnd = (payload: unknown): number => {
  const window =
    typeof payload === "object" && payload !== null && "window" in payload ? payload.window : null
  const to = typeof window === "object" && window !== null && "to" in window ? window.to : null
  return Date.parse(String(to)) * 1000
}

const failed = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (Failure.isFailure(error)) return `${Failure.codeOf(error)}: ${error.message}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

const main = async (): Promise<number> => {
  const options = Options.read(process.argv.slice(2), process.env)
  if (options === "help") {
    process.stdout.write(Options.help)
    return 0
  }
  if ("error" in options) {
    process.stderr.write(`${options.error}\n\n${Options.help}`)
    return 2
  }
  if (options.fresh) rmSync(options.directory, { recursive: true, force: true })
  let replayed = 0
  const layer = Layer.mergeAll(
    Environment.layer(options, {
      onStep: (event) => {
        if (event.state === "replayed") replayed += 1
        if (event.state === "failed") {
          process.stderr.write(
            `step ${event.step} failed (attempt ${event.attempt}): ${event.message}\n`,
          )
        }
      },
    }),
    Progress.terminal(),
  )
  const fiber = Effect.runFork(
    Effect.provide(
      program(options, () => replayed),
      layer,
    ),
  )
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      process.stderr.write(`\n${signal}: stopping; start again to continue from here\n`)
      Effect.runFork(Fiber.interrupt(fiber))
    })
  }
  const exit = await Effect.runPromise(Fiber.await(fiber))
  if (Exit.isSuccess(exit)) return 0
  if (Cause.hasInterruptsOnly(exit.cause)) return 130
  process.stderr.write(`${failed(exit.cause)}\n`)
  return 1
}

process.exitCode = await main()
