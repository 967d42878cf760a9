import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { type Event, Events, type NewEvent } from "../../../Events.ts"
import * as Id from "../../../Id.ts"
import { type Case, ensure, equal, fails } from "../../../testing/Conformance.ts"

/** A case of the Events suite. */
export type EventsCase = Case<Events, object>

const uniqueTopic = (): string => `topic-${Id.make()}`

const numbered = (topic: string, from: number, count: number): ReadonlyArray<NewEvent> =>
  Array.from({ length: count }, (_, i) => ({
    topic,
    key: `k${from + i}`,
    payload: { n: from + i },
  }))

const keys = (events: ReadonlyArray<Event>): ReadonlyArray<string> => events.map(({ key }) => key)

/** Waits until the condition holds; the case's own time limit ends it otherwise. */
const eventually = (condition: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() =>
    condition() ? Effect.void : Effect.andThen(Effect.sleep(5), eventually(condition)),
  )

const collect = (into: Array<string>) => (events: ReadonlyArray<Event>) =>
  Effect.sync(() => void into.push(...keys(events)))

/** What every Events backend must do. */
export const cases: ReadonlyArray<EventsCase> = [
  {
    name: "read gives events after a position, oldest first, at most limit",
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      yield* events.publish(numbered(topic, 0, 5))
      const first = yield* events.read(topic, 0, 3)
      yield* equal(keys(first), ["k0", "k1", "k2"], "the first three")
      const rest = yield* events.read(topic, first.at(-1)?.position ?? 0, 100)
      yield* equal(keys(rest), ["k3", "k4"], "the rest")
      const positions = [...first, ...rest].map(({ position }) => position)
      yield* equal(
        positions,
        positions.toSorted((a, b) => a - b),
        "positions",
      )
      yield* equal(new Set(positions).size, 5, "distinct positions")
      yield* equal(yield* events.read(uniqueTopic(), 0, 10), [], "an empty topic")
    }),
  },
  {
    name: "payload, topic and time come back",
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      const payload = { text: "é 😀 \"'", list: [1, 0.1, null, true], nested: { a: {} } }
      yield* events.publish([{ topic, key: "a/b c", payload }])
      const [event] = yield* events.read(topic, 0, 1)
      yield* equal(event?.payload, payload, "the payload")
      yield* equal([event?.topic, event?.key], [topic, "a/b c"], "topic and key")
      const age = Date.now() * 1000 - (event?.time ?? 0)
      yield* ensure(Math.abs(age) < 60_000_000, `the time is ${age} us off`)
    }),
  },
  {
    name: "a topic holds each key once",
    run: Effect.gen(function* () {
      const events = yield* Events
      const [topic, other] = [uniqueTopic(), uniqueTopic()]
      const event = { topic, key: "k", payload: 1 }
      yield* events.publish([event, { ...event, payload: 2 }])
      yield* events.publish([event, { ...event, topic: other }, { ...event, key: "l" }])
      yield* equal(keys(yield* events.read(topic, 0, 10)), ["k", "l"], "keys of the topic")
      yield* equal(keys(yield* events.read(other, 0, 10)), ["k"], "keys of another topic")
    }),
  },
  {
    name: "one bad event and nothing is published",
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      const good = { topic, key: "k", payload: 1 }
      for (const bad of [
        { ...good, key: "" },
        { ...good, topic: "no/topic" },
        { ...good, payload: undefined },
        { ...good, payload: Number.NaN },
        { topic, payload: 1 },
      ]) {
        yield* fails(events.publish([good, bad as NewEvent]), "InvalidInput")
      }
      const large = { ...good, payload: "x".repeat(64 * 1024 * 1024) }
      yield* fails(events.publish([good, large]), "TooLarge")
      yield* fails(events.read("no/topic", 0, 1), "InvalidInput")
      yield* fails(events.read(topic, 0, 0), "InvalidInput")
      yield* equal(yield* events.read(topic, 0, 10), [], "events")
    }),
  },
  {
    name: "each group gets every event in order, also those from before it came",
    promise: false,
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      yield* events.publish(numbered(topic, 0, 5))
      const groups = { a: new Array<string>(), b: new Array<string>() }
      yield* events.consume({ topic, group: "a" }, collect(groups.a))
      yield* events.consume({ topic, group: "b", batch: 2 }, collect(groups.b))
      yield* events.publish(numbered(topic, 5, 5))
      yield* eventually(() => groups.a.length >= 10 && groups.b.length >= 10)
      const expected = numbered(topic, 0, 10).map(({ key }) => key)
      yield* equal(groups.a, expected, "group a")
      yield* equal(groups.b, expected, "group b")
    }),
  },
  {
    name: "a handler that failed gets its events again",
    promise: false,
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      const seen: Array<string> = []
      yield* events.consume({ topic, group: "g" }, (batch) =>
        Effect.suspend(() => {
          seen.push(...keys(batch))
          if (seen.length === 1) return Effect.fail("not yet")
          return seen.length === 2 ? Effect.die(new Error("a defect")) : Effect.void
        }),
      )
      yield* events.publish(numbered(topic, 0, 1))
      yield* eventually(() => seen.length >= 3)
      yield* equal(seen, ["k0", "k0", "k0"], "deliveries")
    }),
  },
  {
    name: "a group goes on where its last consumer stopped",
    promise: false,
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      const [before, after]: [Array<string>, Array<string>] = [[], []]
      const scope = yield* Scope.make()
      yield* Scope.provide(events.consume({ topic, group: "g" }, collect(before)), scope)
      yield* events.publish(numbered(topic, 0, 3))
      yield* eventually(() => before.length >= 3)
      yield* Effect.sleep(50)
      yield* Scope.close(scope, Exit.void)
      yield* events.publish(numbered(topic, 3, 2))
      yield* events.consume({ topic, group: "g" }, collect(after))
      yield* eventually(() => after.length >= 2)
      yield* equal(
        [before, after],
        [
          ["k0", "k1", "k2"],
          ["k3", "k4"],
        ],
        "deliveries",
      )
    }),
  },
  {
    name: "two consumers of one group do not both get an event",
    promise: false,
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      const seen: Array<string> = []
      yield* events.consume({ topic, group: "g", batch: 3 }, collect(seen))
      yield* events.consume({ topic, group: "g", batch: 3 }, collect(seen))
      yield* events.publish(numbered(topic, 0, 20))
      yield* eventually(() => seen.length >= 20)
      yield* Effect.sleep(100)
      yield* equal(
        seen,
        numbered(topic, 0, 20).map(({ key }) => key),
        "deliveries",
      )
    }),
  },
  {
    name: "a reader that follows concurrent publishers misses nothing",
    promise: false,
    run: Effect.gen(function* () {
      const events = yield* Events
      const topic = uniqueTopic()
      const publishers = yield* Effect.forkChild(
        Effect.forEach(
          Array.from({ length: 20 }, (_, i) => i),
          (i) => events.publish(numbered(topic, i * 5, 5)),
          { concurrency: 8, discard: true },
        ),
      )
      const seen = new Set<string>()
      let position = 0
      while (seen.size < 100) {
        const found = yield* events.read(topic, position, 7)
        for (const { key } of found) seen.add(key)
        position = found.at(-1)?.position ?? position
        yield* Effect.sleep(1)
      }
      yield* Fiber.join(publishers)
      yield* equal(seen.size, 100, "events seen")
    }),
  },
]
