/**
 * The feature store's definitions, from a module of the operator's.
 *
 * @module
 */
import { Settings } from "@ashlar/core"
import { FeatureStore } from "@ashlar/feature-store"
import * as Effect from "effect/Effect"
import { pathToFileURL } from "node:url"

/** What the module given as `--definitions` exports. */
export interface DefinitionsModule {
  /** Entities, sources, views and services; what they refer to is applied with them. */
  readonly definitions: ReadonlyArray<FeatureStore.Definition>
}

const refuse = (file: string, why: string, cause?: unknown): Settings.SettingsError =>
  new Settings.SettingsError({
    reason: "InvalidInput",
    message: `definitions is "${file}": ${why}`,
    field: "definitions",
    ...(cause === undefined ? {} : { cause }),
  })

const kinds: ReadonlySet<unknown> = new Set<FeatureStore.Definition["kind"]>([
  "service",
  "view",
  "request",
  "source",
  "entity",
])

const isDefinition = (value: unknown): value is FeatureStore.Definition =>
  typeof value === "object" && value !== null && "kind" in value && kinds.has(value.kind)

/** The definitions of a module. */
export const load = Effect.fnUntraced(function* (
  file: string,
): Effect.fn.Return<ReadonlyArray<FeatureStore.Definition>, Settings.SettingsError> {
  const module = yield* Effect.tryPromise({
    try: (): Promise<object> => import(pathToFileURL(file).href),
    catch: (cause) =>
      refuse(
        file,
        `it cannot be imported (${cause instanceof Error ? cause.message : String(cause)})`,
        cause,
      ),
  })
  const found: unknown = "definitions" in module ? module.definitions : undefined
  if (!Array.isArray(found)) {
    return yield* refuse(file, "it must export `definitions`, a list of feature definitions")
  }
  const wrong = found.findIndex((each) => !isDefinition(each))
  if (wrong >= 0) {
    return yield* refuse(
      file,
      `definitions[${wrong}] is no entity, source, view or service; make it with @ashlar/feature-store`,
    )
  }
  return found
})

/** Puts the module's definitions in force, and says what that changed. */
export const apply = Effect.fnUntraced(function* (file: string) {
  const store = yield* FeatureStore.FeatureStore
  const changes = yield* store.apply(yield* load(file))
  yield* Effect.forEach(
    changes.filter(({ change }) => change !== "unchanged"),
    ({ kind, name, version, change }) =>
      Effect.annotateLogs(Effect.logInfo("definition applied"), { kind, name, version, change }),
    { discard: true },
  )
})
