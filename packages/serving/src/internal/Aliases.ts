import type { ModelRef, ModelSource } from "@ashlar/core"
import { Predictor } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { LoadedModel } from "./LoadedModel.ts"
import * as Versions from "./Versions.ts"

/** How long to wait before changes are listened for again, after a failure. */
const retryMs = 1000

/** The aliases that requests use, and the loaded versions they lead to. */
export interface Aliases {
  /** The version an alias leads to, loaded; from the first time on, the alias is followed. */
  readonly get: (ref: ModelRef.ModelRef) => Effect.Effect<LoadedModel, Predictor.PredictorError>
  /** Aliases that lead to a version. */
  readonly of: (name: string, version: number) => ReadonlyArray<string>
  /** Stops using the aliases of a model. */
  readonly forget: (name: string) => void
}

/** Follows the aliases of a source; `pointers` are the versions by `name@alias`. */
export const make = (
  source: ModelSource.ModelSource["Service"],
  pointers: Map<string, number>,
  versions: Versions.Versions,
  defaultAlias: string,
  scope: Scope.Scope,
): Aliases => {
  /** What the source said last, also of aliases whose first version is still being loaded. */
  const latest = new Map<string, number>()
  const watched = new Set<string>()

  const aliasesOf = (name: string, version: number): ReadonlyArray<string> =>
    [...pointers].flatMap(([key, value]) =>
      value === version && key.startsWith(`${name}@`) ? [key.slice(name.length + 1)] : [],
    )

  /** Swaps an alias to a version once that is loaded; the one before finishes and goes. */
  const follow = Effect.fnUntraced(function* (name: string, alias: string, version: number) {
    const pointer = `${name}@${alias}`
    yield* versions.get({ name, version })
    const previous = pointers.get(pointer)
    pointers.set(pointer, version)
    if (previous === undefined || previous === version) return
    if (aliasesOf(name, previous).length === 0) versions.drop(name, previous)
  })

  const followOrKeep = (name: string, alias: string, version: number) =>
    Effect.catch(follow(name, alias, version), (error) =>
      Effect.logWarning(
        `serving keeps the present version of ${name}@${alias}: version ${version} failed to load: ${error.message}`,
      ),
    )

  const onChange = (change: ModelSource.ModelChange) =>
    Effect.suspend(() => {
      if (change.alias === undefined) return Effect.void
      const pointer = `${change.name}@${change.alias}`
      latest.set(pointer, change.version)
      return pointers.has(pointer)
        ? followOrKeep(change.name, change.alias, change.version)
        : Effect.void
    })

  /** Asks for each followed alias anew: a change while nobody listened is not missed. */
  const check = (name: string) =>
    Effect.forEach(
      [...pointers].filter(([pointer]) => pointer.startsWith(`${name}@`)),
      ([pointer, present]) => {
        const alias = pointer.slice(name.length + 1)
        return Effect.flatMap(Versions.resolve(source, { name, alias }), ({ version }) =>
          version === present ? Effect.void : followOrKeep(name, alias, version),
        )
      },
      { discard: true },
    )

  const watch = (name: string) =>
    Effect.suspend(() => {
      if (watched.has(name)) return Effect.void
      watched.add(name)
      const listen = Stream.runForEach(source.changes(name), onChange)
      const listenAndCheck = Effect.raceFirst(
        listen,
        Effect.andThen(Effect.sleep(retryMs), Effect.andThen(check(name), Effect.never)),
      )
      return listenAndCheck.pipe(
        Effect.catch((error) =>
          Effect.logWarning(`changes of model ${name} cannot be read: ${error.message}`),
        ),
        Effect.andThen(Effect.sleep(retryMs)),
        Effect.forever,
        Effect.forkIn(scope),
        Effect.asVoid,
      )
    })

  /** A name alone means the default alias, and the newest version where that leads nowhere. */
  const first = (ref: ModelRef.ModelRef, alias: string) =>
    Versions.resolve(source, { name: ref.name, alias }).pipe(
      Effect.catch((error) =>
        ref.alias === undefined && error.reason === "NotFound"
          ? Versions.resolve(source, { name: ref.name })
          : Effect.fail(error),
      ),
    )

  const get = Effect.fnUntraced(function* (ref: ModelRef.ModelRef) {
    const alias = ref.alias ?? defaultAlias
    const pointer = `${ref.name}@${alias}`
    const known = pointers.get(pointer)
    if (known !== undefined) return yield* versions.get({ name: ref.name, version: known })
    const { version, aliases } = yield* first(ref, alias)
    yield* watch(ref.name)
    const loaded = yield* versions.get({ name: ref.name, version })
    if (!aliases.includes(alias)) return loaded
    if (!pointers.has(pointer)) pointers.set(pointer, version)
    // The alias may have moved while the version was being loaded.
    const newest = latest.get(pointer)
    if (newest === undefined || newest === version) return loaded
    yield* followOrKeep(ref.name, alias, newest)
    return yield* versions.get({ name: ref.name, version: pointers.get(pointer) ?? version })
  })

  return {
    get,
    of: aliasesOf,
    forget: (name) => {
      for (const key of pointers.keys()) if (key.startsWith(`${name}@`)) pointers.delete(key)
    },
  }
}
