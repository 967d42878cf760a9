import { Database } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"

/** A fiber inside a transaction goes on to its end: frozen there, it would lock everybody out. */
const Inside = Context.Reference<boolean>("test/mortal/Inside", { defaultValue: () => false })

/** A process as its database sees it: at some point it freezes, and perhaps it thaws later. */
export interface Life {
  /** Lets the frozen process go on. */
  readonly thaw: () => void
  readonly frozen: () => boolean
  readonly layer: Layer.Layer<Database.Database, Database.DatabaseError>
}

/**
 * The database as seen by a process that freezes at its n-th write: just before it or, `after`, when
 * it is committed and the process does not know yet. While it is frozen it neither reads nor writes.
 */
export const mortal = (
  database: Layer.Layer<Database.Database, Database.DatabaseError>,
  writes: number,
  after: boolean,
): Life => {
  const latch = Latch.makeUnsafe(true)
  let left = writes
  let frozen = false
  const freeze = Effect.suspend(() => {
    frozen = true
    return Effect.andThen(latch.close, latch.await)
  })
  const gate = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Inside, (inside) => (inside ? effect : Effect.andThen(latch.await, effect)))
  const write = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    gate(
      Effect.flatMap(Inside, (inside) => {
        if (inside) return effect
        left -= 1
        if (left !== 0) return effect
        return after ? Effect.tap(effect, () => freeze) : Effect.andThen(freeze, effect)
      }),
    )
  const layer = Layer.effect(
    Database.Database,
    Effect.map(Database.Database, (db) =>
      Database.Database.of({
        ...db,
        all: (query) => gate(db.all(query)),
        first: (query) => gate(db.first(query)),
        run: (query) => write(db.run(query)),
        transaction: (effect) => write(db.transaction(Effect.provideService(effect, Inside, true))),
      }),
    ),
  ).pipe(Layer.provide(database))
  return { thaw: () => void latch.openUnsafe(), frozen: () => frozen, layer }
}
