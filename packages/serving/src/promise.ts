/**
 * The Promise face of {@link Serving}.
 *
 * @module
 */
import type { ModelSource } from "@ashlar/core"
import { Facade, type Handle } from "@ashlar/core/promise"
import * as Layer from "effect/Layer"
import { layer, Serving, type ServingOptions } from "./Serving.ts"

/** Where models come from, and how to run them. */
export interface Options<E> extends ServingOptions {
  /** E.g. the registry's `ModelPorts.sourceLayer`. */
  readonly source: Layer.Layer<ModelSource.ModelSource, E>
}

/** Opens serving; `await using` ends its worker threads. */
export const make = <E>({
  source,
  ...options
}: Options<E>): Promise<Facade<Serving["Service"]> & Handle<Serving, E>> =>
  Facade.make(Serving, Layer.provide(layer(options), source))
