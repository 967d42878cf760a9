import { BlobStore, Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { Kysely } from "kysely"
import { fromBackend, type RegistryError } from "../RegistryError.ts"
import { migrations, type Tables } from "./migrations.ts"

type Backend = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError

/** What the registry's parts share: its tables and its blobs. */
export interface Store {
  readonly db: Database.Database["Service"]
  readonly blobs: BlobStore.BlobStore["Service"]
  readonly build: Kysely<Tables>
  /** Turns every failure of a backend into a {@link RegistryError}. */
  readonly wrap: <A, R>(effect: Effect.Effect<A, Backend, R>) => Effect.Effect<A, RegistryError, R>
}

/** Brings the tables up to date and opens them. */
export const make: Effect.Effect<Store, RegistryError, Database.Database | BlobStore.BlobStore> =
  Effect.gen(function* () {
    const db = yield* Database.Database
    const blobs = yield* BlobStore.BlobStore
    yield* Effect.mapError(db.migrate("registry", migrations), fromBackend)
    return {
      db,
      blobs,
      build: db.build<Tables>(),
      wrap: (effect) => Effect.mapError(effect, fromBackend),
    }
  })
