/**
 * Progress of long work: a bar on a terminal, plain lines elsewhere, a callback for programs, and
 * silence where nobody asked.
 *
 * @module
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { barReporter } from "./internal/progress/bar.ts"
import { lineReporter } from "./internal/progress/lines.ts"

/** How far a task is. */
export interface ProgressEvent {
  /** Tells tasks with the same name apart within a process. */
  readonly id: number
  readonly name: string
  readonly done: number
  /** Unknown when absent. */
  readonly total?: number
  /** What is counted, e.g. `rows`. */
  readonly unit?: string
  readonly note?: string
  readonly state: "running" | "succeeded" | "failed"
  readonly elapsedMs: number
}

/** Takes every change; slowing the display down is the reporter's business. */
export interface Reporter {
  readonly report: (event: ProgressEvent) => void
}

/** Where progress is reported; silent unless a layer of this module says otherwise. */
export const CurrentReporter: Context.Reference<Reporter> = Context.Reference<Reporter>(
  "@ashlar/core/Progress/v1",
  { defaultValue: () => silentReporter },
)

const silentReporter: Reporter = { report: () => undefined }

/** A running task. Its methods are plain functions: loops over rows call them. */
export interface Task {
  /** Adds to what is done; default 1. */
  readonly advance: (amount?: number) => void
  /** Sets what is done, what is happening now, and the total if it became known. */
  readonly update: (done: number, note?: string, total?: number) => void
}

/** What a task counts. */
export interface TaskOptions {
  readonly total?: number
  readonly unit?: string
}

let lastId = 0

const start = (reporter: Reporter, name: string, options: TaskOptions) => {
  const started = performance.now()
  const id = ++lastId
  let done = 0
  let note: string | undefined
  let total = options.total
  const report = (state: ProgressEvent["state"]) =>
    reporter.report({
      id,
      name,
      done,
      ...options,
      ...(total === undefined ? {} : { total }),
      ...(note === undefined ? {} : { note }),
      state,
      elapsedMs: performance.now() - started,
    })
  report("running")
  const task: Task = {
    advance: (amount = 1) => {
      done += amount
      report("running")
    },
    update: (value, text, known) => {
      done = value
      note = text
      total = known ?? total
      report("running")
    },
  }
  return { task, report }
}

/**
 * Starts a task that ends with its scope: succeeded, or failed when the scope closes so.
 *
 * @example
 * ```ts
 * import * as Effect from "effect/Effect"
 * import { Progress } from "@ashlar/core"
 *
 * const copied: Array<number> = []
 * const copy = Effect.scoped(
 *   Effect.map(Progress.task("copy", { total: 3, unit: "files" }), (task) => {
 *     for (let file = 1; file <= 3; file++) task.advance()
 *   }),
 * )
 * const reporting = Progress.callback((event) => copied.push(event.done))
 * await Effect.runPromise(Effect.provide(copy, reporting))
 * copied // => [0, 1, 2, 3, 3]
 * ```
 */
export const task = (
  name: string,
  options: TaskOptions = {},
): Effect.Effect<Task, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.map(CurrentReporter, (reporter) => start(reporter, name, options)),
      (started, exit) =>
        Effect.sync(() => started.report(Exit.isSuccess(exit) ? "succeeded" : "failed")),
    ),
    (started) => started.task,
  )

/** Runs work as one task. */
export const withTask = <A, E, R>(
  name: string,
  options: TaskOptions,
  work: (task: Task) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.scoped(Effect.flatMap(task(name, options), work))

/** Reports nothing. */
export const silent: Layer.Layer<never> = Layer.succeed(CurrentReporter, silentReporter)

/**
 * Reports to a function. For a Promise face, merge it into the layer:
 * `Facade.make(Service, Layer.merge(layer, Progress.callback(onProgress)))`.
 */
export const callback = (report: (event: ProgressEvent) => void): Layer.Layer<never> =>
  Layer.succeed(CurrentReporter, { report })

/** Where progress is shown, e.g. `process.stderr`. */
export interface Output {
  readonly write: (text: string) => unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

/** Shows a bar on a terminal, and a plain line now and then on anything else. */
export const terminal = (
  options: {
    /** Default `process.stderr`. */
    readonly output?: Output
    /** Time between plain lines of a task, in milliseconds; default 5000. */
    readonly lineEveryMs?: number
  } = {},
): Layer.Layer<never> =>
  Layer.effect(
    CurrentReporter,
    Effect.sync(() => {
      const output = options.output ?? process.stderr
      return output.isTTY === true
        ? barReporter(output)
        : lineReporter(output, options.lineEveryMs ?? 5000)
    }),
  )
