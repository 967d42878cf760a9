/**
 * Conformance suite of the {@link OnlineStore} SPI.
 *
 * @module
 */
import { Id } from "@ashlar/core"
import { Conformance } from "@ashlar/core/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import {
  isNewer,
  OnlineStore,
  type OnlineRow,
  type OnlineStoreCapabilities,
  type OnlineWrite,
  type RowVersion,
} from "../OnlineStore.ts"

type Store = OnlineStore["Service"]
type Case = Conformance.Case<OnlineStore, OnlineStoreCapabilities>

const row = (key: string, version: RowVersion, bytes: ReadonlyArray<number>): OnlineWrite => ({
  key,
  version,
  event: version[0] - 1,
  payload: Uint8Array.from(bytes),
})

/** Rows as plain values: backends may return any kind of byte array and more fields. */
const plain = (rows: ReadonlyArray<OnlineRow | undefined>) =>
  rows.map((each) =>
    each === undefined
      ? undefined
      : { event: each.event, version: [...each.version], payload: [...each.payload] },
  )

const expectRows = (
  store: Store,
  table: string,
  keys: ReadonlyArray<string>,
  wanted: ReadonlyArray<OnlineRow | undefined>,
) =>
  Effect.flatMap(store.read(table, keys), (rows) =>
    Conformance.equal(plain(rows), plain(wanted), `rows of ${keys.slice(0, 5).join(", ")}`),
  )

const aCase = (
  name: string,
  run: (store: Store, table: string) => Effect.Effect<unknown, unknown>,
): Case => ({
  name,
  run: Effect.flatMap(OnlineStore, (store) => run(store, `conformance-${Id.make()}`)),
})

/** Small repeatable pseudo-random numbers (Lehmer). */
const random = (seed: number) => () => (seed = (seed * 48271) % 2147483647) / 2147483647

const shuffled = <A>(items: ReadonlyArray<A>, next: () => number): ReadonlyArray<A> =>
  items
    .map((item) => [next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item)

const micros = 1_700_000_000_000_000

const cases: ReadonlyArray<Case> = [
  aCase(
    "rows come back as written, in the order asked, keys repeated, undefined where none",
    (store, table) =>
      Effect.gen(function* () {
        const a = row("a", [micros, 2, 3], [0, 255, 128, 7])
        const b = row("b", [-5, 0, 1], [])
        yield* store.write(table, [a, b])
        yield* expectRows(store, table, ["b", "none", "a", "b"], [b, undefined, a, b])
        yield* expectRows(store, table, [], [])
      }),
  ),
  aCase("a row is replaced only by a newer version", (store, table) =>
    Effect.gen(function* () {
      const versions: ReadonlyArray<RowVersion> = [
        [micros, 5, 5],
        [micros, 5, 4],
        [micros, 4, 9],
        [micros - 1, 9, 9],
        [micros, 5, 6],
        [micros, 6, 0],
        [micros + 1, 0, 0],
      ]
      let newest: OnlineWrite | undefined
      for (const [i, version] of versions.entries()) {
        const next = row("k", version, [i])
        if (newest === undefined || isNewer(version, newest.version)) newest = next
        yield* store.write(table, [next])
        yield* expectRows(store, table, ["k"], [newest])
      }
      yield* store.write(table, [row("k", [micros + 1, 0, 0], [99])])
      yield* expectRows(store, table, ["k"], [newest])
    }),
  ),
  aCase("any order and repetition of the same writes ends in the same rows", (store, table) =>
    Effect.gen(function* () {
      const next = random(7)
      const writes = Array.from({ length: 60 }, (_, i) =>
        row(`k${i % 9}`, [micros + Math.floor(next() * 4), Math.floor(next() * 3), i], [i]),
      )
      const keys = Array.from({ length: 9 }, (_, i) => `k${i}`)
      const newest = keys.map((key) =>
        writes
          .filter((write) => write.key === key)
          .reduce((best, write) => (isNewer(write.version, best.version) ? write : best)),
      )
      for (let round = 0; round < 4; round++) {
        const order = shuffled([...writes, ...writes.slice(0, 20)], next)
        for (const write of order) yield* store.write(`${table}-${round}`, [write])
        yield* expectRows(store, `${table}-${round}`, keys, newest)
      }
    }),
  ),
  aCase("concurrent writers leave the newest rows", (store, table) =>
    Effect.gen(function* () {
      const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
      const writers = shuffled([1, 2, 3, 4, 5, 6, 7, 8], random(3))
      yield* Effect.forEach(
        writers,
        (writer) =>
          store.write(
            table,
            keys.map((key) => row(key, [micros + writer, 0, 0], [writer])),
          ),
        { concurrency: "unbounded" },
      )
      yield* expectRows(
        store,
        table,
        keys,
        keys.map((key) => row(key, [micros + 8, 0, 0], [8])),
      )
    }),
  ),
  aCase("tables do not see each other's rows", (store, table) =>
    Effect.gen(function* () {
      yield* store.write(table, [row("k", [1, 0, 0], [1])])
      yield* store.write(`${table}2`, [row("k", [2, 0, 0], [2])])
      yield* expectRows(store, table, ["k"], [row("k", [1, 0, 0], [1])])
      yield* expectRows(store, `${table}3`, ["k"], [undefined])
    }),
  ),
  aCase("keys are told apart byte by byte", (store, table) =>
    Effect.gen(function* () {
      const keys = ["a", "A", "a ", " a", "ä", "a\u0308", "'; --", "%", "_", '"', "x".repeat(900)]
      const rows = keys.map((key, i) => row(key, [i, 0, 0], [i]))
      yield* store.write(table, rows)
      yield* expectRows(store, table, keys, rows)
    }),
  ),
  aCase("thousands of rows are written and read in one call", (store, table) =>
    Effect.gen(function* () {
      const rows = Array.from({ length: 2345 }, (_, i) =>
        row(`key-${i}`, [i, i, i], [i & 255, i >> 8]),
      )
      yield* store.write(table, rows)
      yield* expectRows(
        store,
        table,
        rows.map(({ key }) => key),
        rows,
      )
      yield* Conformance.equal(yield* store.count(table), 2345, "number of rows")
    }),
  ),
  aCase("removed rows are gone, and removing nothing is no error", (store, table) =>
    Effect.gen(function* () {
      const kept = row("kept", [1, 0, 0], [1])
      yield* store.write(table, [row("gone", [1, 0, 0], [1]), kept])
      yield* store.remove(table, ["gone", "never"])
      yield* store.remove(table, [])
      yield* expectRows(store, table, ["gone", "kept"], [undefined, kept])
      yield* Conformance.equal(yield* store.count(table), 1, "number of rows")
    }),
  ),
]

type Rows = Map<string, OnlineRow>

/** A store in memory, with mistakes put in. */
const mistaken = (
  change: (store: Store, rows: Rows) => Partial<Store>,
  replaces: (next: RowVersion, old: RowVersion) => boolean = isNewer,
): Layer.Layer<OnlineStore> =>
  Layer.sync(OnlineStore, () => {
    const rows: Rows = new Map()
    const id = (table: string, key: string) => `${table}\0${key}`
    const store: Store = {
      name: "mistaken",
      capabilities: { durable: false },
      read: (table, keys) => Effect.sync(() => keys.map((key) => rows.get(id(table, key)))),
      write: (table, writes) =>
        Effect.sync(() => {
          for (const write of writes) {
            const old = rows.get(id(table, write.key))
            if (old === undefined || replaces(write.version, old.version)) {
              rows.set(id(table, write.key), write)
            }
          }
        }),
      remove: (table, keys) =>
        Effect.sync(() => keys.forEach((key) => rows.delete(id(table, key)))),
      count: (table) =>
        Effect.sync(() => [...rows.keys()].filter((key) => key.startsWith(`${table}\0`)).length),
    }
    return { ...store, ...change(store, rows) }
  })

const nameOf = (index: number): string => cases[index]?.name ?? ""

/**
 * What every OnlineStore must do. A backend's tests call `suite.run(name, layer)`; the cases write
 * only to tables whose names start with `conformance-`.
 */
export const suite: Conformance.Suite<OnlineStore, OnlineStoreCapabilities> = Conformance.define<
  OnlineStore,
  Store,
  OnlineStoreCapabilities
>({
  spi: OnlineStore,
  cases,
  brokenLayers: [
    {
      name: "answers each key once, sorted",
      layer: mistaken((store) => ({
        read: (table, keys) => store.read(table, [...new Set(keys)].sort()),
      })),
      mustFail: [nameOf(0)],
    },
    {
      name: "the last write wins",
      layer: mistaken(
        () => ({}),
        () => true,
      ),
      mustFail: [nameOf(1), nameOf(2), nameOf(3)],
    },
    {
      name: "compares only the first number of versions",
      layer: mistaken(
        () => ({}),
        (next, old) => next[0] > old[0],
      ),
      mustFail: [nameOf(1), nameOf(2)],
    },
    {
      name: "one table for all",
      layer: mistaken((store) => ({
        read: (_, keys) => store.read("all", keys),
        write: (_, rows) => store.write("all", rows),
      })),
      mustFail: [nameOf(4)],
    },
    {
      name: "folds keys",
      layer: mistaken((store) => ({
        read: (table, keys) =>
          store.read(
            table,
            keys.map((key) => key.trim().toLowerCase()),
          ),
        write: (table, rows) =>
          store.write(
            table,
            rows.map((each) => ({ ...each, key: each.key.trim().toLowerCase() })),
          ),
      })),
      mustFail: [nameOf(5)],
    },
    {
      name: "writes a thousand rows at most",
      layer: mistaken((store) => ({
        write: (table, rows) => store.write(table, rows.slice(0, 1000)),
      })),
      mustFail: [nameOf(6)],
    },
    {
      name: "removes nothing",
      layer: mistaken(() => ({ remove: () => Effect.void })),
      mustFail: [nameOf(7)],
    },
  ],
})

/** Registers the suite for a backend. */
export const run = suite.run
