import { Worker } from "node:worker_threads"
import { Predictor } from "@ashlar/core"
import type { RunMessage, WorkerData, WorkerMessage } from "./protocol.ts"

type Done = Extract<WorkerMessage, { readonly type: "done" }>

/** A thread with one loaded model. */
export interface ModelWorker {
  /** Runs once; rejects with a {@link Predictor.PredictorError}. */
  readonly run: (request: Omit<RunMessage, "id">, move: Array<ArrayBuffer>) => Promise<Done>
  readonly stop: () => Promise<void>
  /** Settles when the thread ends, whatever the reason. */
  readonly ended: Promise<string>
}

const script = new URL(
  import.meta.url.endsWith(".ts") ? "./model-worker.ts" : "./model-worker.js",
  import.meta.url,
)

/**
 * Starts a thread and loads the model in it. Rejects with `Corrupt` when the backend refuses the
 * file, `Unavailable` when the thread dies.
 */
export const start = (data: WorkerData): Promise<ModelWorker> => {
  const worker = new Worker(script, {
    workerData: data,
    ...(data.heapMb === undefined
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: data.heapMb } }),
  })
  const waiting = new Map<
    number,
    { readonly resolve: (done: Done) => void; readonly reject: (error: unknown) => void }
  >()
  let nextId = 0
  let failure: string | undefined

  const ended = new Promise<string>((resolve) => {
    worker.on("error", (error) => {
      failure = error instanceof Error ? error.message : String(error)
    })
    worker.on("exit", (code) => {
      const why = failure ?? `the worker ended with code ${code}`
      for (const { reject } of waiting.values()) {
        reject(
          new Predictor.PredictorError({
            reason: "Unavailable",
            message: `the model's worker stopped while it ran this request (${why}): try again`,
          }),
        )
      }
      waiting.clear()
      failure ??= why
      resolve(why)
    })
  })

  const run = (request: Omit<RunMessage, "id">, move: Array<ArrayBuffer>): Promise<Done> =>
    new Promise((resolve, reject) => {
      if (failure !== undefined) {
        reject(
          new Predictor.PredictorError({
            reason: "Unavailable",
            message: `the model's worker has stopped (${failure}): try again`,
          }),
        )
        return
      }
      const id = nextId++
      worker.postMessage({ id, ...request } satisfies RunMessage, move)
      waiting.set(id, { resolve, reject })
    })

  const settle = (message: WorkerMessage): void => {
    if (message.type !== "done" && message.type !== "failed") return
    const caller = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.type === "done") caller?.resolve(message)
    else {
      caller?.reject(
        new Predictor.PredictorError({
          reason: "InvalidInput",
          message: `the model refused the inputs: ${message.message}`,
        }),
      )
    }
  }

  const stop = async (): Promise<void> => {
    await worker.terminate()
  }

  return new Promise((resolve, reject) => {
    worker.once("message", (first: WorkerMessage) => {
      if (first.type === "opened") {
        worker.on("message", settle)
        resolve({ run, stop, ended })
        return
      }
      const why = first.type === "refused" ? first.message : "unexpected answer"
      void stop()
      reject(
        new Predictor.PredictorError({
          reason: "Corrupt",
          message: `${data.file} cannot be loaded: ${why}`,
        }),
      )
    })
    void ended.then((why) =>
      reject(
        new Predictor.PredictorError({
          reason: "Unavailable",
          message: `${data.file}: the worker stopped while loading (${why})`,
        }),
      ),
    )
  })
}
