/** Inputs that once gave wrong values, or made a source useless. */
import { Dataset } from "@ashlar/core"
import * as Blobs from "@ashlar/core/memory"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { describe, expect, it } from "vitest"
import {
  Aggregate,
  Entity,
  FeatureService,
  FeatureStore,
  FeatureView,
  OnlineStore,
  RequestView,
  Source,
} from "../src/index.ts"
import * as EventIndex from "../src/internal/eventIndex.ts"
import { tableOf } from "../src/internal/rows.ts"
import * as Sweep from "../src/internal/sweep.ts"
import * as OnlineMemory from "../src/memory.ts"
import { hour, inMemory } from "./flights.ts"

type Store = FeatureStore.FeatureStore["Service"]
const run = <A, E>(use: (store: Store) => Effect.Effect<A, E>) =>
  Effect.runPromise(Effect.provide(Effect.flatMap(FeatureStore.FeatureStore, use), inMemory))

const entity = Entity.make({ name: "key", joinKeys: { k: "string" } })
const source = Source.make({ name: "events", timestamp: "t" })
const counts = (version: number, windows: ReadonlyArray<"1h" | "2h">) =>
  FeatureView.make({ name: "v", version, entity, source, aggregates: [Aggregate.count(windows)] })
const rows = (columns: Record<string, Dataset.ColumnInput>) =>
  Dataset.fromColumns({ k: ["a"], t: { micros: [0] }, ...columns })
const reason = <A, E extends { readonly reason: string; readonly message: string }>(
  effect: Effect.Effect<A, E>,
) => Effect.map(Effect.flip(effect), (error) => `${error.reason}: ${error.message}`)

describe("versions of a view", () => {
  it("are all refreshed, because services may be using each", () =>
    run((store) =>
      Effect.gen(function* () {
        const old = FeatureService.make({ name: "old", views: [counts(1, ["1h"])] })
        const now = FeatureService.make({ name: "now", views: [counts(2, ["2h"])] })
        yield* store.apply([old, now])
        const pushed = yield* store.push({
          source: "events",
          rows: yield* rows({}),
          key: "a",
          to: "online_and_offline",
          at: hour,
        })
        expect(pushed.views.map(({ version }) => version)).toEqual([1, 2])
        for (const service of ["old", "now"]) {
          const { values } = yield* store.vectors({ service, entities: { k: ["a"] }, at: hour })
          expect(values).toEqual([Float64Array.of(1)])
        }
        expect((yield* store.materialize({ at: 2 * hour })).views).toHaveLength(2)
        expect((yield* store.views()).map(({ version }) => version)).toEqual([2])
      }),
    ))
})

describe("a training frame", () => {
  it("never replaces a column of the labels, but for what a request view hands through", () =>
    run((store) =>
      Effect.gen(function* () {
        const passing = RequestView.make({
          name: "r",
          inputs: { x: "float64" },
          features: { x: "float64" },
          compute: ({ x }) => ({ x }),
        })
        const views = [passing, counts(1, ["1h"])] as const
        yield* store.apply([FeatureService.make({ name: "s", views })])
        yield* store.ingest(source, yield* rows({}), { key: "a" })
        const frame = (columns: Record<string, Dataset.ColumnInput>) =>
          Effect.flatMap(rows(columns), (labels) =>
            store.trainingFrame({ service: "s", labels, timestamp: "t" }),
          )
        const x = Float64Array.of(1)
        expect((yield* frame({ x })).schema.fields.map(({ name }) => name)).toHaveLength(4)
        expect(yield* reason(frame({ x, count_1h: x }))).toMatch(/already have a column 'count_1h'/)
      }),
    ))
})

describe("events that could not be read later", () => {
  const view = FeatureView.make({ name: "v", entity, source, features: { x: "float64" } })
  it.each([
    ["ingested", "offline"],
    ["pushed online", "online"],
  ] as const)("are refused when %s", (_, to) =>
    run((store) =>
      Effect.gen(function* () {
        yield* store.apply([FeatureService.make({ name: "s", views: [view] })])
        const send = (columns: Record<string, Dataset.ColumnInput>) =>
          Effect.flatMap(rows(columns), (given) =>
            store.push({ source: "events", rows: given, key: "a", to, at: hour }),
          )
        const x = Float64Array.of(1)
        expect(yield* reason(send({}))).toMatch(/InvalidInput: no column 'x'/)
        expect(yield* reason(send({ x: ["text"] }))).toMatch(/InvalidInput: .*'x' is string/)
        expect(yield* reason(send({ x: [2n ** 60n] }))).toMatch(/InvalidInput: .*2\^53/)
        expect(yield* reason(send({ x, t: { micros: [null] } }))).toMatch(/no usable time/)
        for (const value of [Infinity, -Number.MAX_VALUE]) {
          expect(yield* reason(send({ x: Float64Array.of(value) }))).toMatch(/within 1e140/)
        }
        yield* send({ x })
      }),
    ),
  )
})

describe("instants", () => {
  it("are checked, and none far ahead keeps out what comes before", () =>
    run((store) =>
      Effect.gen(function* () {
        yield* store.apply([FeatureService.make({ name: "s", views: [counts(1, ["1h"])] })])
        yield* store.ingest(source, yield* rows({}), { key: "a" })
        const ahead = (Date.now() + 2 * 86_400_000) * 1000
        expect(yield* reason(store.materialize({ at: ahead }))).toMatch(/ahead of the clock/)
        const given = yield* rows({})
        const push = { source: "events", rows: given, key: "b", to: "online_and_offline" } as const
        expect(yield* reason(store.push({ ...push, at: ahead }))).toMatch(/ahead of the clock/)
        yield* store.materialize({ at: Date.now() * 1000 })
        const ask = { service: "s", entities: { k: ["a"] } }
        for (const at of [Number.NaN, 0.5]) {
          expect(yield* reason(store.vectors({ ...ask, at }))).toMatch(/no instant/)
        }
      }),
    ))

  it("of created times may be marks far outside of all instants", () => {
    const events = 1000
    const time = Float64Array.from({ length: events }, (_, i) => ((i * 389) % events) * hour)
    const created = time.map((t, i) =>
      i % 3 === 0 ? 2 ** 58 + 2 ** 40 : i % 3 === 1 ? -6.2e16 : t,
    )
    const index = EventIndex.make({ key: new Int32Array(events), keys: 1, event: time, created })
    const sweep = Sweep.start(
      Sweep.compile(index, [], [{ operation: "count", column: -1, window: 10 * hour }]),
    )
    const out = new Float64Array(1)
    for (let now = 0; now <= events * hour; now += 7 * hour) {
      sweep.advance(0, now)
      sweep.read(0, [out], 0)
      let expected = 0
      time.forEach((t, i) => {
        if (t >= now - 10 * hour && t < now && i % 3 !== 0) expected++
      })
      expect(out[0]).toBe(expected)
    }
  })
})

it("takes hundreds of windows", () => {
  const event = Float64Array.of(0, hour)
  const created = Float64Array.of(1000 * hour, hour)
  const index = EventIndex.make({ key: new Int32Array(2), keys: 1, event, created })
  const outputs = Array.from({ length: 300 }, (_, i) => ({
    operation: "count" as const,
    column: -1,
    window: (i + 1) * hour,
  }))
  const sweep = Sweep.start(Sweep.compile(index, [], outputs))
  const out = outputs.map(() => new Float64Array(1))
  // The event that becomes known after a thousand hours is never in any of these windows.
  for (const now of [500, 1000]) {
    sweep.advance(0, now * hour)
    sweep.read(0, out, 0)
    expect(out.map(([count]) => count)).toEqual(outputs.map(() => 0))
  }
})

it("survives a source of no rows, and a whole request of unknown keys", () =>
  run((store) =>
    Effect.gen(function* () {
      yield* store.apply([FeatureService.make({ name: "s", views: [counts(1, ["1h"])] })])
      const empty = yield* Dataset.fromColumns({ k: { strings: [] }, t: { micros: [] } })
      yield* store.ingest(source, empty, { key: "none" })
      expect((yield* store.materialize({ at: hour })).views[0]?.rows).toBe(0)
      const frame = yield* store.trainingFrame({
        service: "s",
        labels: yield* rows({}),
        timestamp: "t",
      })
      expect(yield* Dataset.float64(yield* Dataset.table(frame), "count_1h")).toEqual(
        Float64Array.of(Number.NaN),
      )
      const none = yield* store.trainingFrame({ service: "s", labels: empty, timestamp: "t" })
      expect((yield* Dataset.table(none)).numRows).toBe(0)
      const asked = yield* store.vectors({
        service: "s",
        entities: { k: [null, "x", "__proto__"] },
      })
      expect(asked.statuses).toEqual([["NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]])
    }),
  ))

it("refuses a damaged online row instead of serving another row's numbers", async () => {
  const view = FeatureView.make({ name: "v", entity, source, features: { x: "float64" } })
  const service = FeatureService.make({ name: "s", views: [view] })
  const event = { event: 0, version: [0, 0, 1] as const }
  const payload = new Uint8Array(Float64Array.of(7).buffer)
  const program = Effect.gen(function* () {
    const store = yield* FeatureStore.FeatureStore
    const online = yield* OnlineStore.OnlineStore
    yield* online.write(tableOf(view), [
      { ...event, key: "s1:a", payload },
      { ...event, key: "s1:b", payload: payload.slice(0, 4) },
    ])
    const ask = (k: ReadonlyArray<string>) => store.vectors({ service, entities: { k } })
    expect((yield* ask(["a"])).values).toEqual([Float64Array.of(7)])
    expect(yield* reason(ask(["a", "b"]))).toMatch(/^Corrupt: a stored row of view 'v' has 4 bytes/)
  })
  const base = Layer.mergeAll(OnlineMemory.layer, Sqlite.layer({ file: ":memory:" }), Blobs.layer)
  const layer = FeatureStore.layer().pipe(Layer.provideMerge(base))
  await Effect.runPromise(Effect.provide(program, layer))
})
