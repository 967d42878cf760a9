import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"

/** Options every Promise method takes last. An object with `signal` as its only key is one. */
export interface CallOptions {
  /** Interrupts the call; its promise rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

type AnyStream = Stream.Stream<unknown, unknown, unknown>

/** A stream argument may also be given as an async iterable. */
type Argument<T> = [Extract<T, AnyStream>] extends [never]
  ? T
  : | T
    | AsyncIterable<
        Extract<T, AnyStream> extends Stream.Stream<infer A, unknown, unknown> ? A : never
      >

type Arguments<Args extends ReadonlyArray<unknown>> = { [K in keyof Args]: Argument<Args[K]> }

/** The arguments before the first optional one. */
type Required<Args extends ReadonlyArray<unknown>> = Args extends readonly [
  infer Head,
  ...infer Tail,
]
  ? [Head, ...Required<Tail>]
  : []

/** The method's arguments, then call options, which may also follow the last required argument. */
type CallArguments<Args extends ReadonlyArray<unknown>> =
  Required<Args>["length"] extends Args["length"]
    ? Args["length"] extends Required<Args>["length"]
      ? [...Arguments<Args>, options?: CallOptions]
      : | [...Arguments<Args>, options?: CallOptions]
        | [...Required<Arguments<Args>>, options: CallOptions]
    : [...Arguments<Args>, options?: CallOptions]

/** A stream inside a result becomes an async iterable. */
type Value<A> = A extends Stream.Stream<infer T, unknown, never> ? AsyncIterable<T> : A

/** `never` for what needs services the caller cannot provide (a `Scope`, say). */
type Result<R, Args extends ReadonlyArray<unknown>, Plain> = [R] extends [
  Effect.Effect<infer A, unknown, infer Needs>,
]
  ? [Needs] extends [never]
    ? (...args: CallArguments<Args>) => Promise<Value<A>>
    : never
  : [R] extends [Stream.Stream<infer A, unknown, infer Needs>]
    ? [Needs] extends [never]
      ? (...args: CallArguments<Args>) => AsyncIterable<A>
      : never
    : [R] extends [(...args: infer Inner) => infer InnerResult]
      ? Result<InnerResult, Inner, R> extends infer Method
        ? [Method] extends [never]
          ? never
          : (...args: Args) => Method
        : never
      : Plain

type Member<T> = [T] extends [Effect.Effect<infer A, unknown, infer Needs>]
  ? [Needs] extends [never]
    ? (options?: CallOptions) => Promise<Value<A>>
    : never
  : [T] extends [Stream.Stream<infer A, unknown, infer Needs>]
    ? [Needs] extends [never]
      ? AsyncIterable<A>
      : never
    : [T] extends [(...args: infer Args) => infer R]
      ? Result<R, Args, T>
      : T

/**
 * The Promise face of a service: methods returning `Effect<A, E>` return `Promise<A>` and reject
 * with the same error, effects become methods, streams become async iterables, plain values stay.
 * What needs a `Scope` or another service is left out. Type parameters of generic methods are
 * erased to their constraints.
 */
export type Facade<Shape> = {
  readonly [K in keyof Shape as [Member<Shape[K]>] extends [never] ? never : K]: Member<Shape[K]>
}
