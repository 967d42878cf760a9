/**
 * Whether the server can do its work: the database answers, and the blob store keeps what it is
 * given.
 *
 * @module
 */
import { BlobStore, Database, Digest } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { sql } from "kysely"

const database = Effect.flatMap(Database.Database, (db) => db.run(sql`select 1`))

/** Outside every module's keys. */
const key = "platform/health"
const content = new TextEncoder().encode("Written and read back to see that it can be.\n")
const digest = Digest.of(content)

const blobs = Effect.gen(function* () {
  const store = yield* BlobStore.BlobStore
  yield* store.put(key, content, { digest })
  const chunks = yield* Stream.runCollect(store.get(key))
  if (Digest.of(Buffer.concat(Array.from(chunks))) === digest) return
  return yield* new BlobStore.BlobStoreError({
    reason: "Corrupt",
    message: `The blob store gave back other bytes than it was given for '${key}'. Check its disk or bucket.`,
  })
})

/**
 * The checks of `/health/ready`. Writing a blob costs money in some places, so an answer of the
 * blob store counts for two seconds.
 */
export const checks = Effect.gen(function* () {
  const context = yield* Effect.context<Database.Database | BlobStore.BlobStore>()
  return {
    database: Effect.provide(database, Context.pick(Database.Database)(context)),
    blobs: yield* Effect.cachedWithTTL(Effect.provide(blobs, context), "2 seconds"),
  }
})
