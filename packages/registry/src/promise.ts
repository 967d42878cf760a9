/**
 * The Promise faces of the registry: experiments, runs, files, logged models, models and promotions.
 *
 * @module
 */
import type { BlobStore, Database, PromotionGate, Secrets } from "@ashlar/core"
import { Facade, type Handle } from "@ashlar/core/promise"
import * as Layer from "effect/Layer"
import * as Artifacts from "./Artifacts.ts"
import * as Client from "./Client.ts"
import * as Experiments from "./Experiments.ts"
import * as LoggedModels from "./LoggedModels.ts"
import * as Models from "./Models.ts"
import * as Promotions from "./Promotions.ts"
import type { RegistryError } from "./RegistryError.ts"
import * as Reproduce from "./Reproduce.ts"
import * as Runs from "./Runs.ts"
import type * as SignatureVerifier from "./SignatureVerifier.ts"
import * as Tracking from "./Tracking.ts"
import * as Webhooks from "./Webhooks.ts"

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

/** Opens the tree of files. */
export const makeArtifacts = <D, B>(
  options: Options<D, B> & Artifacts.ArtifactsOptions,
): Promise<
  Facade<Artifacts.Artifacts["Service"]> & Handle<Artifacts.Artifacts, D | B | RegistryError>
> =>
  Facade.make(
    Artifacts.Artifacts,
    Layer.provide(Artifacts.layerWith(options), [options.database, options.blobs]),
  )

/** Opens the run tracker. */
export const makeRuns = <D, B>(
  options: Options<D, B>,
): Promise<Facade<Runs.Runs["Service"]> & Handle<Runs.Runs, D | B | RegistryError>> =>
  Facade.make(Runs.Runs, Layer.provide(Runs.layer, [options.database, options.blobs]))

/** Opens the logged models. */
export const makeLoggedModels = <D, B>(
  options: Options<D, B>,
): Promise<
  Facade<LoggedModels.LoggedModels["Service"]> &
    Handle<LoggedModels.LoggedModels, D | B | RegistryError>
> =>
  Facade.make(
    LoggedModels.LoggedModels,
    Layer.provide(LoggedModels.layer, [options.database, options.blobs]),
  )

/** Opens the model registry. */
export const makeModels = <D, B>(
  options: Options<D, B>,
): Promise<Facade<Models.Models["Service"]> & Handle<Models.Models, D | B | RegistryError>> =>
  Facade.make(Models.Models, Layer.provide(Models.layer, [options.database, options.blobs]))

/** Where promotions are kept, and whom their gates ask. */
export interface PromotionsOptions<D, B> extends Options<D, B> {
  /** Compares versions for gates `metric`, e.g. monitoring's. */
  readonly gate?: Layer.Layer<PromotionGate.PromotionGate>
  /** Verifies signatures for gates `signed`. */
  readonly verifier?: Layer.Layer<SignatureVerifier.SignatureVerifier>
}

/** Opens governed promotion. */
export const makePromotions = <D, B>(
  options: PromotionsOptions<D, B>,
): Promise<
  Facade<Promotions.Promotions["Service"]> & Handle<Promotions.Promotions, D | B | RegistryError>
> =>
  Facade.make(
    Promotions.Promotions,
    Promotions.layer.pipe(
      Layer.provide([options.gate ?? Layer.empty, options.verifier ?? Layer.empty]),
      Layer.provide([options.database, options.blobs]),
    ),
  )

/** Where webhooks are kept, with what their secrets are encrypted, and how they are delivered. */
export interface WebhooksOptions<D, B, S> extends Options<D, B>, Webhooks.WebhooksOptions {
  /** Has the secret `registry-webhooks`, e.g. core's `Env.layer()`. */
  readonly secrets: Layer.Layer<Secrets.Secrets, S>
}

/** Opens the webhooks, and delivers until it is closed. */
export const makeWebhooks = <D, B, S = never>(
  options: WebhooksOptions<D, B, S>,
): Promise<
  Facade<Webhooks.Webhooks["Service"]> & Handle<Webhooks.Webhooks, D | B | S | RegistryError>
> =>
  Facade.make(
    Webhooks.Webhooks,
    Layer.provide(Webhooks.layer(options), [options.database, options.blobs, options.secrets]),
  )

/** Where a client finds its runs: on a server, or in the registry of this process. */
export type ClientOptions<D, B> = Client.ClientOptions & (Client.RemoteOptions | Options<D, B>)

const clientLayer = <D, B>(
  options: ClientOptions<D, B>,
): Layer.Layer<Tracking.Tracking, D | B | RegistryError> =>
  "url" in options
    ? Client.remote(options)
    : Client.local(options).pipe(
        Layer.provide(Layer.merge(Runs.layer, Experiments.layer)),
        Layer.provide([options.database, options.blobs]),
      )

/**
 * Opens a client that tracks runs: of a server (`{ url, token?, journal? }`), or of the registry in
 * this process (`{ database, blobs, journal? }`).
 */
export const makeClient = <D = never, B = never>(
  options: ClientOptions<D, B>,
): Promise<Facade<Tracking.Shape> & Handle<Tracking.Tracking, D | B | RegistryError>> =>
  Facade.make(Tracking.Tracking, clientLayer(options))

/** Opens what captures, rebuilds and compares runs, wherever they are kept. */
export const makeReproduce = <D = never, B = never>(
  options: ClientOptions<D, B>,
): Promise<
  Facade<Reproduce.Reproduce["Service"]> & Handle<Reproduce.Reproduce, D | B | RegistryError>
> => Facade.make(Reproduce.Reproduce, Layer.provide(Reproduce.layer, clientLayer(options)))
