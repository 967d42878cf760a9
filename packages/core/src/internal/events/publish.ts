import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { Database, DatabaseError } from "../../Database.ts"
import { EventsError, type NewEvent } from "../../Events.ts"
import { Name } from "../../Name.ts"
import { now } from "../../Timestamp.ts"
import { fromDatabase, type Tables } from "./tables.ts"

const Key = Schema.String.check(
  Schema.makeFilter(
    (key: string) => (key.length >= 1 && key.length <= 512) || "a key has 1 to 512 characters",
  ),
)

const decode = Schema.decodeUnknownExit(
  Schema.Struct({ topic: Name, key: Key, payload: Schema.Json }),
)

interface Encoded {
  readonly topic: string
  readonly key: string
  readonly payload: string
}

const encode = (event: NewEvent, index: number, maxBytes: number): Encoded | EventsError => {
  const decoded = decode(event)
  if (Exit.isFailure(decoded)) {
    return new EventsError({
      reason: "InvalidInput",
      message: `Event ${index} cannot be published; it needs a topic (a name), a key and a JSON payload. ${String(decoded.cause)}`,
      field: `events[${index}]`,
    })
  }
  const payload = JSON.stringify(decoded.value.payload)
  const bytes = Buffer.byteLength(payload)
  if (bytes > maxBytes) {
    return new EventsError({
      reason: "TooLarge",
      message: `The payload of event ${index} has ${bytes} bytes; ${maxBytes} is the limit. Put large content in the blob store and publish its key.`,
      field: `events[${index}].payload`,
    })
  }
  return { topic: decoded.value.topic, key: decoded.value.key, payload }
}

/** By topic, in the order that locks are taken, each key once. */
const byTopic = (events: ReadonlyArray<Encoded>): ReadonlyArray<[string, Map<string, Encoded>]> => {
  const topics = new Map<string, Map<string, Encoded>>()
  for (const event of events) {
    const keyed = topics.get(event.topic) ?? new Map<string, Encoded>()
    if (!keyed.has(event.key)) keyed.set(event.key, event)
    topics.set(event.topic, keyed)
  }
  return [...topics].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/** `Events.publish`; `wake` is called with each topic after the commit. */
export const publisher = (
  db: Database["Service"],
  maxPayloadBytes: number,
  wake: (topic: string) => void,
) => {
  const build = db.build<Tables>()

  // The row stays locked until the transaction ends: the next publisher gets its positions only
  // after these are committed or gone, so no reader can pass over one that appears late.
  const lockTopic = db.prepare<Tables, readonly [string], { position: number }>(
    (b, [topic]) =>
      b
        .insertInto("ashlar_topic")
        .values({ topic, position: 0 })
        .onConflict((c) =>
          c.column("topic").doUpdateSet((e) => ({ position: e.ref("ashlar_topic.position") })),
        )
        .returning("position"),
    1,
  )
  const advance = db.prepare<Tables, readonly [number, string], object>(
    (b, [position, topic]) =>
      b.updateTable("ashlar_topic").set({ position }).where("topic", "=", topic),
    2,
  )

  const publishedOf = Effect.fnUntraced(function* (topic: string, keys: ReadonlyArray<string>) {
    const published = new Set<string>()
    for (let start = 0; start < keys.length; start += 500) {
      const rows = yield* db.all(
        build
          .selectFrom("ashlar_event")
          .select("key")
          .where("topic", "=", topic)
          .where("key", "in", keys.slice(start, start + 500)),
      )
      for (const { key } of rows) published.add(key)
    }
    return published
  })

  const append = Effect.fnUntraced(function* (topic: string, events: Map<string, Encoded>) {
    const [locked] = yield* lockTopic(topic)
    const published = yield* publishedOf(topic, [...events.keys()])
    const fresh = [...events.values()].filter(({ key }) => !published.has(key))
    if (fresh.length === 0) return
    const last = locked?.position ?? 0
    const time = now()
    yield* db.insertMany(
      "ashlar_event",
      fresh.map((event, i) => ({ ...event, position: last + 1 + i, time })),
    )
    yield* advance(last + fresh.length, topic)
    yield* db.onCommit(Effect.sync(() => wake(topic)))
  })

  return (events: ReadonlyArray<NewEvent>): Effect.Effect<void, EventsError> =>
    Effect.suspend(() => {
      const encoded: Array<Encoded> = []
      for (const [i, event] of events.entries()) {
        const one = encode(event, i, maxPayloadBytes)
        if (one instanceof EventsError) return Effect.fail(one)
        encoded.push(one)
      }
      if (encoded.length === 0) return Effect.void
      const appendAll: Effect.Effect<void, DatabaseError> = Effect.forEach(
        byTopic(encoded),
        ([topic, keyed]) => append(topic, keyed),
        { discard: true },
      )
      return Effect.mapError(db.transaction(appendAll), fromDatabase)
    })
}
