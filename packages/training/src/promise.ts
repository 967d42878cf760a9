/**
 * The Promise face of `Training`, for services that do not use Effect.
 *
 * @module
 */
import type { RunTracker } from "@ashlar/core"
import { Facade } from "@ashlar/core/promise"
import type { Handle } from "@ashlar/core/promise"
import * as Layer from "effect/Layer"
import * as Training from "./Training.ts"

export { TrainingError } from "./TrainingError.ts"

/** Settings of the service, and the tracker its runs go to. */
export interface Options<E = never> extends Training.Options {
  readonly tracker: Layer.Layer<RunTracker.RunTracker, E>
}

/** The service with promises: each method takes `{ signal }` after its request. */
export type TrainingFacade<E = never> = Facade<Training.Training["Service"]> &
  Handle<Training.Training, E>

/** Makes a training service that `await using` closes. Rejects with the tracker's error when it cannot start. */
export const make = <E = never>({ tracker, ...options }: Options<E>): Promise<TrainingFacade<E>> =>
  Facade.make(Training.Training, Layer.provide(Training.layer(options), tracker))
