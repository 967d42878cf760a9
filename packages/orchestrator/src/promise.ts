/**
 * The orchestrator without Effect: workflows are async functions, and every method returns a
 * promise.
 *
 * @module
 */
import type { Database, LineageSink } from "@ashlar/core"
import { type CallOptions, Facade, type Handle } from "@ashlar/core/promise"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Orchestrator from "./Orchestrator.ts"
import type { Workflow } from "./Workflow.ts"

export { OrchestratorError } from "./Orchestrator.ts"
export {
  fromPromise as workflow,
  type PromiseContext,
  type PromiseWorkflow,
  type StepOptions,
} from "./Workflow.ts"

/** Where the orchestrator keeps its state, and how it works. */
export interface Options<D> extends Orchestrator.Options {
  /** E.g. core's `Sqlite.layer({ file })`. */
  readonly database: Layer.Layer<Database.Database, D>
  /** Where OpenLineage events go; default nowhere. */
  readonly lineage?: Layer.Layer<LineageSink.LineageSink>
}

/** A workflow that needs no services, such as one made by `workflow`. */
export type Standalone<Input, Output> = Workflow<Input, Output, unknown, never>

/** Works in the background until it is disposed or the orchestrator closes. */
export interface Worker extends AsyncDisposable {}

/**
 * The methods whose types depend on the workflow: the same as the service's, for workflows that
 * need no services.
 */
export interface WorkflowMethods {
  /** Runs a workflow to its end and returns its result; see the service's `execute`. */
  readonly execute: <Input, Output>(
    workflow: Standalone<Input, Output>,
    options: Orchestrator.StartOptions<Input>,
    call?: CallOptions,
  ) => Promise<Output>
  /** Stores a run for a `work` loop to pick up. */
  readonly start: <Input, Output>(
    workflow: Standalone<Input, Output>,
    options: Orchestrator.StartOptions<Input>,
    call?: CallOptions,
  ) => Promise<Orchestrator.RunInfo>
  /** The result of a run that some process works on; rejects when the run fails. */
  readonly wait: <Input, Output>(
    workflow: Standalone<Input, Output>,
    key: string,
    call?: CallOptions,
  ) => Promise<Output>
  /** Works on runs, and on triggers when subscribed to some. */
  readonly work: <Input, Output>(
    source:
      | Orchestrator.WorkSource<Input, Output, unknown, never>
      | Orchestrator.Subscription<Input, Output, unknown, never>,
  ) => Promise<Worker>
}

type Service = Orchestrator.Orchestrator["Service"]

/** The Promise face of the orchestrator. */
export type PromiseOrchestrator = WorkflowMethods & Omit<Facade<Service>, keyof WorkflowMethods>

/** The service as promises need it: what wants a scope gets one that the caller can close. */
class Unscoped extends Context.Service<
  Unscoped,
  Omit<Service, "work"> & {
    readonly work: (
      source:
        | Orchestrator.WorkSource<unknown, unknown, unknown, never>
        | Orchestrator.Subscription<unknown, unknown, unknown, never>,
    ) => Effect.Effect<Worker, Orchestrator.OrchestratorError>
  }
>()("@ashlar/orchestrator/promise/Unscoped/v1") {}

const unscoped: Layer.Layer<Unscoped, never, Orchestrator.Orchestrator> = Layer.effect(
  Unscoped,
  Effect.gen(function* () {
    const orchestrator = yield* Orchestrator.Orchestrator
    // This layer closes before the orchestrator's, so workers still give their runs back.
    const all = yield* Effect.scope
    return {
      ...orchestrator,
      work: Effect.fnUntraced(function* (source) {
        const scope = yield* Scope.fork(all)
        yield* Scope.provide(orchestrator.work(source), scope)
        return {
          [Symbol.asyncDispose]: () => Effect.runPromise(Scope.close(scope, Exit.void)),
        }
      }),
    }
  }),
)

/**
 * Opens the orchestrator; `await using` closes it. Runs that were going on continue when they are
 * executed or worked on again.
 *
 * @example
 * ```ts
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import { make, workflow } from "@ashlar/orchestrator/promise"
 * import * as Schema from "effect/Schema"
 *
 * const greet = workflow({
 *   name: "greet",
 *   version: "1",
 *   input: Schema.String,
 *   output: Schema.String,
 *   run: async (name, { step }) => {
 *     const upper = await step({ name: "shout", output: Schema.String }, () => name.toUpperCase())
 *     return `HELLO ${upper}`
 *   },
 * })
 *
 * await using orchestrator = await make({ database: Sqlite.layer({ file: ":memory:" }) })
 * await orchestrator.execute(greet, { key: "ada", input: "Ada" }) // => "HELLO ADA"
 * ```
 */
export const make = <D>(
  options: Options<D>,
): Promise<
  PromiseOrchestrator & Handle<Orchestrator.Orchestrator, D | Orchestrator.OrchestratorError>
> => {
  const base = Orchestrator.layer(options).pipe(
    Layer.provide(options.lineage ?? Layer.empty),
    Layer.provide(options.database),
  )
  // The types of the generic methods are what a derived type cannot carry.
  return Facade.make(Unscoped, unscoped.pipe(Layer.provideMerge(base))) as unknown as Promise<
    PromiseOrchestrator & Handle<Orchestrator.Orchestrator, D | Orchestrator.OrchestratorError>
  >
}
