import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { Dataset } from "@ashlar/core"
import * as parquet from "@ashlar/core/parquet"
import * as Effect from "effect/Effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { ask } from "./oracle.ts"

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ashlar-pyarrow-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const run = <A, E>(effect: Effect.Effect<A, E>) => Effect.runPromise(effect)

describe("Parquet with pyarrow", () => {
  it("is read by it, with every codec", async () => {
    const rows = 1000
    const ds = await run(
      Dataset.fromColumns({
        delay: Float64Array.from({ length: rows }, (_, i) => i / 2),
        id: BigInt64Array.from({ length: rows }, (_, i) => 2n ** 62n + BigInt(i)),
        origin: Array.from({ length: rows }, (_, i) => (i % 3 === 0 ? null : `Å${i % 20}`)),
        carrier: {
          codes: Int32Array.from({ length: rows }, (_, i) => i % 2),
          values: ["AA", "UA"],
        },
        late: Array.from({ length: rows }, (_, i) => i % 2 === 0),
        time: { micros: Float64Array.from({ length: rows }, (_, i) => i) },
      }),
    )
    const ours = path.join(folder, "ours")
    await mkdir(ours)
    for (const compression of ["zstd", "snappy", "none"] as const) {
      const file = path.join(ours, `${compression}.parquet`)
      const options = { compression, groupRows: 300, metadata: { source: "ashlar" } }
      await run(parquet.write(ds, file, options))
    }
    const answer = (codec: string) => ({
      types: {
        delay: "double",
        id: "int64",
        origin: "string",
        carrier: "dictionary<values=string, indices=int32, ordered=0>",
        late: "bool",
        time: "timestamp[us, tz=UTC]",
      },
      groups: 4,
      rows,
      metadata: { source: "ashlar" },
      codec,
      last: {
        delay: "499.5",
        id: String(2n ** 62n + 999n),
        origin: "None",
        carrier: "UA",
        late: "False",
        time: "1970-01-01 00:00:00.000999+00:00",
      },
    })
    expect(ask("read_parquet", ours)).toEqual({
      "zstd.parquet": answer("ZSTD"),
      "snappy.parquet": answer("SNAPPY"),
      "none.parquet": answer("UNCOMPRESSED"),
    })
  })

  it("that it wrote is read, with every codec, page version and type", async () => {
    const theirs = path.join(folder, "theirs")
    await mkdir(theirs)
    const wrote = ask("write_parquet", theirs) as {
      rows: number
      words: ReadonlyArray<string | null>
    }
    const start = Date.UTC(2001, 0, 13, 12) * 1000
    const times = Float64Array.from({ length: wrote.rows }, (_, i) => start + i * 1e6)
    const digests = new Set<string>()
    for (const name of await readdir(theirs)) {
      const ds = await run(parquet.read(path.join(theirs, name)))
      const table = await run(Dataset.table(ds))
      expect(table.numRows).toBe(wrote.rows)
      for (const column of ["text", "large", "coded"]) {
        expect(await run(Dataset.strings(table, column))).toEqual(wrote.words)
      }
      for (const column of ["seconds", "millis", "micros", "nanos"]) {
        expect(await run(Dataset.micros(table, column))).toEqual(times)
      }
      expect((await run(Dataset.float64(table, "number")))[11]).toBe(2.75)
      expect((await run(Dataset.float64(table, "number")))[10]).toBeNaN()
      expect((await run(Dataset.micros(table, "day")))[0]).toBe(Date.UTC(2001, 0, 13) * 1000)
      const vector = await run(Dataset.matrix(table, "vector"))
      expect([vector.width, ...vector.data.subarray(2, 4)]).toEqual([2, 1, 1.5])
      digests.add(await run(Dataset.digest(ds)))
    }
    expect(digests.size).toBe(1)
  })
})
