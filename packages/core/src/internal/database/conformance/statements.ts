import * as Effect from "effect/Effect"
import { sql } from "kysely"
import { page } from "../../../Keyset.ts"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { type DatabaseCase, type Item, withTable } from "./table.ts"

const rows = (count: number): ReadonlyArray<Item> =>
  Array.from({ length: count }, (_, i) => ({
    id: i,
    name: `n${i}`,
    score: i / 3,
    body: null,
  }))

/** Values, errors, prepared queries, batches and pages. */
export const statementCases: ReadonlyArray<DatabaseCase> = [
  {
    name: "values come back as they went in",
    run: withTable(({ db, build, item }) =>
      Effect.gen(function* () {
        const values: ReadonlyArray<Item> = [
          { id: Number.MAX_SAFE_INTEGER, name: "é 😀 ' \" \\ \n", score: 0.1, body: null },
          { id: Number.MIN_SAFE_INTEGER, name: "", score: 1e300, body: Uint8Array.of(0, 255, 7) },
          { id: 1_700_000_000_000_000, name: "a", score: -Infinity, body: new Uint8Array(0) },
          { id: 0, name: null, score: null, body: null },
        ]
        for (const value of values) yield* db.run(build.insertInto(item).values(value))
        for (const value of values) {
          const found = yield* db.first(
            build.selectFrom(item).selectAll().where("id", "=", value.id),
          )
          const body = found?.body == null ? null : Uint8Array.from(found.body)
          yield* equal({ ...found, body }, { ...value }, `row ${value.id}`)
        }
      }),
    ),
  },
  {
    name: "booleans are 1 and 0",
    run: withTable(({ db, build, item }) =>
      Effect.gen(function* () {
        yield* db.insertMany(item, [{ id: 1, score: true, name: null, body: null }])
        const found = yield* db.first(
          build.selectFrom(item).select(["score", sql<number>`id = 1`.as("same")]),
        )
        yield* equal({ ...found }, { score: 1, same: 1 }, "a boolean")
      }),
    ),
  },
  {
    name: "sums and counts are numbers",
    run: withTable(({ db, build, item, add }) =>
      Effect.gen(function* () {
        yield* add(2)
        yield* add(5)
        const found = yield* db.first(
          build
            .selectFrom(item)
            .select((e) => [
              e.fn.countAll<number>().as("count"),
              e.fn.sum<number>("id").as("sum"),
              e.fn.avg<number>("id").as("avg"),
            ]),
        )
        yield* equal({ ...found }, { count: 2, sum: 7, avg: 3.5 }, "aggregates")
      }),
    ),
  },
  {
    name: "an integer beyond 2^53 is an error, never another number",
    run: withTable(({ db, build, item }) =>
      Effect.gen(function* () {
        yield* db.insertMany(item, [{ id: 2n ** 60n + 1n }])
        yield* fails(db.all(build.selectFrom(item).select("id")), "InvalidInput")
        const text = yield* db.first(
          sql<{ id: string }>`select cast(id as text) as id from ${sql.table(item)}`,
        )
        yield* equal(text?.id, String(2n ** 60n + 1n), "the integer as text")
      }),
    ),
  },
  {
    name: "a value no column holds is InvalidInput and writes nothing",
    run: withTable(({ db, item, ids }) =>
      Effect.gen(function* () {
        for (const bad of [undefined, Number.NaN, new Date(0), { a: 1 }, [1], 2n ** 64n]) {
          yield* fails(db.insertMany(item, [{ id: 1 }, { id: bad }]), "InvalidInput")
        }
        yield* equal(yield* ids, [], "rows")
      }),
    ),
  },
  {
    name: "a taken key is AlreadyExists",
    run: withTable(({ add }) =>
      Effect.gen(function* () {
        yield* add(1, "a")
        yield* fails(add(1, "b"), "AlreadyExists")
        yield* fails(add(2, "a"), "AlreadyExists")
      }),
    ),
  },
  {
    name: "a broken rule of the table is InvalidInput",
    run: withTable(({ db, item }) =>
      fails(db.insertMany(item, [{ id: 1, score: -13 }]), "InvalidInput"),
    ),
  },
  {
    name: "a wrong statement is InvalidInput",
    run: withTable(({ db, item }) =>
      Effect.andThen(
        fails(db.all(sql`selct 1`), "InvalidInput"),
        fails(db.all(sql`select nothing from ${sql.table(item)}`), "InvalidInput"),
      ),
    ),
  },
  {
    name: "run tells how many rows changed",
    run: withTable(({ db, build, item }) =>
      Effect.gen(function* () {
        yield* db.insertMany(item, rows(5))
        const changed = yield* db.run(
          build.updateTable(item).set({ score: 1 }).where("id", ">=", 3),
        )
        yield* equal(changed, { rows: 2 }, "an update")
        const removed = yield* db.all(build.deleteFrom(item).where("id", "=", 4).returning("id"))
        yield* equal(
          removed.map((row) => row.id),
          [4],
          "a delete that returns",
        )
        const none = yield* db.run(build.deleteFrom(item).where("id", "=", 99))
        yield* equal(none, { rows: 0 }, "a delete of nothing")
      }),
    ),
  },
  {
    name: "first gives the first row, or undefined",
    run: withTable(({ db, build, item, add }) =>
      Effect.gen(function* () {
        const query = build.selectFrom(item).select("id").orderBy("id")
        yield* equal(yield* db.first(query), undefined, "first of nothing")
        yield* add(2)
        yield* add(1)
        yield* equal((yield* db.first(query))?.id, 1, "first of two")
      }),
    ),
  },
  {
    name: "text sorts by its bytes and LIKE minds case",
    run: withTable(({ db, build, item, add }) =>
      Effect.gen(function* () {
        for (const [i, name] of ["b", "Z", "é", "a", "_"].entries()) yield* add(i, name)
        const sorted = yield* db.all(build.selectFrom(item).select("name").orderBy("name"))
        yield* equal(
          sorted.map((row) => row.name),
          ["Z", "_", "a", "b", "é"],
          "the order",
        )
        const like = yield* db.all(
          build.selectFrom(item).select("name").where("name", "like", "z%"),
        )
        yield* equal(like.length, 0, "LIKE 'z%'")
      }),
    ),
  },
  {
    name: "a prepared query binds anew each time",
    promise: false,
    run: withTable(({ db, item }) =>
      Effect.gen(function* () {
        yield* db.insertMany(item, rows(10))
        const between = db.prepare<{ item: Item }, readonly [number, number], { id: number }>(
          (build, [below, from]) =>
            build
              .selectFrom(item)
              .select("id")
              .where("name", "!=", "n3")
              .where("id", ">=", from)
              .where("id", "<", below)
              .orderBy("id"),
          2,
        )
        const [a, b] = yield* Effect.all([between(5, 2), between(9, 7)], { concurrency: 2 })
        yield* equal(
          a.map((row) => row.id),
          [2, 4],
          "the first call",
        )
        yield* equal(
          b.map((row) => row.id),
          [7, 8],
          "the second call",
        )
        yield* fails(between(Number.NaN, 1), "InvalidInput")
      }),
    ),
  },
  {
    name: "insertMany inserts more rows than one statement holds",
    run: withTable(({ db, item, ids }) =>
      Effect.gen(function* () {
        const changed = yield* db.insertMany(item, rows(2345))
        yield* equal(changed, { rows: 2345 }, "changes")
        yield* equal((yield* ids).length, 2345, "rows")
        yield* equal(yield* db.insertMany(item, []), { rows: 0 }, "an empty batch")
      }),
    ),
  },
  {
    name: "insertMany inserts all rows or none",
    run: withTable(({ db, item, ids }) =>
      Effect.gen(function* () {
        const twice = [...rows(2345), ...rows(1)]
        yield* fails(db.insertMany(item, twice), "AlreadyExists")
        yield* equal(yield* ids, [], "rows after a failure")
        const changed = yield* db.insertMany(item, twice, { onConflict: "ignore" })
        yield* equal(changed, { rows: 2345 }, "with onConflict ignore")
      }),
    ),
  },
  {
    name: "insertMany refuses rows with other columns",
    run: withTable(({ db, item, ids }) =>
      Effect.gen(function* () {
        yield* fails(db.insertMany(item, [{ id: 1 }, { id: 2, name: "b" }]), "InvalidInput")
        yield* fails(db.insertMany(item, [{ id: 1, name: "a" }, { id: 2 }]), "InvalidInput")
        yield* fails(db.insertMany(item, [{ 'id") values (1); --': 1 }]), "InvalidInput")
        yield* equal(yield* ids, [], "rows")
      }),
    ),
  },
  {
    name: "keyset pages walk every row once, in order",
    run: withTable(({ db, build, item }) =>
      Effect.gen(function* () {
        yield* db.insertMany(
          item,
          rows(25).map((row) => ({ ...row, score: row.id % 3 })),
        )
        for (const direction of ["asc", "desc"] as const) {
          const keys = [
            { column: "score", direction: "asc" },
            { column: "id", direction },
          ] as const
          const seen: Array<number> = []
          let token: string | undefined
          do {
            const request = { limit: 10, ...(token === undefined ? {} : { token }) }
            const found = yield* page(db, build.selectFrom(item).select(["id", "score"]), request, {
              keys,
            })
            seen.push(...found.items.map(({ id }) => id))
            token = found.next
          } while (token !== undefined)
          const sign = direction === "asc" ? 1 : -1
          const expected = rows(25)
            .map(({ id }) => id)
            .toSorted((a, b) => (a % 3) - (b % 3) || sign * (a - b))
          yield* equal(seen, expected, `pages with id ${direction}`)
        }
        const all = build.selectFrom(item).select("id")
        const options = { keys: [{ column: "id" }] } as const
        yield* fails(page(db, all, { token: "nonsense" }, options), "InvalidInput")
        yield* fails(page(db, all, { limit: 0 }, options), "InvalidInput")
        const whole = yield* page(db, all, { limit: 25 }, options)
        yield* ensure(whole.next === undefined, "the last page has no token")
      }),
    ),
  },
]
