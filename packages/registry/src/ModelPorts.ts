/**
 * The ports `ModelSource` and `ModelSink` on {@link Models}.
 *
 * @module
 */
import { type ModelRef, ModelSink, ModelSource, PromotionGate } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Audit from "./Audit.ts"
import { Models } from "./Models.ts"
import type { RegistryError } from "./RegistryError.ts"

const toStoreError = (
  error: RegistryError | PromotionGate.PromotionGateError,
): ModelSource.ModelStoreError =>
  new ModelSource.ModelStoreError({
    reason: error.reason === "AlreadyExists" ? "Conflict" : error.reason,
    message: error.message,
    ...(error.field === undefined ? {} : { field: error.field }),
    cause: error,
  })

/** Where fetched models are kept, and how often changes are looked for. */
export interface SourceOptions {
  /** Directory for fetched packages; content-addressed, may be shared and may be deleted. */
  readonly cache: string
  /** Milliseconds between looks for changes; default 500. */
  readonly pollMs?: number
}

const moves: ReadonlySet<string> = new Set(Audit.moves)

const toChange = (entry: Audit.Entry): ModelSource.ModelChange | undefined => {
  if (typeof entry.detail !== "object" || entry.detail === null) return undefined
  if (!("version" in entry.detail) || typeof entry.detail.version !== "number") return undefined
  // Requests, votes and refusals name a version too, and change nothing.
  if (entry.action !== "model.registered" && !moves.has(entry.action)) return undefined
  const alias = "alias" in entry.detail ? entry.detail.alias : undefined
  return {
    name: entry.subject,
    version: entry.detail.version,
    ...(typeof alias === "string" ? { alias } : {}),
  }
}

/** The port `ModelSource`. */
export const sourceLayer = (
  options: SourceOptions,
): Layer.Layer<ModelSource.ModelSource, never, Models> =>
  Layer.effect(
    ModelSource.ModelSource,
    Effect.map(Models, (models) => {
      const resolve = Effect.fnUntraced(function* (ref: ModelRef.ModelRef) {
        const version = yield* models.resolve(ref)
        return {
          name: version.name,
          version: version.version,
          aliases: version.aliases,
          package: yield* models.fetch(version, options.cache),
          ...(version.runId === undefined ? {} : { runId: version.runId }),
        }
      })
      const changes = (name: string) =>
        Stream.unwrap(
          Effect.map(models.history(name), (past) =>
            Stream.unfold(past.at(-1)?.position ?? 0, (after) =>
              Effect.gen(function* () {
                yield* Effect.sleep(options.pollMs ?? 500)
                const entries = yield* models.history(name, after)
                return [entries, entries.at(-1)?.position ?? after] as const
              }),
            ).pipe(
              Stream.flatMap((entries) => Stream.fromIterable(entries)),
              Stream.map(toChange),
              Stream.filter((change) => change !== undefined),
            ),
          ),
        )
      return ModelSource.ModelSource.of({
        resolve: (ref) => Effect.mapError(resolve(ref), toStoreError),
        changes: (name) => Stream.mapError(changes(name), toStoreError),
      })
    }),
  )

/** The port `ModelSink`; promotion asks the gate. */
export const sinkLayer: Layer.Layer<
  ModelSink.ModelSink,
  never,
  Models | PromotionGate.PromotionGate
> = Layer.effect(
  ModelSink.ModelSink,
  Effect.gen(function* () {
    const models = yield* Models
    const gate = yield* PromotionGate.PromotionGate
    return ModelSink.ModelSink.of({
      register: (model) => Effect.mapError(models.register(model), toStoreError),
      promote: (request) =>
        Effect.mapError(
          Effect.provideService(models.promote(request), PromotionGate.PromotionGate, gate),
          toStoreError,
        ),
      setAlias: (name, alias, version) =>
        Effect.mapError(models.setAlias(name, alias, version), toStoreError),
    })
  }),
)
