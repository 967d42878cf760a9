import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Events } from "../../../Events.ts"
import * as Id from "../../../Id.ts"
import { layer as outbox } from "../../../outbox.ts"
import { layer as sqlite } from "../../../sqlite.ts"
import type { Broken } from "../../../testing/Conformance.ts"

type Service = Events["Service"]

const broken = (
  name: string,
  change: (events: Service) => Partial<Service>,
  mustFail: ReadonlyArray<string>,
): Broken<Events> => ({
  name,
  layer: Layer.effect(
    Events,
    Effect.map(Events, (events): Service => ({ ...events, ...change(events) })),
  ).pipe(Layer.provide(outbox({ pollMs: 20 })), Layer.provide(sqlite({ file: ":memory:" }))),
  mustFail,
})

/** Events backends with a known mistake each. */
export const brokenLayers: ReadonlyArray<Broken<Events>> = [
  broken(
    "reads that skip an event",
    (events) => ({
      read: (topic, after, limit) =>
        Effect.map(events.read(topic, after, limit), (found) => found.slice(1)),
    }),
    [
      "read gives events after a position, oldest first, at most limit",
      "a reader that follows concurrent publishers misses nothing",
    ],
  ),
  broken(
    "payloads turned to text",
    (events) => ({
      read: (topic, after, limit) =>
        Effect.map(events.read(topic, after, limit), (found) =>
          found.map((event) => ({ ...event, payload: JSON.stringify(event.payload) })),
        ),
    }),
    ["payload, topic and time come back"],
  ),
  broken(
    "keys not looked at",
    (events) => ({
      publish: (list) => events.publish(list.map((event) => ({ ...event, key: Id.make() }))),
    }),
    ["a topic holds each key once"],
  ),
  broken(
    "bad events dropped in silence",
    (events) => ({ publish: (list) => Effect.ignore(events.publish(list)) }),
    ["one bad event and nothing is published"],
  ),
  broken(
    "a consumer that only sees its first batch",
    (events) => ({
      consume: (subscription, handler) => {
        let calls = 0
        return events.consume(subscription, (batch) =>
          calls++ === 0 ? handler(batch) : Effect.void,
        )
      },
    }),
    ["each group gets every event in order, also those from before it came"],
  ),
  broken(
    "failures of the handler ignored",
    (events) => ({
      consume: (subscription, handler) =>
        events.consume(subscription, (batch) => Effect.ignoreCause(handler(batch))),
    }),
    ["a handler that failed gets its events again"],
  ),
  broken(
    "a group for each consumer",
    (events) => ({
      consume: (subscription, handler) =>
        events.consume({ ...subscription, group: Id.make() }, handler),
    }),
    [
      "a group goes on where its last consumer stopped",
      "two consumers of one group do not both get an event",
    ],
  ),
]
