import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { pathToFileURL } from "node:url"
import { Dataset } from "@ashlar/core"
import * as parquet from "@ashlar/core/parquet"
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as fc from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"

const run = <A>(effect: Effect.Effect<A, Dataset.DatasetError>): Promise<A> =>
  Effect.runPromise(effect)

const fails = (effect: Effect.Effect<unknown, Dataset.DatasetError>) =>
  Effect.runPromise(Effect.flip(Effect.map(effect, () => "it succeeded")))

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ashlar-parquet-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const rows = 1000

const sample = () =>
  run(
    Dataset.fromColumns({
      delay: Float64Array.from({ length: rows }, (_, i) => (i % 7 === 0 ? Number.NaN : i / 3)),
      id: BigInt64Array.from({ length: rows }, (_, i) => 2n ** 60n + BigInt(i)),
      small: Uint8Array.from({ length: rows }, (_, i) => i),
      origin: Array.from({ length: rows }, (_, i) => (i % 5 === 0 ? null : `ÅP${i % 40}`)),
      late: Array.from({ length: rows }, (_, i) => (i % 11 === 0 ? null : i % 2 === 0)),
      time: { micros: Float64Array.from({ length: rows }, (_, i) => i * 1e6 + 1) },
      carrier: {
        codes: Int32Array.from({ length: rows }, (_, i) => (i % 3) - 1),
        values: ["AA", "UA"],
      },
      tags: Arrow.vectorFromArray(
        Array.from({ length: rows }, (_, i) =>
          i % 13 === 0 ? null : Array.from({ length: i % 4 }, (_, k) => i + k),
        ),
        new Arrow.List(new Arrow.Field("item", new Arrow.Int32(), true)),
      ),
      place: Arrow.vectorFromArray(
        Array.from({ length: rows }, (_, i) => ({ lat: i, lon: `l${i}` })),
        new Arrow.Struct([
          new Arrow.Field("lat", new Arrow.Float32(), true),
          new Arrow.Field("lon", new Arrow.Utf8(), true),
        ]),
      ),
    }),
  )

describe("write and read", () => {
  it.each(["zstd", "snappy", "none"] as const)(
    "gives the same rows with %s",
    async (compression) => {
      const ds = await sample()
      const file = path.join(folder, `${compression}.parquet`)
      const written = await run(parquet.write(ds, file, { compression, groupRows: 300 }))
      expect(written.rows).toBe(rows)
      expect(written.bytes).toBe((await readFile(file)).length)
      const back = await run(parquet.read(file))
      expect(back.rows).toBe(rows)
      expect(await run(Dataset.digest(back))).toBe(written.digest)
      expect(await run(Dataset.digest(back))).toBe(await run(Dataset.digest(ds)))
      const time = back.schema.fields.find((field) => field.name === "time")
      expect(time?.type.timezone).toBe("UTC")
    },
  )

  it("reads from a URL, bytes and a range reader, with only the bytes of the columns asked for", async () => {
    const ds = await sample()
    const file = path.join(folder, "columns.parquet")
    await run(parquet.write(ds, file, { groupRows: 400, compression: "none" }))
    const bytes = await readFile(file)
    let touched = 0
    const reader: parquet.RangeReader = {
      name: "a test reader",
      size: bytes.length,
      read: (start, end) => {
        touched += end - start
        return Effect.succeed(bytes.subarray(start, end))
      },
    }
    const columns = ["place", "delay"]
    for (const source of [file, pathToFileURL(file), bytes, reader]) {
      const some = await run(parquet.read(source, { columns, batchRows: 64 }))
      expect(some.schema.names).toEqual(["delay", "place"])
      const wanted = await run(Dataset.select(ds, ["delay", "place"]))
      expect(await run(Dataset.digest(some))).toBe(await run(Dataset.digest(wanted)))
    }
    touched = 0
    const flags = await run(parquet.read(reader, { columns: ["late"] }))
    await run(Dataset.table(flags))
    expect(touched).toBeLessThan(bytes.length / 3)
  })

  it("keeps an empty table's columns", async () => {
    const ds = Dataset.slice(await sample(), 0, 0)
    const file = path.join(folder, "empty.parquet")
    expect(await run(parquet.write(ds, file))).toMatchObject({ rows: 0 })
    const back = await run(parquet.read(file))
    expect((await run(Dataset.table(back))).numRows).toBe(0)
    expect(back.schema.names).toEqual(ds.schema.names)
  })

  it("gives back any rows", async () => {
    const row = fc.record({
      n: fc.option(fc.double()),
      i: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
      s: fc.option(fc.string({ unit: "binary" })),
      b: fc.option(fc.boolean()),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 50 }),
        fc.integer({ min: 1, max: 60 }),
        async (items, groupRows) => {
          const column = (key: "n" | "i" | "b", type: Arrow.DataType) =>
            Arrow.vectorFromArray(
              items.map((r) => r[key]),
              type,
            )
          const ds = await run(
            Dataset.fromColumns({
              n: column("n", new Arrow.Float64()),
              i: column("i", new Arrow.Int64()),
              b: column("b", new Arrow.Bool()),
              s: { strings: items.map((r) => r.s) },
            }),
          )
          const file = path.join(folder, "any.parquet")
          const { digest } = await run(parquet.write(ds, file, { groupRows }))
          expect(await run(Dataset.digest(await run(parquet.read(file))))).toBe(digest)
        },
      ),
      { numRuns: 40 },
    )
  })
})

describe("what cannot be read", () => {
  const drain = (source: string | Uint8Array, options?: parquet.ReadOptions) =>
    Effect.flatMap(parquet.read(source, options), (ds) => Dataset.table(ds))

  it("is refused with the reason and what to do", async () => {
    const file = path.join(folder, "good.parquet")
    await run(parquet.write(await sample(), file, { groupRows: 500 }))
    const bytes = await readFile(file)
    expect(await fails(drain(path.join(folder, "missing.parquet")))).toMatchObject({
      reason: "NotFound",
    })
    expect(await fails(drain(folder))).toMatchObject({ reason: "InvalidInput" })
    expect(await fails(drain(new Uint8Array(0)))).toMatchObject({ reason: "InvalidInput" })
    const text = await fails(drain(Buffer.from("origin,destination\nSFO,JFK\n")))
    expect(text.message).toContain("not a Parquet file")
    const cut = await fails(drain(bytes.subarray(0, bytes.length >> 1)))
    expect(cut).toMatchObject({ reason: "Corrupt", code: "DatasetError.Corrupt" })
    expect(cut.message).toContain("truncated")
    const column = await fails(drain(file, { columns: ["delays"] }))
    expect(column).toMatchObject({ reason: "InvalidInput", field: "delays" })
    expect(column.message).toContain("'delay'")
    for (const limits of [{ rows: 999 }, { groupBytes: 1000 }, { footerBytes: 100 }]) {
      expect(await fails(drain(file, { limits }))).toMatchObject({ reason: "TooLarge" })
    }
    const footer = Buffer.from(bytes)
    footer.writeUInt32LE(0x7fffffff, footer.length - 8)
    expect((await fails(drain(footer))).message).toContain("footer")
  })

  it("fails the file alone, however it is damaged", async () => {
    const file = path.join(folder, "fuzzed.parquet")
    const { digest } = await run(
      parquet.write(Dataset.slice(await sample(), 0, 200), file, { groupRows: 100 }),
    )
    const bytes = await readFile(file)
    const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8)
    let refused = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ at: fc.nat(), inFooter: fc.boolean(), to: fc.nat({ max: 255 }) }), {
          minLength: 1,
          maxLength: 6,
        }),
        async (changes) => {
          const damaged = Buffer.from(bytes)
          for (const { at, inFooter, to } of changes) {
            const start = inFooter ? footer : 4
            damaged[start + (at % ((inFooter ? bytes.length - 8 : footer) - start))] = to
          }
          const outcome = await Effect.runPromise(Effect.result(drain(damaged)))
          const tag = outcome._tag === "Failure" ? outcome.failure._tag : "read"
          expect(["DatasetError", "read"]).toContain(tag)
          if (tag !== "read") refused += 1
        },
      ),
      { numRuns: 300, seed: 7 },
    )
    expect(refused).toBeGreaterThan(30)
    expect(await run(Dataset.digest(await run(parquet.read(file))))).toBe(digest)
  })

  it("is refused when it claims more rows than fit in memory", async () => {
    // A run-length page can claim 2^31 - 1 rows in a few bytes; the footer has to say so too.
    const file = path.join(folder, "claims.parquet")
    const ds = await run(Dataset.fromColumns({ a: new Int32Array(2000) }))
    await run(parquet.write(ds, file, { compression: "none" }))
    const bytes = await readFile(file)
    const varint = Buffer.from([0xa0, 0x1f])
    let claimed = bytes
    for (let at = claimed.indexOf(varint); at >= 0; at = claimed.indexOf(varint, at + 5)) {
      const grown = [claimed.subarray(0, at), Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f])]
      claimed = Buffer.concat([...grown, claimed.subarray(at + 2)])
    }
    const start = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8)
    const body = claimed.indexOf(bytes.subarray(start, start + 3))
    expect(body).toBeGreaterThan(0)
    claimed.writeUInt32LE(claimed.length - 8 - body, claimed.length - 8)
    expect(["TooLarge", "Corrupt"]).toContain((await fails(drain(claimed))).reason)
    expect((await run(drain(file))).numRows).toBe(2000)
  })
})

describe("a failed write", () => {
  it("leaves the old file and nothing else", async () => {
    const inside = await mkdtemp(path.join(folder, "write-"))
    const file = path.join(inside, "data.parquet")
    await writeFile(file, "old")
    const ds = await sample()
    const broken = Dataset.fromBatches(
      ds.schema,
      Stream.concat(
        ds.batches,
        Stream.fail(new Dataset.DatasetError({ reason: "Unavailable", message: "gone" })),
      ),
    )
    expect(await fails(parquet.write(broken, file, { groupRows: 100 }))).toMatchObject({
      reason: "Unavailable",
      message: "gone",
    })
    expect(await readFile(file, "utf8")).toBe("old")
    expect(await readdir(inside)).toEqual(["data.parquet"])
    const nowhere = path.join(inside, "no", "such.parquet")
    expect(await fails(parquet.write(ds, nowhere))).toMatchObject({ reason: "NotFound" })
  })
})
