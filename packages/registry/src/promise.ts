/**
 * The Promise faces of the registry: experiments, runs and models.
 *
 * @module
 */
import type { BlobStore, Database } from "@ashlar/core"
import { Facade, type Handle } from "@ashlar/core/promise"
import * as Layer from "effect/Layer"
import * as Experiments from "./Experiments.ts"
import * as Models from "./Models.ts"
import type { RegistryError } from "./RegistryError.ts"
import * as Runs from "./Runs.ts"

/** Where the registry keeps its tables and its files. */
export interface Options<D, B> {
  /** E.g. core's `Sqlite.layer({ file })`. */
  readonly database: Layer.Layer<Database.Database, D>
  /** E.g. core's `Fs.layer({ directory })`. */
  readonly blobs: Layer.Layer<BlobStore.BlobStore, B>
}

/** Opens the experiments. */
export const makeExperiments = <D, B>(
  options: Options<D, B>,
): Promise<
  Facade<Experiments.Experiments["Service"]> &
    Handle<Experiments.Experiments, D | B | RegistryError>
> =>
  Facade.make(
    Experiments.Experiments,
    Layer.provide(Experiments.layer, [options.database, options.blobs]),
  )

/** Opens the run tracker. */
export const makeRuns = <D, B>(
  options: Options<D, B>,
): Promise<Facade<Runs.Runs["Service"]> & Handle<Runs.Runs, D | B | RegistryError>> =>
  Facade.make(Runs.Runs, Layer.provide(Runs.layer, [options.database, options.blobs]))

/** Opens the model registry. Promotion, which asks a gate, is reached through `runtime`. */
export const makeModels = <D, B>(
  options: Options<D, B>,
): Promise<Facade<Models.Models["Service"]> & Handle<Models.Models, D | B | RegistryError>> =>
  Facade.make(Models.Models, Layer.provide(Models.layer, [options.database, options.blobs]))
