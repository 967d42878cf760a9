/**
 * The Promise face: any service, usable without knowing Effect. It is derived from the service's
 * type and implementation, so the two cannot drift.
 *
 * @module
 */
import type * as Context from "effect/Context"
import type * as Layer from "effect/Layer"
import * as internal from "./internal/facade.ts"
import type { Facade as FacadeOf } from "./internal/facadeTypes.ts"

export { FacadeError, type Handle } from "./internal/facade.ts"
export type { CallOptions } from "./internal/facadeTypes.ts"

/**
 * The Promise face of a service with this shape: methods returning `Effect<A, E>` return
 * `Promise<A>` and reject with the same error instance, effects become methods, streams become
 * async iterables, plain values stay. Every method takes `{ signal }` after its last argument.
 * What needs a `Scope` or another service is left out; reach it through `runtime`.
 */
export type Facade<Shape> = FacadeOf<Shape>

/**
 * Derives Promise faces.
 *
 * @example
 * ```ts
 * import * as Context from "effect/Context"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import { Facade } from "@ashlar/core/promise"
 *
 * class Greeter extends Context.Service<
 *   Greeter,
 *   { readonly greet: (name: string) => Effect.Effect<string> }
 * >()("example/Greeter/v1") {}
 * const layer = Layer.succeed(Greeter, { greet: (name) => Effect.succeed(`Hello ${name}`) })
 *
 * await using greeter = await Facade.make(Greeter, layer)
 * await greeter.greet("Ada") // => "Hello Ada"
 * ```
 */
export const Facade = {
  /**
   * Builds the layer and returns the service's Promise face, which owns it: `await using` (or
   * `[Symbol.asyncDispose]()`) ends running calls and streams and releases the layer. Rejects with
   * the layer's error when it cannot be built.
   */
  make: internal.make,
  /** A Promise face over a runtime that somebody else owns and closes. */
  using: internal.using,
  /** What a module's `promise.ts` exports as `make`: options to layer to Promise face. */
  from:
    <I, S extends object, Options, R, E>(
      tag: Context.Key<I, S>,
      layer: (options: Options) => Layer.Layer<I | R, E>,
    ): ((options: Options) => Promise<FacadeOf<S> & internal.Handle<I | R, E>>) =>
    (options) =>
      internal.make(tag, layer(options)),
} as const
