/**
 * Loads registered models in worker threads, answers predictions, and follows aliases: when
 * `@champion` moves, the new version is loaded beside the old one, takes over, and the old one
 * finishes what it has.
 *
 * @module
 */
import { ModelRef, ModelSource, Predictor, Signature } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Loading from "./internal/LoadedModel.ts"
import type { LoadedModel } from "./internal/LoadedModel.ts"

/** Settings of serving. */
export interface ServingOptions {
  /** Worker threads per model version; default 1. */
  readonly instances?: number
  /** CPU threads of one run; default 1. */
  readonly threads?: number
  /** Most rows of one run; default 4096. 1 turns batching off. */
  readonly maxBatchRows?: number
  /** Requests that may wait per model; more are refused. Default 1024. */
  readonly maxQueue?: number
  /** Longest time a request may wait and run, milliseconds; default 30000. */
  readonly timeoutMs?: number
  /** Most versions kept loaded; the least recently used that no alias needs goes. Default 8. */
  readonly maxModels?: number
  /** Alias meant by a model name alone; default `champion`. Without it, the newest version. */
  readonly defaultAlias?: string
  /** More backends: module URLs by flavor; each exports `open` as `@ashlar/serving/onnx` does. */
  readonly backends?: Readonly<Record<string, URL>>
}

/** A loaded version. */
export interface ModelStatus {
  readonly name: string
  readonly version: number
  /** Aliases that requests reach it by. */
  readonly aliases: ReadonlyArray<string>
  readonly signature: Signature.Signature
  readonly flavor: string
  readonly requests: number
  readonly failures: number
  readonly rows: number
  /** Runs of the model; fewer than requests when they ran together. */
  readonly runs: number
  readonly queueMicros: number
  readonly computeMicros: number
}

/** Serves models. */
export class Serving extends Context.Service<
  Serving,
  {
    /** Loads what a reference means now, and keeps following it if it is an alias. */
    readonly load: (ref: ModelRef.ModelRef) => Effect.Effect<ModelStatus, Predictor.PredictorError>
    /** Unloads all versions of a model after they finish their requests. */
    readonly unload: (name: string) => Effect.Effect<void>
    readonly predict: Predictor.Predictor["Service"]["predict"]
    readonly status: (
      ref: ModelRef.ModelRef,
    ) => Effect.Effect<ModelStatus, Predictor.PredictorError>
    readonly models: Effect.Effect<ReadonlyArray<ModelStatus>>
  }
>()("@ashlar/serving/Serving/v1") {}

const fromStore = (error: ModelSource.ModelStoreError): Predictor.PredictorError =>
  new Predictor.PredictorError({
    reason:
      error.reason === "NotFound" || error.reason === "InvalidInput" || error.reason === "Corrupt"
        ? error.reason
        : "Unavailable",
    message: error.message,
    cause: error,
  })

const moduleUrl = (name: string): URL =>
  new URL(import.meta.url.endsWith(".ts") ? `./${name}.ts` : `./${name}.js`, import.meta.url)

const make = Effect.fnUntraced(function* (options: ServingOptions) {
  const source = yield* ModelSource.ModelSource
  const scope = yield* Effect.scope
  const timeoutMs = options.timeoutMs ?? 30_000
  const maxModels = options.maxModels ?? 8
  const defaultAlias = options.defaultAlias ?? "champion"
  const loadOptions: Loading.LoadOptions = {
    instances: options.instances ?? 1,
    threads: options.threads ?? 1,
    maxBatchRows: options.maxBatchRows ?? 4096,
    maxQueue: options.maxQueue ?? 1024,
    backends: { onnx: moduleUrl("onnx"), ...options.backends },
  }

  /** Loaded or loading versions by `name/version`: the promise makes loading single-flight. */
  const versions = new Map<string, Promise<LoadedModel>>()
  const ready = new Map<string, LoadedModel>()
  /** Versions by `name@alias`, for the aliases that were asked for. */
  const pointers = new Map<string, number>()
  const watched = new Set<string>()
  yield* Effect.addFinalizer(() =>
    Effect.forEach([...ready.values()], (loaded) => loaded.drain, { discard: true }),
  )

  const keyOf = (name: string, version: number) => `${name}/${version}`
  const aliasesOf = (name: string, version: number): ReadonlyArray<string> =>
    [...pointers].flatMap(([key, value]) =>
      value === version && key.startsWith(`${name}@`) ? [key.slice(name.length + 1)] : [],
    )

  const statusOf = ({ model, statistics }: LoadedModel): ModelStatus => ({
    name: model.name,
    version: model.version,
    aliases: aliasesOf(model.name, model.version),
    signature: model.package.manifest.signature,
    flavor: model.package.manifest.flavor,
    ...statistics,
  })

  const loadVersion = (
    ref: ModelRef.ModelRef & { readonly version: number },
  ): Effect.Effect<LoadedModel, Predictor.PredictorError> =>
    Effect.suspend(() => {
      const key = keyOf(ref.name, ref.version)
      let loading = versions.get(key)
      if (loading === undefined) {
        loading = Effect.runPromise(
          Effect.flatMap(Effect.mapError(source.resolve(ref), fromStore), (model) =>
            Loading.load(model, loadOptions),
          ),
        )
        versions.set(key, loading)
        loading.then(
          (loaded) => {
            ready.set(key, loaded)
            evict()
          },
          () => versions.delete(key),
        )
      }
      const started = loading
      return Effect.tryPromise({
        try: () => started,
        catch: (error) =>
          error instanceof Predictor.PredictorError
            ? error
            : new Predictor.PredictorError({ reason: "Internal", message: String(error) }),
      })
    })

  const drop = (key: string): void => {
    const loaded = ready.get(key)
    ready.delete(key)
    versions.delete(key)
    if (loaded !== undefined) Effect.runFork(loaded.drain)
  }

  /** Unloads the least recently used versions beyond the limit that no alias needs. */
  const evict = (): void => {
    const idle = [...ready]
      .filter(([, { model }]) => aliasesOf(model.name, model.version).length === 0)
      .sort(([, a], [, b]) => a.lastUsed - b.lastUsed)
    while (ready.size > maxModels && idle.length > 0) drop(idle.shift()?.[0] ?? "")
  }

  /** Swaps an alias to a version once it is loaded. */
  const follow = Effect.fnUntraced(function* (name: string, alias: string, version: number) {
    const pointer = `${name}@${alias}`
    const previous = pointers.get(pointer)
    if (previous === version) return
    yield* loadVersion({ name, version })
    pointers.set(pointer, version)
    const old = previous === undefined ? undefined : keyOf(name, previous)
    if (old !== undefined && aliasesOf(name, previous ?? 0).length === 0) drop(old)
  })

  const watch = (name: string) =>
    Effect.suspend(() => {
      if (watched.has(name)) return Effect.void
      watched.add(name)
      return source.changes(name).pipe(
        Stream.runForEach((change) =>
          change.alias === undefined || !pointers.has(`${name}@${change.alias}`)
            ? Effect.void
            : Effect.catch(follow(name, change.alias, change.version), (error) =>
                Effect.logWarning(
                  `serving keeps the present version of ${name}@${change.alias}: version ${change.version} failed to load: ${error.message}`,
                ),
              ),
        ),
        Effect.retry({ times: Number.MAX_SAFE_INTEGER }),
        Effect.ignore,
        Effect.forkIn(scope),
        Effect.asVoid,
      )
    })

  const locate = Effect.fnUntraced(function* (ref: ModelRef.ModelRef) {
    if (ref.version !== undefined) {
      return yield* loadVersion({ name: ref.name, version: ref.version })
    }
    const alias = ref.alias ?? defaultAlias
    const known = pointers.get(`${ref.name}@${alias}`)
    if (known !== undefined) return yield* loadVersion({ name: ref.name, version: known })
    yield* watch(ref.name)
    const model = yield* source.resolve({ name: ref.name, alias }).pipe(
      Effect.catch((error) =>
        ref.alias === undefined && error.reason === "NotFound"
          ? source.resolve({ name: ref.name })
          : Effect.fail(error),
      ),
      Effect.mapError(fromStore),
    )
    if (model.aliases.includes(alias)) yield* follow(ref.name, alias, model.version)
    return yield* loadVersion({ name: ref.name, version: model.version })
  })

  const predict = Effect.fnUntraced(function* (request: Predictor.PredictRequest) {
    const loaded = yield* locate(request.model)
    loaded.lastUsed = Date.now()
    yield* Effect.mapError(
      Signature.validate(request.inputs, loaded.model.package.manifest.signature),
      (error) =>
        new Predictor.PredictorError({
          reason: "InvalidInput",
          message: error.message,
          ...(error.field === undefined ? {} : { field: error.field }),
        }),
    )
    const outputs = yield* Effect.timeoutOrElse(loaded.run(request.inputs, request.outputs), {
      duration: timeoutMs,
      orElse: () =>
        Effect.fail(
          new Predictor.PredictorError({
            reason: "Timeout",
            message: `no answer from model ${request.model.name} within ${timeoutMs} ms: send fewer rows, or raise timeoutMs`,
          }),
        ),
    })
    return { model: loaded.model.name, version: loaded.model.version, outputs }
  })

  return Serving.of({
    load: (ref) => Effect.map(locate(ref), statusOf),
    unload: (name) =>
      Effect.sync(() => {
        for (const key of pointers.keys()) if (key.startsWith(`${name}@`)) pointers.delete(key)
        for (const [key, { model }] of ready) if (model.name === name) drop(key)
      }),
    predict,
    status: (ref) => Effect.map(locate(ref), statusOf),
    models: Effect.sync(() => [...ready.values()].map(statusOf)),
  })
})

/** Serving on a {@link ModelSource}. */
export const layer = (
  options: ServingOptions = {},
): Layer.Layer<Serving, never, ModelSource.ModelSource> => Layer.effect(Serving, make(options))

/** The port `Predictor` on {@link Serving}. */
export const predictorLayer: Layer.Layer<Predictor.Predictor, never, Serving> = Layer.effect(
  Predictor.Predictor,
  Effect.map(Serving, (serving) =>
    Predictor.Predictor.of({
      predict: serving.predict,
      signature: (ref) => Effect.map(serving.status(ref), ({ signature }) => signature),
    }),
  ),
)
