/**
 * Durable workflows: ordinary Effect code whose named steps are journaled. After a crash the code
 * runs again from the top, and every finished step returns its journaled result at once.
 *
 * @module
 */
import { Failure, Name } from "@ashlar/core"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Promised from "./internal/promiseWorkflow.ts"

/** A run could not be started, continued, found or stored. */
export class OrchestratorError extends Schema.TaggedError<OrchestratorError>()(
  "OrchestratorError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "Conflict",
    "TooLarge",
    "Cancelled",
    "Timeout",
    "Corrupt",
    "Unavailable",
    "Internal",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** How to run a step. */
export interface StepOptions<A> {
  /** Unique within the run, and the same each time the code runs. */
  readonly name: string
  /** What the step returns; journaled as JSON of at most 1 MB. Return references to large data. */
  readonly output: Schema.Codec<A, unknown>
  /** Attempts in all; default 1. */
  readonly attempts?: number
  /** Wait before the second attempt, doubled for each further one; milliseconds, default 500. */
  readonly backoffMs?: number
  /** Wall time of one attempt, milliseconds; default none. */
  readonly timeoutMs?: number
}

/** What a workflow's code can do durably. */
export interface WorkflowContext {
  readonly runId: string
  /**
   * Fencing token: grows each time another process takes the run over. Pass it, with the run and
   * step, to outside systems as idempotency key.
   */
  readonly epoch: number
  /** Runs the effect once to success and journals its result; replays it ever after. */
  readonly step: <A, E, R>(
    options: StepOptions<A>,
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | OrchestratorError, R>
  /** Sleeps until a wake-up time that survives restarts. */
  readonly sleep: (name: string, millis: number) => Effect.Effect<void, OrchestratorError>
}

/** A durable workflow. */
export interface Workflow<Input, Output, E, R> {
  readonly name: string
  /** Runs are pinned to the version that started them. */
  readonly version: string
  readonly input: Schema.Codec<Input, unknown>
  readonly output: Schema.Codec<Output, unknown>
  readonly run: (input: Input, context: WorkflowContext) => Effect.Effect<Output, E, R>
}

const isName = Schema.is(Name.Name)

/**
 * Makes a workflow. The code between steps must be deterministic: read clocks, randomness and the
 * outside world inside steps only. Throws a `TypeError` for a name that is not one.
 *
 * @example
 * ```ts
 * import { Workflow } from "@ashlar/orchestrator"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const train = Workflow.make({
 *   name: "train",
 *   version: "1",
 *   input: Schema.Struct({ month: Schema.String }),
 *   output: Schema.Number,
 *   run: ({ month }, { step }) =>
 *     Effect.gen(function* () {
 *       const rows = yield* step(
 *         { name: "read", output: Schema.Number, attempts: 3 },
 *         Effect.sync(() => month.length * 100),
 *       )
 *       return yield* step({ name: "fit", output: Schema.Number }, Effect.succeed(rows / 1000))
 *     }),
 * })
 * train.name // => "train"
 * ```
 */
export const make = <Input, Output, E, R>(
  definition: Workflow<Input, Output, E, R>,
): Workflow<Input, Output, E, R> => {
  if (!isName(definition.name)) {
    throw new TypeError(
      `workflow name ${JSON.stringify(definition.name)}: use letters, digits, '_', '.' or '-'`,
    )
  }
  return definition
}

/** What a workflow written with promises can do durably. */
export interface PromiseContext extends Pick<WorkflowContext, "runId" | "epoch"> {
  /** Aborts when the run is stopped: cancelled, taken over, or its orchestrator closed. */
  readonly signal: AbortSignal
  /**
   * Runs the function once to success and journals its result; replays it ever after. Its `signal`
   * aborts when the attempt times out or the run is stopped.
   */
  readonly step: <A>(
    options: StepOptions<A>,
    call: (context: { readonly signal: AbortSignal }) => Promise<A> | A,
  ) => Promise<A>
  /** Sleeps until a wake-up time that survives restarts. */
  readonly sleep: (name: string, millis: number) => Promise<void>
}

/** A workflow written with promises. */
export interface PromiseWorkflow<Input, Output> extends Omit<
  Workflow<Input, Output, unknown, never>,
  "run"
> {
  readonly run: (input: Input, context: PromiseContext) => Promise<Output> | Output
}

/**
 * Makes a workflow from an async function. Steps may run side by side (`Promise.all`); those still
 * running when the function's promise settles are stopped. Throws a `TypeError` for a name that is
 * not one.
 */
export const fromPromise = <Input, Output>(
  definition: PromiseWorkflow<Input, Output>,
): Workflow<Input, Output, unknown, never> => make({ ...definition, run: Promised.run(definition) })
