/**
 * The Promise faces of the registry: runs and models.
 *
 * @module
 */
import type { BlobStore, Database } from "@ashlar/core"
import { Facade, type Handle } from "@ashlar/core/promise"
import * as Layer from "effect/Layer"
import * as Models from "./Models.ts"
import type { RegistryError } from "./RegistryError.ts"
import * as Runs from "./Runs.ts"

/** Where the registry keeps its tables and its files. */
export interface Options<E> {
  /** E.g. core's `Sqlite.layer({ file })`. */
  readonly database: Layer.Layer<Database.Database, E>
  /** E.g. core's `Fs.layer({ directory })`. */
  readonly blobs: Layer.Layer<BlobStore.BlobStore, E>
}

/** Opens the run tracker. */
export const makeRuns = <E>(
  options: Options<E>,
): Promise<Facade<Runs.Runs["Service"]> & Handle<Runs.Runs, E | RegistryError>> =>
  Facade.make(Runs.Runs, Layer.provide(Runs.layer, [options.database, options.blobs]))

/** Opens the model registry. Promotion, which asks a gate, is reached through `runtime`. */
export const makeModels = <E>(
  options: Options<E>,
): Promise<Facade<Models.Models["Service"]> & Handle<Models.Models, E | RegistryError>> =>
  Facade.make(Models.Models, Layer.provide(Models.layer, [options.database, options.blobs]))
