import type { BlobStore, Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { RegistryError } from "../../RegistryError.ts"
import * as Files from "../files.ts"
import type { RunRow } from "../migrations.ts"
import type { Store } from "../store.ts"
import * as Path from "./path.ts"

/** A file of a run, with its path below the run's. */
export interface RunFile {
  readonly path: string
  readonly digest: string
  readonly size: number
}

/** Where the files of a run are in the tree. Files of a URI of another scheme are not here. */
export const rootOf = (run: Pick<RunRow, "id" | "experiment" | "artifact_uri">): string =>
  (run.artifact_uri === null ? undefined : Path.ofUri(run.artifact_uri)) ??
  `${run.experiment}/${run.id}/artifacts`

type Failed = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError

/** The files of runs. */
export interface RunFiles {
  /** Stores a file, or what is in a directory, at a path below the run's. */
  readonly log: (run: RunRow, path: string, file: string) => Effect.Effect<void, Failed>
  readonly list: (run: RunRow) => Effect.Effect<ReadonlyArray<RunFile>, Failed>
  /** One file; fails with `NotFound`. */
  readonly get: (run: RunRow, path: string) => Effect.Effect<RunFile, Failed>
}

/** The files of a store's runs. */
export const make = (store: Store): RunFiles => {
  const { db, contents, tree } = store
  return {
    log: Effect.fnUntraced(function* (run, path, file) {
      const root = rootOf(run)
      // Blobs first: a row never points to content that is not there.
      for (const local of yield* Files.walk(file, path)) {
        const at = yield* Path.parseFile("path", Path.join(root, local.path))
        const { digest, size } = yield* Files.store(store, local.file)
        yield* db.transaction(
          Effect.andThen(contents.hold([digest]), tree.set(at, { digest, size })),
        )
      }
    }),
    list: Effect.fnUntraced(function* (run) {
      const root = rootOf(run)
      const rows = yield* tree.below(root)
      return rows.map(({ path, digest, size }) => ({
        path: path.slice(root.length + 1),
        digest,
        size,
      }))
    }),
    get: Effect.fnUntraced(function* (run, path) {
      const at = yield* Path.parseFile("path", path)
      const { digest, size } = yield* tree.get(Path.join(rootOf(run), at))
      return { path: at, digest, size }
    }),
  }
}
