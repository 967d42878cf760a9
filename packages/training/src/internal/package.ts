/**
 * A trial's model package: the ONNX file with its manifest, in the trial's folder.
 *
 * @module
 */
import { mkdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { ModelPackage } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Fitted } from "../Trainer.ts"
import { TrainingError } from "../TrainingError.ts"

const directoryOf = (folder: string) => join(folder, "model")

const failed = (
  folder: string,
  cause: unknown,
  reason: "OutOfSpace" | "Unavailable" = "Unavailable",
) =>
  new TrainingError({
    reason,
    message: `The model could not be written to ${folder}: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause,
  })

/** The package in a trial's folder, if a whole one is there. */
export const packageAt = (folder: string): Effect.Effect<ModelPackage.ModelPackage | undefined> =>
  ModelPackage.read(directoryOf(folder)).pipe(
    Effect.flatMap(ModelPackage.verify),
    Effect.orElseSucceed(() => undefined),
  )

/** Writes the package, whole or not at all, in place of what an interrupted or damaged trial left. */
export const savePackage = Effect.fnUntraced(function* (
  folder: string,
  fitted: Fitted,
  runId: string,
) {
  const directory = directoryOf(folder)
  yield* Effect.tryPromise({
    try: async () => {
      await mkdir(folder, { recursive: true })
      await rm(directory, { recursive: true, force: true })
    },
    catch: (cause) => failed(folder, cause),
  })
  return yield* ModelPackage.write(directory, {
    flavor: "onnx",
    entry: "model.onnx",
    files: { "model.onnx": fitted.toOnnx() },
    signature: fitted.signature,
    runId,
    metadata: {
      trainer: fitted.trainer,
      params: fitted.params,
      // JSON has no NaN, which a metric is where it has no meaning: the AUC of one class.
      metrics: Object.fromEntries(
        Object.entries(fitted.metrics).filter(([, value]) => Number.isFinite(value)),
      ),
      steps: fitted.steps,
    },
  }).pipe(
    Effect.mapError((cause) =>
      failed(folder, cause, cause.reason === "OutOfSpace" ? "OutOfSpace" : "Unavailable"),
    ),
  )
})
