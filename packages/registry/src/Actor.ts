/**
 * Who acts: recorded in the audit, and asked by gates of approvals. The HTTP plugin sets it to the
 * caller that core's `Auth` recognised; in a process, operations take `by`.
 *
 * @module
 */
import { Auth } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Schema of an actor: core's principals are actors. */
export const Actor = Schema.Struct({
  name: Schema.NonEmptyString.check(Schema.isMaxLength(255)),
  scopes: Schema.optionalKey(Schema.Array(Auth.Scope)),
})

/** Somebody or something that acts. */
export type Actor = typeof Actor.Type

/** Who acts in this fiber; nobody said, by default. */
export const Current: Context.Reference<Actor | undefined> = Context.Reference<Actor | undefined>(
  "@ashlar/registry/Actor/v1",
  { defaultValue: () => undefined },
)

/** Runs an effect in the name of an actor. */
export const as: {
  (by: Actor | undefined): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
} = (by) => (effect) => (by === undefined ? effect : Effect.provideService(effect, Current, by))
