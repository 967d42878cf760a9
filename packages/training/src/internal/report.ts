/**
 * Progress from a trainer's thread to the caller's function.
 *
 * @module
 */
import type { Worker } from "node:worker_threads"
import * as Effect from "effect/Effect"
import type { FitOptions, Progress } from "../Trainer.ts"

/**
 * Tells the caller. What its function throws ends the fit as a defect: thrown in the thread's
 * message handler it would end the process.
 */
export const report = (
  worker: Worker,
  options: FitOptions,
  progress: Progress,
  resume: (effect: Effect.Effect<never>) => void,
): void => {
  try {
    options.onProgress?.(progress)
  } catch (cause) {
    worker.removeAllListeners("message")
    resume(
      Effect.andThen(
        Effect.promise(() => worker.terminate()),
        Effect.die(cause),
      ),
    )
  }
}
