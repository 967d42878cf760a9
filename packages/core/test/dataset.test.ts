import { Dataset } from "@ashlar/core"
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const run = <A>(effect: Effect.Effect<A, Dataset.DatasetError>): Promise<A> =>
  Effect.runPromise(effect)

const fails = (effect: Effect.Effect<unknown, Dataset.DatasetError>) =>
  Effect.runPromise(Effect.flip(Effect.map(effect, () => "it succeeded")))

const flights = Dataset.fromColumns({
  delay: Float64Array.of(3, -2, 41, 7),
  origin: ["SFO", "JFK", null, "SFO"],
  time: { micros: Float64Array.of(0, 1, Number.NaN, 1e15) },
  big: BigInt64Array.of(1n, -1n, 2n ** 53n, -(2n ** 40n)),
  late: [false, false, true, null],
  carrier: { codes: Int32Array.of(1, 0, -1, 1), values: ["AA", "UA"] },
})

const tableOf = () => run(Effect.flatMap(flights, (ds) => Dataset.table(ds)))

/** The same rows cut into batches of the given lengths. */
const cut = async (lengths: ReadonlyArray<number>) => {
  const whole = await tableOf()
  const batches: Array<Arrow.RecordBatch> = []
  let at = 0
  for (const length of lengths) {
    batches.push(...whole.slice(at, at + length).batches)
    at += length
  }
  return Dataset.fromBatches(whole.schema, batches)
}

describe("columns", () => {
  it("read back what was put in", async () => {
    const table = await tableOf()
    expect(await run(Dataset.float64(table, "delay"))).toEqual(Float64Array.of(3, -2, 41, 7))
    expect(await run(Dataset.float64(table, "big"))).toEqual(
      Float64Array.of(1, -1, 2 ** 53, -(2 ** 40)),
    )
    expect(await run(Dataset.bigint64(table, "big"))).toEqual(
      BigInt64Array.of(1n, -1n, 2n ** 53n, -(2n ** 40n)),
    )
    expect(await run(Dataset.strings(table, "origin"))).toEqual(["SFO", "JFK", null, "SFO"])
    expect(await run(Dataset.dictionary(table, "origin"))).toEqual({
      codes: Int32Array.of(0, 1, -1, 0),
      values: ["SFO", "JFK"],
    })
    expect(await run(Dataset.strings(table, "carrier"))).toEqual(["UA", "AA", null, "UA"])
    expect(await run(Dataset.micros(table, "time"))).toEqual(
      Float64Array.of(0, 1, Number.NaN, 1e15),
    )
    expect(await run(Dataset.float64(table, "late"))).toEqual(Float64Array.of(0, 0, 1, Number.NaN))
    expect(await run(Dataset.valid(table, "late"))).toEqual(Uint8Array.of(1, 1, 1, 0))
  })

  it("read the same whatever the batches are", async () => {
    const whole = await tableOf()
    const pieces = await run(Dataset.table(await cut([1, 2, 1])))
    for (const name of ["delay", "big", "late"]) {
      expect(await run(Dataset.float64(pieces, name))).toEqual(
        await run(Dataset.float64(whole, name)),
      )
    }
    expect(await run(Dataset.strings(pieces, "origin"))).toEqual(["SFO", "JFK", null, "SFO"])
    expect(await run(Dataset.strings(pieces, "carrier"))).toEqual(["UA", "AA", null, "UA"])
  })

  it("read every timestamp and date unit", async () => {
    const instant = Date.UTC(2001, 0, 13, 12)
    const columns = {
      s: Arrow.vectorFromArray([instant], new Arrow.TimestampSecond()),
      ms: Arrow.vectorFromArray([instant], new Arrow.TimestampMillisecond()),
      us: Arrow.vectorFromArray([instant], new Arrow.TimestampMicrosecond()),
      ns: Arrow.vectorFromArray([instant], new Arrow.TimestampNanosecond()),
      day: Arrow.vectorFromArray([new Date(instant)], new Arrow.DateDay()),
    }
    const table = await run(Effect.flatMap(Dataset.fromColumns(columns), (ds) => Dataset.table(ds)))
    for (const name of ["s", "ms", "us", "ns"]) {
      expect(await run(Dataset.micros(table, name))).toEqual(Float64Array.of(instant * 1000))
    }
    expect(await run(Dataset.micros(table, "day"))).toEqual(
      Float64Array.of(Date.UTC(2001, 0, 13) * 1000),
    )
  })

  it("refuse unknown names, wrong types, nulls and inexact numbers, naming the column", async () => {
    const table = await tableOf()
    const unknown = await fails(Dataset.float64(table, "delays"))
    expect(unknown).toMatchObject({ _tag: "DatasetError", reason: "InvalidInput", field: "delays" })
    expect(unknown.message).toContain("'delay'")
    expect((await fails(Dataset.float64(table, "origin"))).message).toContain(
      "string, not a number",
    )
    expect((await fails(Dataset.strings(table, "delay"))).message).toContain("float64, not string")
    expect((await fails(Dataset.micros(table, "delay"))).message).toContain("not a timestamp")
    expect((await fails(Dataset.booleans(table, "late"))).message).toContain("row 3 is null")
    const big = await run(Dataset.fromColumns({ id: BigInt64Array.of(1n, 2n ** 53n + 2n) }))
    const refused = await fails(Dataset.float64(await run(Dataset.table(big)), "id"))
    expect(refused.message).toContain("row 1: 9007199254740994 is beyond 2^53")
  })

  it("refuse columns of different length, mixed types and unknown layouts", async () => {
    const a = Float64Array.of(1)
    expect((await fails(Dataset.fromColumns({ a, b: ["x", "y"] }))).message).toContain(
      "same length",
    )
    const mixed = [1, "x"] as unknown as ReadonlyArray<number>
    expect((await fails(Dataset.fromColumns({ a: mixed }))).message).toContain("row 1 is a string")
    expect((await fails(Dataset.fromColumns({ a: [null] }))).message).toContain("typed array")
    const codes = { codes: Int32Array.of(2), values: ["x"] }
    expect((await fails(Dataset.fromColumns({ a: codes }))).message).toContain("code 2 is outside")
    const micros = { micros: Float64Array.of(0.5) }
    expect((await fails(Dataset.fromColumns({ a: micros }))).message).toContain("whole number")
  })
})

describe("operations", () => {
  it("select, rename, widen, filter, take, slice and concatenate", async () => {
    const ds = await cut([2, 2])
    const out = await run(
      Effect.gen(function* () {
        const two = yield* Dataset.select(ds, ["origin", "delay"])
        const named = yield* Dataset.rename(two, { delay: "minutes" })
        const wide = yield* Dataset.withColumns(named, { row: Int32Array.of(0, 1, 2, 3) })
        const kept = yield* Dataset.filter(wide, Uint8Array.of(1, 0, 0, 1))
        const twice = yield* Dataset.concat([kept, Dataset.slice(wide, 1, 3)])
        const table = yield* Dataset.table(twice)
        const taken = yield* Dataset.table(yield* Dataset.take(twice, Int32Array.of(3, 0, 0)))
        return {
          names: table.schema.names,
          rows: [twice.rows, table.numRows],
          row: yield* Dataset.float64(table, "row"),
          minutes: yield* Dataset.float64(table, "minutes"),
          origin: yield* Dataset.strings(taken, "origin"),
        }
      }),
    )
    expect(out).toEqual({
      names: ["origin", "minutes", "row"],
      rows: [4, 4],
      row: Float64Array.of(0, 3, 1, 2),
      minutes: Float64Array.of(3, 7, -2, 41),
      origin: [null, "SFO", "SFO"],
    })
  })

  it("can be read again", async () => {
    const ds = await run(Dataset.filter(await cut([3, 1]), Uint8Array.of(1, 1, 0, 1)))
    const first = await run(Dataset.digest(ds))
    expect(await run(Dataset.digest(ds))).toBe(first)
  })

  it("refuse what does not fit", async () => {
    const ds = await cut([2, 2])
    expect((await fails(Dataset.select(ds, ["nope"]))).message).toContain("no column 'nope'")
    expect((await fails(Dataset.rename(ds, { delay: "origin" }))).message).toContain("two columns")
    expect((await fails(Dataset.filter(ds, new Uint8Array(3)))).message).toContain("3 bytes")
    expect((await fails(Dataset.take(ds, Int32Array.of(4)))).message).toContain("outside 0..3")
    expect((await fails(Dataset.withColumns(ds, { x: new Float64Array(5) }))).message).toContain(
      "'x' has 5 rows",
    )
    expect(await fails(Dataset.table(ds, { maxRows: 3 }))).toMatchObject({ reason: "TooLarge" })
    const other = await run(Dataset.fromColumns({ delay: new Int32Array(1) }))
    expect((await fails(Dataset.concat([ds, other]))).field).toBe("datasets[1]")
    expect((await fails(Dataset.expect(ds, { delay: "string" }))).message).toContain(
      "'delay' is float64, wanted string",
    )
    await run(Dataset.expect(ds, { delay: "number", origin: "string", carrier: "string" }))
  })

  it("check lengths at the end when the number of rows is not known before", async () => {
    const known = await cut([2, 2])
    const ds = { ...known, rows: undefined }
    const long = await run(Dataset.withColumns(ds, { x: new Float64Array(5) }))
    expect((await fails(Dataset.table(long))).message).toContain("the dataset has 4")
    const short = await run(Dataset.withColumns(ds, { x: new Float64Array(3) }))
    expect((await fails(Dataset.table(short))).message).toContain("the dataset has more")
  })
})

describe("digest", () => {
  it("does not depend on batches or dictionary encoding", async () => {
    const reference = await run(Dataset.digest(await cut([4])))
    for (const lengths of [
      [1, 1, 1, 1],
      [3, 1],
      [1, 3],
      [2, 2],
    ]) {
      expect(await run(Dataset.digest(await cut(lengths)))).toBe(reference)
    }
    const values = ["b", "a", null, "b"]
    const plain = await run(Dataset.fromColumns({ k: values }))
    const coded = await run(
      Dataset.fromColumns({
        k: { codes: Int32Array.of(0, 1, -1, 0), values: ["b", "a", "unused"] },
      }),
    )
    const large = await run(
      Dataset.fromColumns({ k: Arrow.vectorFromArray(values, new Arrow.LargeUtf8()) }),
    )
    const digest = await run(Dataset.digest(plain))
    expect(await run(Dataset.digest(coded))).toBe(digest)
    expect(await run(Dataset.digest(large))).toBe(digest)
  })

  it("changes with a value, a null, a name, a type and the order of rows", async () => {
    const digests = await Promise.all(
      [
        { a: Float64Array.of(1, 2) },
        { a: Float64Array.of(1, 3) },
        { a: [1, null] },
        { b: Float64Array.of(1, 2) },
        { a: Float32Array.of(1, 2) },
        { a: Float64Array.of(2, 1) },
        { a: ["1", "2"] },
        { a: ["12", ""] },
        { a: ["", "12"] },
      ].map((columns) => run(Effect.flatMap(Dataset.fromColumns(columns), Dataset.digest))),
    )
    expect(new Set(digests).size).toBe(digests.length)
  })

  it("holds for any rows, masks and cuts", async () => {
    const rows = fc.array(
      fc.record({
        n: fc.option(fc.double()),
        s: fc.option(fc.string({ unit: "grapheme" })),
        keep: fc.boolean(),
      }),
      { minLength: 1, maxLength: 40 },
    )
    await fc.assert(
      fc.asyncProperty(rows, fc.nat({ max: 40 }), async (items, at) => {
        const columns = (list: typeof items) => ({
          n: Arrow.vectorFromArray(
            list.map((r) => r.n),
            new Arrow.Float64(),
          ),
          s: { strings: list.map((r) => r.s) },
        })
        const ds = await run(Dataset.fromColumns(columns(items)))
        const halves = await run(Dataset.concat([Dataset.slice(ds, 0, at), Dataset.slice(ds, at)]))
        expect(await run(Dataset.digest(halves))).toBe(await run(Dataset.digest(ds)))
        const mask = Uint8Array.from(items, (r) => (r.keep ? 1 : 0))
        const kept = await run(Dataset.fromColumns(columns(items.filter((r) => r.keep))))
        const filtered = await run(Dataset.filter(halves, mask))
        expect(await run(Dataset.digest(filtered))).toBe(await run(Dataset.digest(kept)))
        const indices = Int32Array.from(items.flatMap((r, i) => (r.keep ? [i] : [])))
        const taken = await run(Dataset.take(halves, indices))
        expect(await run(Dataset.digest(taken))).toBe(await run(Dataset.digest(kept)))
        const back = await run(Dataset.strings(await run(Dataset.table(taken)), "s"))
        expect(back).toEqual(items.filter((r) => r.keep).map((r) => r.s))
      }),
      { numRuns: 60 },
    )
  })
})

describe("many distinct strings", () => {
  it.each([511, 512, 513, 1000, 5000, 100_000])(
    "%i of them come back as they were",
    async (count) => {
      const strings = Array.from({ length: count }, (_, i) => `${"x".repeat(i % 23)}${i}`)
      const twice = [...strings, ...strings.toReversed()]
      const { codes, read } = await Effect.runPromise(
        Effect.gen(function* () {
          const ds = yield* Dataset.fromColumns({ key: { strings: twice } })
          const table = yield* Dataset.table(ds)
          return {
            codes: yield* Dataset.dictionary(table, "key"),
            read: yield* Dataset.strings(table, "key"),
          }
        }),
      )
      expect(read).toEqual(twice)
      expect(codes.values.length).toBe(count)
    },
  )
})

describe("what looks right and is not", () => {
  const columnOf = (values: BigInt64Array) =>
    run(Effect.flatMap(Dataset.fromColumns({ a: values }), (ds) => Dataset.table(ds)))

  it("an integer of 2^53 + 1 is refused, 2^53 is not", async () => {
    for (const sign of [1n, -1n]) {
      const exact = await columnOf(BigInt64Array.of(sign * 2n ** 53n))
      expect(await run(Dataset.float64(exact, "a"))).toEqual(
        Float64Array.of(Number(sign) * 2 ** 53),
      )
      const inexact = await columnOf(BigInt64Array.of(sign * (2n ** 53n + 1n)))
      expect(await fails(Dataset.float64(inexact, "a"))).toMatchObject({ reason: "InvalidInput" })
    }
  })

  it("what lies under a null is no value", async () => {
    const type = new Arrow.Int64()
    const data = Arrow.makeData({
      type,
      length: 2,
      nullCount: 1,
      nullBitmap: Uint8Array.of(1),
      data: BigInt64Array.of(7n, 2n ** 62n),
    })
    const table = new Arrow.Table({ a: new Arrow.Vector([data]) })
    expect(await run(Dataset.float64(table, "a"))).toEqual(Float64Array.of(7, Number.NaN))
  })

  it("a mask longer than a dataset of unknown length is refused", async () => {
    const ds = await run(Dataset.fromColumns({ a: Float64Array.of(1, 2, 3) }))
    const unknown = Dataset.fromBatches(ds.schema, ds.batches)
    const filtered = await run(Dataset.filter(unknown, new Uint8Array(10).fill(1)))
    expect(await fails(Dataset.table(filtered))).toMatchObject({ field: "mask" })
  })

  it("concatenated columns may hold nulls where one of them may", async () => {
    const parts = [await run(Dataset.fromColumns({ t: ["x"] }))]
    parts.push(await run(Dataset.fromColumns({ t: ["x", null] })))
    const whole = await run(Dataset.concat(parts))
    expect(whole.schema.fields[0]?.nullable).toBe(true)
    expect((await run(Dataset.table(whole))).schema.fields[0]?.nullable).toBe(true)
  })

  it("a column selected twice and a limit of NaN are refused", async () => {
    const ds = await run(Dataset.fromColumns({ a: Float64Array.of(1) }))
    expect(await fails(Dataset.select(ds, ["a", "a"]))).toMatchObject({ field: "a" })
    expect(await fails(Dataset.table(ds, { maxRows: Number.NaN }))).toMatchObject({
      reason: "TooLarge",
    })
  })
})
