import type { BlobStore, Database, ModelPackage } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { RegistryError } from "../RegistryError.ts"
import * as Tree from "./artifacts/tree.ts"
import type { Store } from "./store.ts"

type Failure = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError

/** The files that this registry holds: which there are, and what is in them. */
export interface StoredFiles {
  /** The file at a path of the tree, or all below it, with paths relative to it. */
  readonly at: (
    path: string,
  ) => Effect.Effect<ReadonlyArray<ModelPackage.PackageFile>, Database.DatabaseError>
  /** The bytes of a content, checked against its digest. */
  readonly read: (file: {
    readonly digest: string
    readonly size: number
  }) => Stream.Stream<Uint8Array, Failure>
}

/** The files of a store. */
export const make = (store: Store): StoredFiles => {
  const tree = Tree.make(store)
  return {
    at: Effect.fnUntraced(function* (path) {
      const file = yield* tree.find(path)
      const rows = file === undefined ? yield* tree.below(path) : [file]
      const above = file === undefined ? path.length + 1 : path.lastIndexOf("/") + 1
      return rows.map(({ path: whole, digest, size }) => ({
        path: whole.slice(above),
        digest,
        size,
      }))
    }),
    read: store.contents.read,
  }
}
