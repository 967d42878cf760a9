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
  /** Most megabytes of a worker's JavaScript heap. */
  readonly heapMb?: number
  /** Longest that a drain waits for what runs, milliseconds. */
  readonly drainMs: number
  /** Backend modules by flavor. */
  readonly backends: Readonly<Record<string, URL>>
}

/** One version of a model, loaded in its own threads. */
export interface LoadedModel {
  readonly model: ModelSource.ResolvedModel
  /** Fails with {@link Draining}, having run nothing, once the drain has begun. */
  readonly run: (
    inputs: Tensors,
    outputs: ReadonlyArray<string> | undefined,
  ) => Effect.Effect<Tensors, Predictor.PredictorError | Draining>
  readonly statistics: Queue.Statistics
  lastUsed: number
  /** Lets what waits and runs finish, then ends the threads. */
  readonly drain: () => Promise<void>
  /** Requests that wait or run. */
  readonly depth: () => number
}

/** The version was unloaded between the moment it was found and the moment it should run. */
export class Draining extends Error {
  readonly _tag = "Draining"
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
      ...(options.heapMb === undefined ? {} : { heapMb: options.heapMb }),
    }
    const startOne = Effect.tryPromise({
      try: () => ModelWorker.start(data),
      catch: toPredictorError,
    })
    const workers: Array<ModelWorker.ModelWorker> = []
    for (let i = 0; i < options.instances; i++) {
      workers.push(yield* Effect.onError(startOne, () => Effect.promise(() => stopAll(workers))))
    }
    // A thread that dies is replaced behind the same handle, so that only its own request fails.
    const handles = workers.map((worker) => supervise(worker, data))
    const queue = Queue.make(handles, options)
    let drained: Promise<void> | undefined
    const drain = async (): Promise<void> => {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, options.drainMs)
      })
      await Promise.race([queue.idle(), late])
      clearTimeout(timer)
      await stopAll(handles)
    }
    const loaded: LoadedModel = {
      model,
      run: (inputs, outputs) =>
        Effect.tryPromise({
          try: (signal) => {
            if (drained !== undefined) throw new Draining()
            return queue.submit(inputs, outputs, signal)
          },
          catch: (error) => (error instanceof Draining ? error : toPredictorError(error)),
        }),
      statistics: queue.statistics,
      lastUsed: Date.now(),
      drain: () => (drained ??= drain()),
      depth: queue.depth,
    }
    return loaded
  })

const stopAll = async (workers: ReadonlyArray<ModelWorker.ModelWorker>): Promise<void> => {
  await Promise.all(workers.map((worker) => worker.stop()))
}

/** A worker that starts anew when its thread has died, unless it was stopped. */
const supervise = (
  first: ModelWorker.ModelWorker,
  data: Parameters<typeof ModelWorker.start>[0],
): ModelWorker.ModelWorker => {
  let current: Promise<ModelWorker.ModelWorker> | undefined = Promise.resolve(first)
  let stopped = false
  const watch = (worker: ModelWorker.ModelWorker): void => {
    void worker.ended.then(() => {
      current = undefined
      if (!stopped) restart().catch(() => {})
    })
  }
  // A start that failed is tried again by the next request.
  const restart = (): Promise<ModelWorker.ModelWorker> => {
    const started = ModelWorker.start(data)
    current = started
    started.then(watch, () => {
      if (current === started) current = undefined
    })
    return started
  }
  watch(first)
  return {
    run: async (request, move) => (await (current ?? restart())).run(request, move),
    stop: async () => {
      stopped = true
      const worker = await current?.catch(() => undefined)
      await worker?.stop()
    },
    ended: first.ended,
  }
}
