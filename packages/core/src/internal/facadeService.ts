import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

type Method = (...args: Array<unknown>) => unknown

const isTagged = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "_tag" in value

const restore = (error: unknown): Effect.Effect<never, unknown> =>
  isTagged(error) ? Effect.fail(error) : Effect.die(error)

const fromPromise = (call: (signal: AbortSignal) => unknown): Effect.Effect<unknown, unknown> =>
  Effect.tryPromise({
    try: (signal) => Promise.resolve(call(signal)),
    catch: (error) => error,
  }).pipe(Effect.catch(restore))

/** Errors that are not Ashlar's were defects before they crossed the Promise face. */
const fromIterable = (make: () => AsyncIterable<unknown>): Stream.Stream<unknown, unknown> =>
  Stream.suspend(() => Stream.fromAsyncIterable(make(), (error) => error)).pipe(
    Stream.catch((error) => (isTagged(error) ? Stream.fail(error) : Stream.die(error))),
  )

const memberOf = (facade: object, key: string): unknown => Reflect.get(facade, key)

const back =
  (original: Method, facade: Method): Method =>
  (...args) => {
    // Calling the original only describes the effect; it tells what kind of result to make.
    const kind = original(...args)
    if (Effect.isEffect(kind)) return fromPromise((signal) => facade(...args, { signal }))
    if (Stream.isStream(kind)) return fromIterable(() => facade(...args) as AsyncIterable<unknown>)
    return typeof kind === "function" ? back(kind as Method, facade(...args) as Method) : kind
  }

/**
 * A service that does everything through its own Promise face, so that what is asserted of the
 * service can be asserted of the face.
 */
export const toService = <S extends object>(original: S, facade: object): S => {
  const service = {}
  for (const key of Object.getOwnPropertyNames(facade)) {
    const value: unknown = Reflect.get(original, key)
    const define = (made: unknown) =>
      Object.defineProperty(service, key, { enumerable: true, value: made })
    if (typeof value === "function") {
      define(back(value.bind(original) as Method, memberOf(facade, key) as Method))
    } else if (Effect.isEffect(value)) {
      define(fromPromise((signal) => (memberOf(facade, key) as Method)({ signal })))
    } else if (Stream.isStream(value)) {
      define(fromIterable(() => memberOf(facade, key) as AsyncIterable<unknown>))
    } else {
      define(value)
    }
  }
  return service as S
}
