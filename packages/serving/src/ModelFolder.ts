/**
 * Models in a directory: a `ModelSource` for those who serve without a registry.
 *
 * @module
 */
import { ModelPackage, type ModelRef, ModelSource, Name } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readFile, readdir } from "node:fs/promises"
import { join } from "node:path"

/** Where the models are, and how often the directory is read for changes. */
export interface FolderOptions {
  /**
   * Holds `<model>/<version>/` with a model package each, the versions being 1, 2, ...; a file
   * `<model>/aliases.json` may point aliases to versions: `{ "champion": 2 }`.
   */
  readonly directory: string
  /** Milliseconds between looks for changes; default 1000. */
  readonly pollMs?: number
}

type Pointers = Readonly<Record<string, number>>

/** What a model's folder holds at one moment. */
interface Listing {
  readonly versions: ReadonlyArray<number>
  readonly aliases: Pointers
}

const Aliases = Schema.Record(Name.Name, Schema.Int.check(Schema.isGreaterThan(0)))
const decodeAliases = Schema.decodeUnknownEffect(Schema.fromJsonString(Aliases))

const failure = (
  reason: ModelSource.ModelStoreError["reason"],
  message: string,
  cause?: unknown,
): ModelSource.ModelStoreError =>
  new ModelSource.ModelStoreError({ reason, message, ...(cause === undefined ? {} : { cause }) })

const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT"

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const list = Effect.fnUntraced(function* (directory: string, name: string) {
  // A model reference is data from outside: only names, which cannot leave the directory, are read.
  if (!Name.isName(name)) {
    return yield* failure("InvalidInput", `${JSON.stringify(name)} is not a model name`)
  }
  const folder = join(directory, name)
  const entries = yield* Effect.tryPromise({
    try: () => readdir(folder, { withFileTypes: true }),
    catch: (error) =>
      isMissing(error)
        ? failure("NotFound", `model ${name} does not exist: there is no folder ${folder}`)
        : failure("Unavailable", `${folder} cannot be read: ${textOf(error)}`, error),
  })
  const text = yield* Effect.tryPromise({
    try: () =>
      readFile(join(folder, "aliases.json"), "utf8").catch((error) => {
        if (isMissing(error)) return "{}"
        throw error
      }),
    catch: (error) => failure("Unavailable", textOf(error), error),
  })
  const aliases = yield* Effect.mapError(decodeAliases(text), (error) =>
    failure("Corrupt", `${folder}/aliases.json is not {"<alias>": <version>}: ${error.message}`),
  )
  const versions = entries
    .filter((entry) => entry.isDirectory() && /^[1-9]\d{0,9}$/.test(entry.name))
    .map((entry) => Number(entry.name))
    .sort((a, b) => a - b)
  return { versions, aliases } satisfies Listing
})

const chosen = (ref: ModelRef.ModelRef, { versions, aliases }: Listing): number | undefined => {
  if (ref.alias !== undefined) {
    return Object.hasOwn(aliases, ref.alias) ? aliases[ref.alias] : undefined
  }
  return ref.version ?? versions.at(-1)
}

/** What differs between two looks at a folder. */
const difference = (name: string, before: Listing, after: Listing) => {
  const known = new Set(before.versions)
  const added = after.versions.filter((version) => !known.has(version))
  const moved = Object.entries(after.aliases).filter(
    ([alias, version]) => before.aliases[alias] !== version,
  )
  return [
    ...added.map((version): ModelSource.ModelChange => ({ name, version })),
    ...moved.map(([alias, version]): ModelSource.ModelChange => ({ name, version, alias })),
  ]
}

/**
 * The port `ModelSource` on a directory. A package is checked against its digests each time it is
 * resolved; write a version beside the folder and rename it in, and write `aliases.json` last.
 */
export const layer = (options: FolderOptions): Layer.Layer<ModelSource.ModelSource> => {
  const { directory, pollMs = 1000 } = options
  const resolve = Effect.fnUntraced(function* (ref: ModelRef.ModelRef) {
    const listing = yield* list(directory, ref.name)
    const version = chosen(ref, listing)
    if (version === undefined || !listing.versions.includes(version)) {
      const what = ref.alias === undefined ? `version ${version ?? 1}` : `alias ${ref.alias}`
      return yield* failure("NotFound", `${what} of model ${ref.name} does not exist`)
    }
    const found = yield* ModelPackage.read(join(directory, ref.name, String(version))).pipe(
      Effect.flatMap(ModelPackage.verify),
      Effect.mapError((error) =>
        failure(error.reason === "Unavailable" ? "Unavailable" : "Corrupt", error.message, error),
      ),
    )
    const aliases = Object.entries(listing.aliases).flatMap(([alias, target]) =>
      target === version ? [alias] : [],
    )
    return { name: ref.name, version, aliases, package: found }
  })
  const changes = (name: string) =>
    Stream.unwrap(
      Effect.map(list(directory, name), (first: Listing) =>
        Stream.unfold(first, (before) =>
          Effect.gen(function* () {
            yield* Effect.sleep(pollMs)
            const after = yield* list(directory, name)
            return [difference(name, before, after), after] as const
          }),
        ).pipe(Stream.flatMap((found) => Stream.fromIterable(found))),
      ),
    )
  return Layer.succeed(ModelSource.ModelSource, ModelSource.ModelSource.of({ resolve, changes }))
}
