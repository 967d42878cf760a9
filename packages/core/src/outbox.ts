/**
 * Events in the Database: an outbox table that `publish` writes in the caller's own transaction,
 * read by consumer groups.
 *
 * A publisher holds its topic from `publish` to the end of its transaction, so publish last. In
 * one process consumers wake at once; those of other processes look every `pollMs`.
 *
 * @module
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Database } from "./Database.ts"
import { type Event, Events, EventsError } from "./Events.ts"
import { consumer } from "./internal/events/consume.ts"
import { publisher } from "./internal/events/publish.ts"
import { fromDatabase, migrations, type Tables } from "./internal/events/tables.ts"
import { Wakeups } from "./internal/events/Wakeups.ts"
import { isName } from "./Name.ts"

/** How events are kept and looked for. */
export interface OutboxOptions {
  /** How often a consumer looks for events of other processes. Default 500. */
  readonly pollMs?: number
  /** How long a consumer that fell silent keeps its group. Default 10000. */
  readonly leaseMs?: number
  /** Largest payload as JSON. Default 1 MiB. */
  readonly maxPayloadBytes?: number
}

const refuse = (field: string, message: string) =>
  new EventsError({ reason: "InvalidInput", message, field })

const checkLimit = (field: string, limit: number): EventsError | undefined =>
  Number.isInteger(limit) && limit >= 1 && limit <= 1000
    ? undefined
    : refuse(field, `${field} is ${limit}; use a whole number from 1 to 1000.`)

const checkName = (field: string, name: string): EventsError | undefined =>
  isName(name) ? undefined : refuse(field, `${field} '${name}' is not a name.`)

/** Makes the outbox's tables and its service. */
export const make = Effect.fnUntraced(function* (options: OutboxOptions = {}) {
  const db = yield* Database
  yield* Effect.mapError(db.migrate("ashlar.outbox", migrations), fromDatabase)
  const wakeups = new Wakeups()

  const select = db.prepare<Tables, readonly [string, number, number], Tables["ashlar_event"]>(
    (build, [topic, after, limit]) =>
      build
        .selectFrom("ashlar_event")
        .selectAll()
        .where("topic", "=", topic)
        .where("position", ">", after)
        .orderBy("position")
        .limit(limit),
    3,
  )
  const read = (topic: string, after: number, limit: number) =>
    Effect.map(select(topic, after, limit), (rows) =>
      rows.map((row): Event => ({ ...row, payload: JSON.parse(row.payload) })),
    )

  return Events.of({
    publish: publisher(db, options.maxPayloadBytes ?? 1_048_576, wakeups.wake),
    read: (topic, after, limit) => {
      const mistake =
        checkName("topic", topic) ??
        checkLimit("limit", limit) ??
        (Number.isSafeInteger(after) ? undefined : refuse("after", "after is not a position."))
      return mistake === undefined
        ? Effect.mapError(read(topic, after, limit), fromDatabase)
        : Effect.fail(mistake)
    },
    consume: ({ topic, group, batch = 100 }, handler) => {
      const mistake =
        checkName("topic", topic) ?? checkName("group", group) ?? checkLimit("batch", batch)
      if (mistake !== undefined) return Effect.fail(mistake)
      const { pollMs = 500, leaseMs = 10_000 } = options
      const consume = { topic, group, batch, pollMs, leaseMs }
      return Effect.catchTag(consumer(db, wakeups, read, consume, handler), "DatabaseError", (e) =>
        Effect.fail(fromDatabase(e)),
      )
    },
  })
})

/**
 * Events in the Database.
 *
 * @example
 * ```ts
 * import { Events } from "@ashlar/core"
 * import * as Outbox from "@ashlar/core/outbox"
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = Effect.gen(function* () {
 *   const events = yield* Events.Events
 *   yield* events.publish([{ topic: "models", key: "m1", payload: { version: 1 } }])
 *   yield* events.publish([{ topic: "models", key: "m1", payload: { version: 1 } }])
 *   return (yield* events.read("models", 0, 10)).map(({ position, key }) => ({ position, key }))
 * })
 * const layer = Layer.provide(Outbox.layer(), Sqlite.layer({ file: ":memory:" }))
 *
 * await Effect.runPromise(Effect.provide(program, layer)) // => [{ position: 1, key: "m1" }]
 * ```
 */
export const layer = (options: OutboxOptions = {}): Layer.Layer<Events, EventsError, Database> =>
  Layer.effect(Events, make(options))

/** `ASHLAR_EVENTS_POLL_MS` and `ASHLAR_EVENTS_LEASE_MS` of the environment. */
export const config: Config.Config<OutboxOptions> = Config.all({
  pollMs: Config.Int("ASHLAR_EVENTS_POLL_MS").pipe(Config.withDefault(500)),
  leaseMs: Config.Int("ASHLAR_EVENTS_LEASE_MS").pipe(Config.withDefault(10_000)),
})

/** {@link layer} with options from configuration. */
export const layerConfig = (
  options: Config.Wrap<OutboxOptions> = config,
): Layer.Layer<Events, EventsError | Config.ConfigError, Database> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
