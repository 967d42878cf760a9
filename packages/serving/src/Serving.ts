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
import * as Aliases from "./internal/Aliases.ts"
import type { LoadedModel } from "./internal/LoadedModel.ts"
import * as Versions from "./internal/Versions.ts"

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
  /** Most JavaScript heap of a worker in megabytes; a backend that takes more ends. Default Node's. */
  readonly workerHeapMb?: number
  /**
   * Most versions kept loaded: the least recently used that is idle and that no alias needs goes.
   * Default 8.
   */
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
  /** Requests answered. */
  readonly requests: number
  /** Requests refused, left waiting, or failed in the model. */
  readonly failures: number
  /** Failures because the queue was full. */
  readonly rejected: number
  /** Failures because the caller left, or timed out, while the request waited. */
  readonly cancelled: number
  /** Failures in the model or its worker. */
  readonly backendFailures: number
  readonly rows: number
  /** Runs of the model; fewer than requests when they ran together. */
  readonly runs: number
  /** Microseconds from arrival to answer, of all requests answered. */
  readonly requestMicros: number
  /** Microseconds that requests waited for a worker. */
  readonly queueMicros: number
  /** Microseconds that the model ran. */
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

const moduleUrl = (name: string): URL =>
  new URL(import.meta.url.endsWith(".ts") ? `./${name}.ts` : `./${name}.js`, import.meta.url)

const invalid = (message: string, field: string | undefined): Predictor.PredictorError =>
  new Predictor.PredictorError({
    reason: "InvalidInput",
    message,
    ...(field === undefined ? {} : { field }),
  })

const make = Effect.fnUntraced(function* (options: ServingOptions) {
  const source = yield* ModelSource.ModelSource
  const scope = yield* Effect.scope
  const timeoutMs = options.timeoutMs ?? 30_000
  const pointers = new Map<string, number>()
  const isNeeded = (name: string, version: number): boolean => aliases.of(name, version).length > 0
  const versions = yield* Versions.make(
    source,
    {
      instances: options.instances ?? 1,
      threads: options.threads ?? 1,
      maxBatchRows: options.maxBatchRows ?? 4096,
      maxQueue: options.maxQueue ?? 1024,
      maxModels: options.maxModels ?? 8,
      drainMs: timeoutMs,
      ...(options.workerHeapMb === undefined ? {} : { heapMb: options.workerHeapMb }),
      backends: { onnx: moduleUrl("onnx"), ...options.backends },
    },
    isNeeded,
  )
  const aliases = Aliases.make(
    source,
    pointers,
    versions,
    options.defaultAlias ?? "champion",
    scope,
  )
  yield* Effect.addFinalizer(() => Effect.promise(versions.close))

  const statusOf = ({ model, statistics }: LoadedModel): ModelStatus => ({
    name: model.name,
    version: model.version,
    aliases: aliases.of(model.name, model.version),
    signature: model.package.manifest.signature,
    flavor: model.package.manifest.flavor,
    ...statistics,
  })

  const locate = (ref: ModelRef.ModelRef) =>
    ref.version === undefined
      ? aliases.get(ref)
      : versions.get({ name: ref.name, version: ref.version })

  const check = Effect.fnUntraced(function* (
    { inputs, outputs }: Predictor.PredictRequest,
    signature: Signature.Signature,
  ) {
    yield* Effect.mapError(Signature.validate(inputs, signature), (error) =>
      invalid(error.message, error.field),
    )
    const unknown = outputs?.find((name) => !signature.outputs.some((spec) => spec.name === name))
    if (unknown === undefined) return
    return yield* invalid(
      `the model has no output ${JSON.stringify(unknown.slice(0, 100))}: it has ${signature.outputs.map(({ name }) => name).join(", ")}`,
      "outputs",
    )
  })

  const run = (
    request: Predictor.PredictRequest,
  ): Effect.Effect<Predictor.PredictResponse, Predictor.PredictorError> =>
    Effect.gen(function* () {
      const loaded = yield* locate(request.model)
      const { name, version, package: files } = loaded.model
      loaded.lastUsed = Date.now()
      yield* check(request, files.manifest.signature)
      const outputs = yield* loaded.run(request.inputs, request.outputs)
      return { model: name, version, outputs }
    }).pipe(
      // It was unloaded a moment ago: what the reference means now is loaded, or being loaded.
      Effect.catchTag("Draining", () => run(request)),
    )

  const predict = (request: Predictor.PredictRequest) =>
    Effect.timeoutOrElse(run(request), {
      duration: timeoutMs,
      orElse: () =>
        Effect.fail(
          new Predictor.PredictorError({
            reason: "Timeout",
            message: `no answer from model ${request.model.name} within ${timeoutMs} ms: send fewer rows, load the model beforehand, or raise timeoutMs`,
          }),
        ),
    })

  return Serving.of({
    load: (ref) => Effect.map(locate(ref), statusOf),
    unload: (name) =>
      Effect.sync(() => {
        aliases.forget(name)
        for (const { model } of versions.loaded()) {
          if (model.name === name) versions.drop(name, model.version)
        }
      }),
    predict,
    status: (ref) => Effect.map(locate(ref), statusOf),
    models: Effect.sync(() => versions.loaded().map(statusOf)),
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
