import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type { PromiseContext, PromiseWorkflow, Workflow } from "../Workflow.ts"

const rejected = <A>(call: (signal: AbortSignal) => Promise<A> | A) =>
  Effect.tryPromise({
    try: (signal) => Promise.resolve(call(signal)),
    catch: (error) => error,
  })

/** The workflow as an effect. Steps still going when its promise settles are stopped first. */
export const run =
  <Input, Output>(
    definition: PromiseWorkflow<Input, Output>,
  ): Workflow<Input, Output, unknown, never>["run"] =>
  (input, { runId, epoch, step, sleep }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const start = yield* FiberSet.makeRuntimePromise<never, unknown, unknown>()
        return yield* rejected(async (signal) => {
          const context: PromiseContext = {
            runId,
            epoch,
            signal,
            step: (options, call) =>
              start(
                step(
                  options,
                  rejected(async (stepSignal) => call({ signal: stepSignal })),
                ),
              ),
            sleep: (name, millis) => start(sleep(name, millis)),
          }
          return definition.run(input, context)
        })
      }),
    )
