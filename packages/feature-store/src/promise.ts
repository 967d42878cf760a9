/**
 * The feature store without Effect: the same service, with promises.
 *
 * @module
 */
import type { BlobStore, Database } from "@ashlar/core"
import { Facade, type Handle } from "@ashlar/core/promise"
import * as Layer from "effect/Layer"
import * as FeatureStore from "./FeatureStore.ts"
import type { FeatureStoreError } from "./FeatureStoreError.ts"
import type { OnlineStore } from "./OnlineStore.ts"

/** Where the feature store keeps what it knows. */
export interface Options<D, B, O> extends FeatureStore.FeatureStoreOptions {
  /** Definitions and the list of ingests, e.g. core's `Sqlite.layer({ file })`. */
  readonly database: Layer.Layer<Database.Database, D>
  /** Files of the offline store, e.g. core's `Fs.layer({ directory })`. */
  readonly blobs: Layer.Layer<BlobStore.BlobStore, B>
  /** Rows to serve: `@ashlar/feature-store/memory`, or `/database`. */
  readonly online: Layer.Layer<OnlineStore, O, Database.Database>
}

/**
 * Opens a feature store; `await using` closes it.
 *
 * @example
 * ```ts
 * import * as Memory from "@ashlar/core/memory"
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import * as OnlineMemory from "@ashlar/feature-store/memory"
 * import * as FeatureStore from "@ashlar/feature-store/promise"
 *
 * await using store = await FeatureStore.make({
 *   database: Sqlite.layer({ file: ":memory:" }),
 *   blobs: Memory.layer,
 *   online: OnlineMemory.layer,
 * })
 * await store.views() // => []
 * ```
 */
export const make = <D, B, O>(
  options: Options<D, B, O>,
): Promise<
  Facade<FeatureStore.FeatureStore["Service"]> &
    Handle<FeatureStore.FeatureStore, D | B | O | FeatureStoreError>
> =>
  Facade.make(
    FeatureStore.FeatureStore,
    FeatureStore.layer(options).pipe(
      Layer.provide(options.online),
      Layer.provide(Layer.merge(options.database, options.blobs)),
    ),
  )
