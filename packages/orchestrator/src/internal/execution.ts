import { Failure, Timestamp } from "@ashlar/core"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import {
  OrchestratorError,
  type StepOptions,
  type Workflow,
  type WorkflowContext,
} from "../Workflow.ts"
import type { Journal } from "./journal.ts"
import type { RunRow, StepRow } from "./migrations.ts"

/** Most bytes of a step's or run's JSON. */
const maxJson = 1_000_000

/** Encodes a value by its schema to JSON text within the size limit. */
export const encode = Effect.fnUntraced(function* <A>(
  schema: Schema.Codec<A, unknown>,
  value: A,
  what: string,
) {
  const json = yield* Effect.mapError(
    Schema.encodeEffect(Schema.toCodecJson(schema))(value),
    (error) =>
      new OrchestratorError({
        reason: "InvalidInput",
        field: what,
        message: `${what}: ${error.message}`,
      }),
  )
  const text = JSON.stringify(json ?? null)
  if (text.length > maxJson) {
    return yield* new OrchestratorError({
      reason: "TooLarge",
      field: what,
      message: `${what} is ${text.length} characters of JSON, the journal holds ${maxJson}: write large data to a file or blob and return its reference`,
    })
  }
  return text
})

/** Decodes journaled JSON text by its schema. */
export const decode = <A>(schema: Schema.Codec<A, unknown>, text: string | null, what: string) =>
  Effect.mapError(
    Effect.try({
      try: (): unknown => JSON.parse(text ?? "null"),
      catch: (error) => new OrchestratorError({ reason: "Corrupt", message: `${what}: ${error}` }),
    }).pipe(Effect.flatMap(Schema.decodeUnknownEffect(Schema.toCodecJson(schema)))),
    (error) =>
      error instanceof OrchestratorError
        ? error
        : new OrchestratorError({
            reason: "Corrupt",
            field: what,
            message: `${what}: what was journaled does not fit the schema any more (${error.message}); raise the workflow's version and start it under a new key`,
          }),
  )

/** Why something failed, as journaled for people. */
export const describe = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  const text = Failure.isFailure(error)
    ? `${Failure.codeOf(error)}: ${error.message}`
    : error instanceof Error
      ? `${error.name}: ${error.message}`
      : String(error)
  return text.slice(0, 10_000)
}

/** Told of each step as it is replayed, begun and ended. */
export type StepListener = (event: {
  readonly runId: string
  readonly workflow: string
  readonly step: string
  readonly state: "replayed" | "running" | "succeeded" | "failed"
  readonly attempt: number
  readonly message?: string
}) => void

/** Runs a claimed run to its end, journaling its steps, and writes the outcome. */
export const execute = Effect.fnUntraced(function* <Input, Output, E, R>(
  journal: Journal,
  workflow: Workflow<Input, Output, E, R>,
  run: RunRow,
  epoch: number,
  leaseMs: number,
  listener: StepListener,
) {
  if (run.version !== workflow.version) {
    yield* journal.finish(run.id, epoch, { state: "pending" })
    return yield* new OrchestratorError({
      reason: "Conflict",
      message: `run ${run.id} of ${workflow.name} was started by version ${run.version}, this code is version ${workflow.version}: finish it with that version, or cancel it and start under a new key`,
    })
  }
  const input = yield* decode(workflow.input, run.input, "input")
  const done = new Map<string, StepRow>()
  for (const step of yield* journal.steps(run.id)) done.set(step.name, step)
  const context = makeContext(journal, workflow.name, run.id, epoch, leaseMs, done, listener)

  const heartbeat = Effect.forever(
    Effect.andThen(Effect.sleep(leaseMs / 3), journal.renew(run.id, epoch, leaseMs)),
  )
  const body = Effect.flatMap(
    Effect.suspend(() => workflow.run(input, context)),
    (output) => Effect.map(encode(workflow.output, output, "output"), (text) => ({ output, text })),
  )

  return yield* Effect.raceFirst(body, heartbeat).pipe(
    Effect.onExit((exit) => {
      if (Exit.isSuccess(exit)) return Effect.void
      // An interrupted run is nobody's fault: whoever starts next continues it at once.
      return Cause.hasInterruptsOnly(exit.cause)
        ? Effect.ignore(journal.finish(run.id, epoch, { state: "pending" }))
        : Effect.ignore(
            journal.finish(run.id, epoch, { state: "failed", error: describe(exit.cause) }),
          )
    }),
    Effect.tap(({ text }) =>
      Effect.flatMap(journal.finish(run.id, epoch, { state: "succeeded", output: text }), (mine) =>
        mine
          ? Effect.void
          : Effect.fail(
              new OrchestratorError({
                reason: "Conflict",
                message: `run ${run.id} was cancelled or taken over before its result was written`,
              }),
            ),
      ),
    ),
    Effect.map(({ output }) => output),
  )
})

const makeContext = (
  journal: Journal,
  workflow: string,
  runId: string,
  epoch: number,
  leaseMs: number,
  done: ReadonlyMap<string, StepRow>,
  listener: StepListener,
): WorkflowContext => {
  const used = new Set<string>()
  const step = Effect.fnUntraced(function* <A, E, R>(
    options: StepOptions<A>,
    effect: Effect.Effect<A, E, R>,
  ) {
    const { name, attempts = 1, backoffMs = 500 } = options
    if (used.has(name)) {
      return yield* new OrchestratorError({
        reason: "InvalidInput",
        field: "name",
        message: `workflow ${workflow} uses the step name ${JSON.stringify(name)} twice in one run: number the steps of a loop`,
      })
    }
    used.add(name)
    const before = done.get(name)
    if (before?.state === "succeeded") {
      listener({ runId, workflow, step: name, state: "replayed", attempt: before.attempt })
      return yield* decode(options.output, before.output, `step ${name}`)
    }
    const started = Timestamp.now()
    const row = (state: StepRow["state"], attempt: number, rest: Partial<StepRow>): StepRow => ({
      run: runId,
      name,
      state,
      attempt,
      epoch,
      output: null,
      error: null,
      started,
      finished: null,
      ...rest,
    })
    const first = (before?.attempt ?? 0) + 1
    const last = first + attempts - 1
    const once = (attempt: number): Effect.Effect<A, E | OrchestratorError, R> =>
      Effect.gen(function* () {
        yield* journal.writeStep(row("running", attempt, {}), leaseMs)
        listener({ runId, workflow, step: name, state: "running", attempt })
        const value = yield* withTimeout(effect, options)
        const output = yield* encode(options.output, value, `step ${name}`)
        yield* journal.writeStep(
          row("succeeded", attempt, { output, finished: Timestamp.now() }),
          leaseMs,
        )
        listener({ runId, workflow, step: name, state: "succeeded", attempt })
        return value
      }).pipe(
        Effect.catchCause((cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
          const error = describe(cause)
          listener({ runId, workflow, step: name, state: "failed", attempt, message: error })
          const failed = journal.writeStep(
            row("failed", attempt, { error, finished: Timestamp.now() }),
            leaseMs,
          )
          const next =
            attempt < last
              ? Effect.andThen(Effect.sleep(backoffMs * 2 ** (attempt - first)), once(attempt + 1))
              : Effect.failCause(cause)
          return Effect.andThen(failed, next)
        }),
      )
    return yield* once(first)
  })

  return {
    runId,
    epoch,
    step,
    sleep: (name, millis) =>
      Effect.flatMap(
        step(
          { name, output: Schema.Number },
          Effect.sync(() => Timestamp.now() + millis * 1000),
        ),
        (wake) => Effect.sleep(Math.max(0, (wake - Timestamp.now()) / 1000)),
      ),
  }
}

const withTimeout = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: StepOptions<A>,
): Effect.Effect<A, E | OrchestratorError, R> =>
  options.timeoutMs === undefined
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: options.timeoutMs,
        orElse: () =>
          Effect.fail(
            new OrchestratorError({
              reason: "Timeout",
              message: `step ${options.name} took longer than ${options.timeoutMs} ms: raise timeoutMs or make the step smaller`,
            }),
          ),
      })
