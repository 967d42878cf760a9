import { type Database, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import type { Store } from "../store.ts"
import { above, below, ofUri } from "./path.ts"
import { rootOf } from "./run-files.ts"

/** Whose files to remove. */
export interface PurgeOptions {
  /** Only tells what would be removed; default false. */
  readonly dryRun?: boolean
  /** How long ago a run or a logged model was deleted; milliseconds, default 30 days. */
  readonly olderThanMs?: number
}

/** What was removed, or would be. */
export interface Purged {
  readonly dryRun: boolean
  /** Deleted runs and logged models that had files. */
  readonly owners: number
  readonly files: number
  /** Of the files; a collection gives back those of contents that no other file has. */
  readonly bytes: number
  /** Runs and logged models whose files were kept because a version of a model names them. */
  readonly kept: ReadonlyArray<string>
}

const month = 30 * 86_400_000

/** The purge of files whose run or logged model was deleted. */
export const make = ({ db, build, tree }: Store) => {
  /** Paths that versions of models name as their source. */
  const sources = Effect.gen(function* () {
    const rows = yield* db.all(
      build
        .selectFrom("registry_version")
        .select(["source", "storage"])
        .where("deleted", "is", null),
    )
    const paths = rows.flatMap(({ source, storage }) => [ofUri(source), ofUri(storage)])
    return new Set(paths.filter((path): path is string => path !== undefined && path !== ""))
  })

  const owners = Effect.fnUntraced(function* (cutoff: number) {
    const runs = yield* db.all(
      build
        .selectFrom("registry_run")
        .select(["id", "experiment", "artifact_uri"])
        .where("deleted", "is not", null)
        .where("deleted", "<", cutoff),
    )
    const models = yield* db.all(
      build
        .selectFrom("registry_logged_model")
        .select(["id", "artifact_uri"])
        .where("deleted", "is not", null)
        .where("deleted", "<", cutoff),
    )
    return [
      ...runs.map((run) => ({ id: run.id, root: rootOf(run) })),
      ...models.map(({ id, artifact_uri: uri }) => ({ id, root: ofUri(uri) ?? "" })),
    ].filter(({ root }) => root !== "")
  })

  const isNamed = (root: string, named: ReadonlySet<string>): boolean => {
    if (named.has(root) || above(root).some((path) => named.has(path))) return true
    const [from = "", to = ""] = below(root) ?? []
    for (const path of named) if (path >= from && path < to) return true
    return false
  }

  return Effect.fnUntraced(function* ({ dryRun = false, olderThanMs = month }: PurgeOptions) {
    if (!Number.isSafeInteger(olderThanMs) || olderThanMs < 0) {
      return yield* invalid(
        "olderThanMs",
        `olderThanMs is ${olderThanMs}: give a whole number of milliseconds, 0 or more`,
      )
    }
    const kept: Array<string> = []
    const count = { owners: 0, files: 0, bytes: 0 }
    for (const { id, root } of yield* owners(Timestamp.now() - olderThanMs * 1000)) {
      const purge = Effect.gen(function* () {
        const files = yield* tree.below(root)
        if (files.length === 0) return files
        // Asked in the transaction of the removal.
        if (isNamed(root, yield* sources)) {
          kept.push(id)
          return []
        }
        if (!dryRun) yield* tree.remove(root)
        return files
      })
      const files = yield* db.transaction(purge)
      if (files.length === 0) continue
      count.owners++
      count.files += files.length
      count.bytes += files.reduce((sum, { size }) => sum + Number(size), 0)
    }
    const purged: Purged = { dryRun, ...count, kept }
    return purged
  }) satisfies (
    options: PurgeOptions,
  ) => Effect.Effect<Purged, Database.DatabaseError | RegistryError>
}
