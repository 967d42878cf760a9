import { type DataType, type ModelSource, Predictor } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as ModelWorker from "./ModelWorker.ts"
import * as Queue from "./Queue.ts"

type Tensors = Readonly<Record<string, DataType.Tensor>>

/** How to run a model. */
export interface LoadOptions extends Queue.QueueOptions {
  /** Worker threads with the model loaded. */
  readonly instances: number
  /** CPU threads of one run. */
  readonly threads: number
  /** Backend modules by flavor. */
  readonly backends: Readonly<Record<string, URL>>
}

/** One version of a model, loaded in its own threads. */
export interface LoadedModel {
  readonly model: ModelSource.ResolvedModel
  readonly run: (
    inputs: Tensors,
    outputs: ReadonlyArray<string> | undefined,
  ) => Effect.Effect<Tensors, Predictor.PredictorError>
  readonly statistics: Queue.Statistics
  readonly loadedAt: number
  lastUsed: number
  /** Lets what waits and runs finish, then ends the threads. */
  readonly drain: Effect.Effect<void>
  readonly isBusy: () => boolean
}

const toPredictorError = (error: unknown): Predictor.PredictorError =>
  error instanceof Predictor.PredictorError
    ? error
    : new Predictor.PredictorError({ reason: "Internal", message: String(error), cause: error })

/** Loads a model; the event loop stays free while the worker threads read it. */
export const load = (
  model: ModelSource.ResolvedModel,
  options: LoadOptions,
): Effect.Effect<LoadedModel, Predictor.PredictorError> =>
  Effect.gen(function* () {
    const { manifest, directory } = model.package
    const backend = Object.hasOwn(options.backends, manifest.flavor)
      ? options.backends[manifest.flavor]
      : undefined
    if (backend === undefined) {
      return yield* new Predictor.PredictorError({
        reason: "NotSupported",
        message: `model ${model.name} has flavor ${manifest.flavor}; this server runs ${Object.keys(options.backends).join(", ")}`,
      })
    }
    const data = {
      backend: backend.href,
      file: `${directory}/${manifest.entry}`,
      options: { threads: options.threads },
    }
    const startOne = Effect.tryPromise({
      try: () => ModelWorker.start(data),
      catch: toPredictorError,
    })
    const workers: Array<ModelWorker.ModelWorker> = []
    for (let i = 0; i < options.instances; i++) {
      workers.push(yield* Effect.onError(startOne, () => stopAll(workers)))
    }
    // A thread that dies is replaced behind the same handle, so that only its own request fails.
    const handles = workers.map((worker) => supervise(worker, data))
    const queue = Queue.make(handles, options)
    const loaded: LoadedModel = {
      model,
      run: (inputs, outputs) =>
        Effect.tryPromise({
          try: (signal) => queue.submit(inputs, outputs, signal),
          catch: toPredictorError,
        }),
      statistics: queue.statistics,
      loadedAt: Date.now(),
      lastUsed: Date.now(),
      drain: Effect.andThen(
        Effect.promise(() => queue.idle()),
        stopAll(handles),
      ),
      isBusy: () => queue.depth() > 0,
    }
    return loaded
  })

const stopAll = (workers: ReadonlyArray<ModelWorker.ModelWorker>): Effect.Effect<void> =>
  Effect.promise(async () => {
    await Promise.all(workers.map((worker) => worker.stop()))
  })

/** A worker that starts anew when its thread has died, unless it was stopped. */
const supervise = (
  first: ModelWorker.ModelWorker,
  data: Parameters<typeof ModelWorker.start>[0],
): ModelWorker.ModelWorker => {
  let current = Promise.resolve(first)
  let stopped = false
  const watch = (worker: ModelWorker.ModelWorker): void => {
    void worker.ended.then(() => {
      if (stopped) return
      current = ModelWorker.start(data)
      current.then(watch, () => {})
    })
  }
  watch(first)
  return {
    run: async (request, move) => (await current).run(request, move),
    stop: async () => {
      stopped = true
      const worker = await current.catch(() => undefined)
      await worker?.stop()
    },
    ended: first.ended,
  }
}
