import { BlobStore, Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Kysely } from "kysely"
import { fromBackend, type RegistryError } from "../RegistryError.ts"
import * as Contents from "./artifacts/contents.ts"
import * as Tree from "./artifacts/tree.ts"
import { migrations, type Tables } from "./migrations.ts"

type Backend = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError

/** What the registry's parts share: its tables and its blobs. */
export interface Store {
  readonly db: Database.Database["Service"]
  readonly blobs: BlobStore.BlobStore["Service"]
  readonly build: Kysely<Tables>
  /** Contents by digest, and the blobs they lie in. */
  readonly contents: Contents.Contents
  /** Files by path. */
  readonly tree: Tree.Tree
  /** Turns every failure of a backend into a {@link RegistryError}. */
  readonly wrap: <A, R>(effect: Effect.Effect<A, Backend, R>) => Effect.Effect<A, RegistryError, R>
}

/** Brings the tables up to date and opens them. */
export const make: Effect.Effect<Store, RegistryError, Database.Database | BlobStore.BlobStore> =
  Effect.gen(function* () {
    const db = yield* Database.Database
    const blobs = yield* BlobStore.BlobStore
    yield* Effect.mapError(db.migrate("registry", migrations), fromBackend)
    const build = db.build<Tables>()
    return {
      db,
      blobs,
      build,
      contents: Contents.make({ db, blobs, build }),
      tree: Tree.make({ db, build }),
      wrap: (effect) => Effect.mapError(effect, fromBackend),
    }
  })
