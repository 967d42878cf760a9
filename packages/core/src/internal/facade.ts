import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Failure from "../Failure.ts"
import type { CallOptions, Facade } from "./facadeTypes.ts"

/** The Promise face was used after it was closed. */
export class FacadeError extends Schema.TaggedError<FacadeError>()(
  "FacadeError",
  Failure.fields(["Unavailable"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** What a Promise face that owns its layer has besides the service's methods. */
export interface Handle<R, E> extends AsyncDisposable {
  /** The way back to Effect: runs effects with the services of the layer. */
  readonly runtime: ManagedRuntime.ManagedRuntime<R, E>
}

/** Runs what the service returns. */
interface Runner {
  readonly promise: (
    effect: Effect.Effect<unknown, unknown>,
    options: CallOptions | undefined,
  ) => Promise<unknown>
  readonly iterable: (
    stream: Stream.Stream<unknown, unknown>,
    options: CallOptions | undefined,
  ) => AsyncIterable<unknown>
}

/** Call options are an object whose only key is `signal`, so no real argument is mistaken for them. */
const isCallOptions = (value: unknown): value is CallOptions => {
  if (typeof value !== "object" || value === null || !("signal" in value)) return false
  const keys = Object.keys(value)
  return (
    keys.length === 1 &&
    keys[0] === "signal" &&
    (value.signal === undefined || value.signal instanceof AbortSignal)
  )
}

const isAsyncIterable = (value: unknown): value is AsyncIterable<unknown> =>
  typeof value === "object" && value !== null && Symbol.asyncIterator in value

/** An effect whose error is still to be seen; the context holds all it needs. */
const isRunnable = (value: unknown): value is Effect.Effect<unknown, unknown> =>
  Effect.isEffect(value)

const isStream = (value: unknown): value is Stream.Stream<unknown, unknown> =>
  Stream.isStream(value)

const reasonOf = (signal: AbortSignal): unknown => signal.reason

const makeRunner = (
  runtime: ManagedRuntime.ManagedRuntime<unknown, unknown>,
  context: Context.Context<unknown>,
  state: { closed: boolean; readonly open: Set<() => Promise<unknown>> },
  name: string,
): Runner => {
  const closed = () =>
    new FacadeError({
      reason: "Unavailable",
      message: `${name} was closed; make a new one, and await its calls before closing it`,
    })

  const rejection = (cause: Cause.Cause<unknown>, signal: AbortSignal | undefined): unknown => {
    if (!Cause.hasInterruptsOnly(cause)) return Cause.squash(cause)
    if (signal?.aborted === true) return reasonOf(signal)
    return state.closed ? closed() : Cause.squash(cause)
  }

  const settle = (value: unknown): unknown => (isStream(value) ? iterable(value, undefined) : value)

  const promise: Runner["promise"] = (effect, options) => {
    const signal = options?.signal
    if (state.closed) return Promise.reject(closed())
    if (signal?.aborted === true) return Promise.reject(reasonOf(signal))
    return runtime
      .runPromiseExit(effect, signal === undefined ? undefined : { signal })
      .then((exit) => {
        if (Exit.isSuccess(exit)) return settle(exit.value)
        throw rejection(exit.cause, signal)
      })
  }

  const iterable: Runner["iterable"] = (stream, options) => {
    const source = Stream.toAsyncIterableWith(stream, context)
    return {
      [Symbol.asyncIterator]: () => {
        const signal = options?.signal
        const inner = source[Symbol.asyncIterator]()
        let done = false
        const stop = async () => {
          done = true
          state.open.delete(stop)
          signal?.removeEventListener("abort", abort)
          return (await inner.return?.()) ?? { done: true, value: undefined }
        }
        // A failed clean-up is reported by the call that asked for the next value.
        const abort = () => void stop().catch(() => undefined)
        signal?.addEventListener("abort", abort, { once: true })
        const check = () => {
          if (signal?.aborted === true) throw reasonOf(signal)
          if (state.closed) throw closed()
        }
        return {
          next: async () => {
            if (!done) {
              check()
              state.open.add(stop)
            } else if (signal?.aborted === true) throw reasonOf(signal)
            try {
              const next = await inner.next()
              if (next.done === true) {
                if (done) check()
                await stop()
              }
              return next
            } catch (error) {
              await stop()
              throw error
            }
          },
          return: stop,
        }
      },
    }
  }
  return { promise, iterable }
}

/** Streams may be given as async iterables (a Node `Readable`, an async generator). */
const toArgument = (value: unknown): unknown =>
  isAsyncIterable(value) && !Stream.isStream(value)
    ? Stream.fromAsyncIterable(value, (error) => error)
    : value

const method =
  (runner: Runner, self: unknown, call: (...args: Array<unknown>) => unknown) =>
  (...input: Array<unknown>): unknown => {
    const last = input[input.length - 1]
    const options = isCallOptions(last) ? last : undefined
    const args = options === undefined ? input : input.slice(0, -1)
    for (let index = 0; index < args.length; index++) {
      const value = args[index]
      if (typeof value === "object") args[index] = toArgument(value)
    }
    const result = call.apply(self, args)
    if (isRunnable(result)) return runner.promise(result, options)
    if (isStream(result)) return runner.iterable(result, options)
    return typeof result === "function"
      ? method(runner, undefined, result as (...args: Array<unknown>) => unknown)
      : result
  }

const keysOf = (service: object): ReadonlySet<string> => {
  const keys = new Set<string>()
  for (
    let level: object | null = service;
    level !== null && level !== Object.prototype;
    level = Object.getPrototypeOf(level) as object | null
  ) {
    for (const key of Object.getOwnPropertyNames(level)) if (key !== "constructor") keys.add(key)
  }
  return keys
}

const derive = (service: object, runner: Runner, target: object): void => {
  for (const key of keysOf(service)) {
    const value: unknown = Reflect.get(service, key)
    if (typeof value === "function") {
      const call = method(runner, service, value as (...args: Array<unknown>) => unknown)
      Object.defineProperty(target, key, { enumerable: true, value: call })
    } else if (isRunnable(value)) {
      const call = (options?: CallOptions) => runner.promise(value, options)
      Object.defineProperty(target, key, { enumerable: true, value: call })
    } else if (isStream(value)) {
      const stream = value
      const get = () => runner.iterable(stream, undefined)
      Object.defineProperty(target, key, { enumerable: true, get })
    } else {
      const get = (): unknown => Reflect.get(service, key)
      Object.defineProperty(target, key, { enumerable: true, get })
    }
  }
}

/** See `Facade.using` in `promise.ts`. */
export const using = async <I, S extends object, R, E>(
  runtime: ManagedRuntime.ManagedRuntime<I | R, E>,
  tag: Context.Key<I, S>,
): Promise<Facade<S>> => {
  const state = { closed: false, open: new Set<() => Promise<unknown>>() }
  const target = {}
  await attach(runtime, tag, state, target)
  return target as Facade<S>
}

const attach = async <I, S extends object, R, E>(
  runtime: ManagedRuntime.ManagedRuntime<I | R, E>,
  tag: Context.Key<I, S>,
  state: { closed: boolean; readonly open: Set<() => Promise<unknown>> },
  target: object,
): Promise<void> => {
  const context = await runtime.context()
  const service = Context.get(context as Context.Context<I>, tag)
  const runner = makeRunner(
    runtime as ManagedRuntime.ManagedRuntime<unknown, unknown>,
    context as Context.Context<unknown>,
    state,
    tag.key,
  )
  derive(service, runner, target)
}

/** See `Facade.make` in `promise.ts`. */
export const make = async <I, S extends object, R, E>(
  tag: Context.Key<I, S>,
  layer: Layer.Layer<I | R, E>,
): Promise<Facade<S> & Handle<I | R, E>> => {
  const runtime = ManagedRuntime.make(layer)
  const state = { closed: false, open: new Set<() => Promise<unknown>>() }
  const dispose = async () => {
    state.closed = true
    try {
      const ended = await Promise.allSettled(Array.from(state.open, (stop) => stop()))
      const failed = ended.find((result) => result.status === "rejected")
      if (failed !== undefined) throw failed.reason
    } finally {
      // A stream whose clean-up fails must not keep the layer's connections and files open.
      await runtime.dispose()
    }
  }
  const target = {}
  try {
    await attach(runtime, tag, state, target)
  } catch (error) {
    await runtime.dispose()
    throw error
  }
  Object.defineProperty(target, "runtime", { value: runtime })
  Object.defineProperty(target, Symbol.asyncDispose, { value: dispose })
  return target as Facade<S> & Handle<I | R, E>
}
