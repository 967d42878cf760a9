import { ModelRef, type ModelSource, Predictor } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Loading from "./LoadedModel.ts"
import type { LoadedModel } from "./LoadedModel.ts"
import * as Metrics from "./metrics.ts"

/** A reference to one version. */
export type VersionRef = ModelRef.ModelRef & { readonly version: number }

/** The versions that are loaded or being loaded. */
export interface Versions {
  /** Loads a version; requests for the same one share the work. */
  readonly get: (ref: VersionRef) => Effect.Effect<LoadedModel, Predictor.PredictorError>
  /** Unloads a version once it has finished its requests. */
  readonly drop: (name: string, version: number) => void
  readonly loaded: () => ReadonlyArray<LoadedModel>
  /** Ends all versions after they finish their requests, and loads no more. */
  readonly close: () => Promise<void>
}

const keyOf = (name: string, version: number): string => `${name}/${version}`

const fromStore = (error: ModelSource.ModelStoreError): Predictor.PredictorError =>
  new Predictor.PredictorError({
    reason:
      error.reason === "NotFound" || error.reason === "InvalidInput" || error.reason === "Corrupt"
        ? error.reason
        : "Unavailable",
    message: error.message,
    cause: error,
  })

/** Finds a version's files. */
export const resolve = (
  source: ModelSource.ModelSource["Service"],
  ref: ModelRef.ModelRef,
): Effect.Effect<ModelSource.ResolvedModel, Predictor.PredictorError> =>
  Effect.mapError(source.resolve(ref), fromStore)

/** Versions of a source's models, at most `maxModels` beside those that `isNeeded`. */
export const make = Effect.fnUntraced(function* (
  source: ModelSource.ModelSource["Service"],
  options: Loading.LoadOptions & { readonly maxModels: number },
  isNeeded: (name: string, version: number) => boolean,
) {
  const context = yield* Effect.context<never>()
  const loading = new Map<string, Promise<LoadedModel>>()
  const ready = new Map<string, { readonly model: LoadedModel; readonly forget: () => void }>()
  const draining = new Set<Promise<void>>()
  let closed = false

  const drain = (model: LoadedModel): void => {
    const ending = model.drain().finally(() => draining.delete(ending))
    draining.add(ending)
  }
  const drop = (name: string, version: number): void => {
    const key = keyOf(name, version)
    const found = ready.get(key)
    ready.delete(key)
    loading.delete(key)
    if (found === undefined) return
    found.forget()
    drain(found.model)
  }

  /** Unloads the least recently used versions beyond the limit; one that works is left alone. */
  const evict = (): void => {
    if (ready.size <= options.maxModels) return
    const idle = [...ready.values()]
      .map(({ model }) => model)
      .filter(({ model, depth }) => depth() === 0 && !isNeeded(model.name, model.version))
      .sort((a, b) => a.lastUsed - b.lastUsed)
    for (const { model } of idle.slice(0, ready.size - options.maxModels)) {
      drop(model.name, model.version)
    }
  }

  const start = (ref: VersionRef, key: string): Promise<LoadedModel> => {
    const started = Effect.runPromiseWith(context)(
      Effect.flatMap(resolve(source, ref), (model) => Loading.load(model, options)),
    )
    loading.set(key, started)
    started.then(
      (model) => {
        // Unloaded or closed while it was being loaded.
        if (closed || loading.get(key) !== started) return drain(model)
        ready.set(key, { model, forget: Metrics.register(model, context) })
        evict()
      },
      () => {
        if (loading.get(key) === started) loading.delete(key)
      },
    )
    return started
  }

  return {
    get: (ref) =>
      Effect.tryPromise({
        try: () => {
          if (closed) {
            throw new Predictor.PredictorError({
              reason: "Unavailable",
              message: "serving is closing: send the request to another server",
            })
          }
          const key = keyOf(ref.name, ref.version)
          return loading.get(key) ?? start(ref, key)
        },
        catch: (error) =>
          error instanceof Predictor.PredictorError
            ? error
            : new Predictor.PredictorError({ reason: "Internal", message: String(error) }),
      }),
    drop,
    loaded: () => [...ready.values()].map(({ model }) => model),
    close: async () => {
      closed = true
      for (const { model } of ready.values()) drop(model.model.name, model.model.version)
      await Promise.allSettled(loading.values())
      await Promise.all(draining)
    },
  } satisfies Versions
})
