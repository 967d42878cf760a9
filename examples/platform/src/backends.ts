/**
 * Where the server keeps things: the same services on SQLite and a disk, or PostgreSQL and S3.
 *
 * @module
 */
import { BlobStore, Database } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"
import * as Postgres from "@ashlar/core/postgres"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Tokens from "@ashlar/core/tokens"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { BlobSettings, DatabaseSettings, PlatformSettings } from "./PlatformSettings.ts"

/** The Database. */
export const databaseLayer = (
  settings: DatabaseSettings,
): Layer.Layer<Database.Database, Database.DatabaseError> =>
  settings.kind === "postgres" ? Postgres.layer(settings.options) : Sqlite.layer(settings.options)

/** The AWS SDK takes its time to load, so only those who use S3 wait for it. */
const s3 = Effect.tryPromise({
  try: () => import("@ashlar/core/s3"),
  catch: (cause) =>
    new BlobStore.BlobStoreError({
      reason: "Unavailable",
      message:
        "Blobs in S3 need the packages @aws-sdk/client-s3, @aws-sdk/lib-storage and @aws-sdk/s3-request-presigner: npm install them, or unset ASHLAR_S3_*.",
      cause,
    }),
})

/** The BlobStore. */
export const blobLayer = (
  settings: BlobSettings,
): Layer.Layer<BlobStore.BlobStore, BlobStore.BlobStoreError> =>
  settings.kind === "fs"
    ? Fs.layer({ directory: settings.directory })
    : Layer.unwrap(Effect.map(s3, (module) => module.layer(settings.options)))

/** Auth alone, for the `token` commands. */
export const authLayer = (settings: PlatformSettings) =>
  Tokens.layer(settings.tokens).pipe(Layer.provide(databaseLayer(settings.database)))
