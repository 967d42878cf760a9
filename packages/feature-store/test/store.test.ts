import { Dataset, FeatureSource } from "@ashlar/core"
import * as CoreMemory from "@ashlar/core/memory"
import * as Sqlite from "@ashlar/core/sqlite"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { describe, expect, expectTypeOf, it } from "vitest"
import {
  Aggregate,
  Entity,
  FeatureService,
  FeatureStore,
  FeatureView,
  RequestView,
  Source,
} from "../src/index.ts"
import * as OnlineMemory from "../src/memory.ts"
import { make } from "../src/promise.ts"
import {
  calendar,
  datasetOf,
  flights,
  hour,
  inMemory,
  origin,
  originDelays,
  planes,
  routeDelays,
  service,
} from "./flights.ts"

const row = { origin: "SFO", destination: "JFK", tail: 1, time: 0, created: hour, delay: 20 }

const run = <A, E>(use: (store: FeatureStore.FeatureStore["Service"]) => Effect.Effect<A, E>) =>
  Effect.runPromise(Effect.provide(Effect.flatMap(FeatureStore.FeatureStore, use), inMemory))

const failureOf = async <A, E>(
  use: (store: FeatureStore.FeatureStore["Service"]) => Effect.Effect<A, E>,
) => {
  const exit = await run((store) => Effect.exit(use(store)))
  if (Exit.isSuccess(exit)) throw new Error("expected a failure")
  return Cause.squash(exit.cause) as FeatureStore.FeatureStore & {
    readonly _tag: string
    readonly reason: string
    readonly message: string
  }
}

describe("definitions", () => {
  it("refuse what is wrong, and say what to do", () => {
    const view = { name: "v", entity: origin, source: flights }
    const wrong: ReadonlyArray<readonly [() => unknown, RegExp]> = [
      [() => Entity.make({ name: "a b", joinKeys: { k: "string" } }), /name has 1 to 128/],
      [() => Entity.make({ name: "e", joinKeys: {} }), /at least one/],
      [() => Source.make({ name: "s", timestamp: "" }), /timestamp/],
      [() => FeatureView.make(view), /columns or aggregates/],
      [
        () => FeatureView.make({ ...view, aggregates: [Aggregate.count(["6 hours" as "6h"])] }),
        /such as '6h'/,
      ],
      [
        () => FeatureView.make({ ...view, aggregates: [Aggregate.count(["1h", "1h"])] }),
        /'count_1h' occurs twice/,
      ],
      [() => FeatureView.make({ ...view, features: { origin: "string" } }), /join key/],
      [() => FeatureView.make({ ...view, name: "a__b", features: { x: "float64" } }), /__/],
      [
        () =>
          FeatureService.make({ name: "s", views: [originDelays, { ...originDelays, name: "o" }] }),
        /fullNames/,
      ],
    ]
    for (const [define, message] of wrong) expect(define).toThrow(message)
  })

  it("know their feature names at compile time", () => {
    expectTypeOf(planes.features).toEqualTypeOf<ReadonlyArray<"delay" | "destination">>()
    expectTypeOf(routeDelays.features).toEqualTypeOf<
      ReadonlyArray<"delay_mean_1d" | "delay_last_1d">
    >()
    const some = FeatureService.make({ name: "s", views: [planes, calendar] })
    expectTypeOf(some.features).toEqualTypeOf<
      ReadonlyArray<"delay" | "destination" | "hour" | "distance">
    >()
    const full = FeatureService.make({ name: "s", views: [planes], fullNames: true })
    expectTypeOf(full.features).toEqualTypeOf<
      ReadonlyArray<"planes__delay" | "planes__destination">
    >()
    expect(full.features).toEqual(["planes__delay", "planes__destination"])
  })
})

describe("apply", () => {
  it("plans, records, and takes additions but no change that breaks users", async () => {
    const base = { name: "v", entity: origin, source: flights }
    const one = FeatureView.make({ ...base, aggregates: [Aggregate.mean("delay", ["1h"])] })
    const more = FeatureView.make({ ...base, aggregates: [Aggregate.mean("delay", ["1h", "6h"])] })
    const other = FeatureView.make({ ...base, ttl: "1d", aggregates: one.aggregates })
    const changes = (list: ReadonlyArray<FeatureStore.Change>) =>
      list.filter(({ kind }) => kind === "view").map(({ change }) => change)
    await run((store) =>
      Effect.gen(function* () {
        expect(changes(yield* store.plan([one]))).toEqual(["create"])
        expect((yield* store.apply([one])).map(({ kind }) => kind)).toEqual([
          "entity",
          "source",
          "view",
        ])
        expect(changes(yield* store.apply([one]))).toEqual(["unchanged"])
        expect(changes(yield* store.apply([more]))).toEqual(["update"])
        expect(changes(yield* store.plan([one]))).toEqual(["breaking"])
        expect(changes(yield* store.plan([other]))).toEqual(["breaking"])
        const refused = yield* Effect.flip(store.apply([other]))
        expect(refused).toMatchObject({ reason: "Conflict", field: "v" })
        expect(refused.message).toContain("give it version 2")
        const next = FeatureView.make({
          ...base,
          version: 2,
          ttl: "1d",
          aggregates: one.aggregates,
        })
        expect(changes(yield* store.apply([next]))).toEqual(["create"])
      }),
    )
  })
})

describe("ingest", () => {
  it("is idempotent by key, and refuses other rows under a used key", () =>
    run((store) =>
      Effect.gen(function* () {
        yield* store.apply([service])
        const rows = yield* datasetOf([row, { ...row, tail: 2 }])
        const first = yield* store.ingest(flights, rows, { key: "a" })
        expect(first).toMatchObject({ sequence: 1, rows: 2, repeated: false })
        const again = yield* store.ingest("flights", rows, { key: "a" })
        expect(again).toEqual({ ...first, repeated: true })
        const other = yield* datasetOf([row])
        const refused = yield* Effect.flip(store.ingest(flights, other, { key: "a" }))
        expect(refused.reason).toBe("Conflict")
        expect(yield* store.ingest(flights, other, { key: "b" })).toMatchObject({ sequence: 2 })
      }),
    ))

  it.each([
    ["no such column", { tail: Float64Array.of(1) }, /no column 'time'/],
    ["a time that is no time", { time: Float64Array.of(1) }, /'time'/],
    ["a missing time", { time: { micros: [null] } }, /no usable time/],
    ["an infinite number", { delay: Float64Array.of(Infinity) }, /row 0 is Infinity/],
  ])("refuses %s", async (_, change, message) => {
    const columns: Record<string, Dataset.ColumnInput> = {
      origin: ["SFO"],
      destination: ["JFK"],
      tail: Float64Array.of(1),
      time: { micros: [0] },
      created: { micros: [0] },
      delay: Float64Array.of(1),
    }
    const given: Record<string, Dataset.ColumnInput> =
      "tail" in change ? { tail: change.tail } : { ...columns, ...change }
    const error = await failureOf((store) =>
      Effect.gen(function* () {
        yield* store.apply([service])
        return yield* store.ingest(flights, yield* Dataset.fromColumns(given), { key: "k" })
      }),
    )
    expect(error.reason).toBe("InvalidInput")
    expect(error.message).toMatch(message)
  })

  it("refuses a key that is no name, and a path as a key", async () => {
    for (const key of ["", "../x", "a b"]) {
      const error = await failureOf((store) =>
        Effect.flatMap(datasetOf([row]), (rows) => store.ingest(flights, rows, { key })),
      )
      expect(error.reason).toBe("InvalidInput")
    }
  })
})

describe("training frames", () => {
  const labels = Dataset.fromColumns({
    origin: ["SFO", "LAX", "SFO", "SFO"],
    destination: ["JFK", "JFK", "JFK", "JFK"],
    tail: Float64Array.of(1, 1, 1, 1),
    time: { micros: [2 * hour, 2 * hour, 0, 2 * hour] },
    distance: Float64Array.of(1, 2, 3, 4),
    late: Int32Array.of(0, 1, 0, 1),
  })

  it("keep rows, order, duplicates and columns, with nulls on a miss", () =>
    run((store) =>
      Effect.gen(function* () {
        yield* store.apply([service])
        yield* store.ingest(flights, yield* datasetOf([row]), { key: "a" })
        const frame = yield* store.trainingFrame({
          service: "flight_risk",
          labels: yield* labels,
          timestamp: "time",
        })
        const table = yield* Dataset.table(frame)
        expect(table.schema.names.slice(0, 6)).toEqual([
          "origin",
          "destination",
          "tail",
          "time",
          "distance",
          "late",
        ])
        expect(table.schema.names.slice(6)).toEqual(service.features)
        expect([...(yield* Dataset.float64(table, "late"))]).toEqual([0, 1, 0, 1])
        const mean = yield* Dataset.float64(table, "origin_delays__delay_mean_6h")
        expect([...mean]).toEqual([20, NaN, NaN, 20])
        expect(table.getChild("origin_delays__delay_mean_6h")?.nullCount).toBe(2)
        expect(yield* Dataset.strings(table, "planes__destination")).toEqual([
          "JFK",
          "JFK",
          null,
          "JFK",
        ])
      }),
    ))

  it("have float32 numbers when the service says so", () =>
    run((store) =>
      Effect.gen(function* () {
        const narrow = FeatureService.make({
          name: "narrow",
          views: [originDelays],
          precision: "float32",
        })
        yield* store.apply([narrow])
        yield* store.ingest(flights, yield* datasetOf([{ ...row, delay: 0.1 }]), { key: "a" })
        const given = { service: "narrow", labels: yield* labels, timestamp: "time" }
        const table = yield* Dataset.table(yield* store.trainingFrame(given))
        expect(String(table.getChild("delay_mean_6h")?.type)).toBe("Float32")
        yield* store.materialize({ service: "narrow", at: 2 * hour })
        const entities = { origin: ["SFO"] }
        const vectors = yield* store.vectors({ service: "narrow", entities, at: 2 * hour })
        const at = vectors.names.indexOf("delay_mean_6h")
        expect(vectors.values[at]).toEqual(Float32Array.of(0.1))
        expect(table.getChild("delay_mean_6h")?.get(0)).toBe(Math.fround(0.1))
      }),
    ))

  it("report unknown services, empty sources, missing columns and clashing names", async () => {
    const frameOf = (name: string, given: typeof labels, ingest: boolean) =>
      failureOf((store) =>
        Effect.gen(function* () {
          yield* store.apply([service])
          if (ingest) yield* store.ingest(flights, yield* datasetOf([row]), { key: "a" })
          return yield* store.trainingFrame({
            service: name,
            labels: yield* given,
            timestamp: "time",
          })
        }),
      )
    expect(await frameOf("nope", labels, true)).toMatchObject({ reason: "NotFound" })
    expect(await frameOf("flight_risk", labels, false)).toMatchObject({ reason: "NotFound" })
    const only = Dataset.fromColumns({ time: { micros: [0] } })
    expect(await frameOf("flight_risk", only, true)).toMatchObject({ reason: "InvalidInput" })
    const clash = Effect.flatMap(labels, (given) =>
      Dataset.withColumns(given, { planes__delay: new Float64Array(4) }),
    )
    expect((await frameOf("flight_risk", clash, true)).message).toContain("planes__delay")
  })
})

it("reports a request view that throws or returns the wrong shape", async () => {
  const define = (compute: (columns: { readonly x: Float64Array }) => { y: Float64Array }) =>
    FeatureService.make({
      name: "s",
      views: [
        RequestView.make({
          name: "r",
          inputs: { x: "float64" },
          features: { y: "float64" },
          compute,
        }),
      ],
    })
  const ask = (given: FeatureService.FeatureService) =>
    failureOf((store) => store.vectors({ service: given, entities: { x: [1, 2] } }))
  expect((await ask(define(() => ({ y: Float64Array.of(1) })))).message).toContain("2 values")
  const thrower = define(() => {
    throw new Error("boom")
  })
  expect((await ask(thrower)).message).toContain("boom")
})

it("implements core's FeatureSource port", async () => {
  const program = Effect.gen(function* () {
    const source = yield* FeatureSource.FeatureSource
    return yield* Effect.flip(source.vectors({ service: "nope", entities: { a: [1] } }))
  })
  const layer = Layer.provide(FeatureStore.featureSourceLayer, inMemory)
  const error = await Effect.runPromise(Effect.provide(program, layer))
  expect(error).toMatchObject({ _tag: "FeatureSourceError", reason: "NotFound" })
})

it("has a Promise face with the same errors", async () => {
  await using store = await make({
    database: Sqlite.layer({ file: ":memory:" }),
    blobs: CoreMemory.layer,
    online: OnlineMemory.layer,
  })
  await store.apply([service])
  await store.ingest(flights, await Effect.runPromise(datasetOf([row])), { key: "a" })
  const done = await store.materialize({ at: 2 * hour })
  expect(done.views.map(({ rows }) => rows)).toEqual([1, 1, 1])
  await expect(store.service("nope")).rejects.toMatchObject({ code: "FeatureStoreError.NotFound" })
})
