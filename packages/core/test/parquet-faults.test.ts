import { execFileSync } from "node:child_process"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { BlobStore, Dataset } from "@ashlar/core"
import * as Memory from "@ashlar/core/memory"
import * as Parquet from "@ashlar/core/parquet"
import * as Effect from "effect/Effect"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import * as Thrift from "../src/internal/thrift.ts"
import { onSmallDisk, underFileLimit } from "./support/fullDisk.ts"

const writer = fileURLToPath(new URL("./fixtures/full-disk-writer.ts", import.meta.url))

const fails = (effect: Effect.Effect<unknown, Dataset.DatasetError>) =>
  Effect.runPromise(Effect.flip(Effect.map(effect, () => "it succeeded")))

let folder = ""
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ashlar-parquet-"))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const sample = Effect.runSync(Dataset.fromColumns({ x: Float64Array.of(1, 2, 3) }))
const noise = (rows: number) =>
  Effect.runSync(
    Dataset.fromColumns({ x: Float64Array.from({ length: rows }, (_, i) => Math.sin(i * i)) }),
  )

const written = async () => {
  const file = path.join(folder, "data.parquet")
  await Effect.runPromise(Parquet.write(sample, file))
  return file
}

const withFooter = (footer: Uint8Array): Uint8Array => {
  const tail = Buffer.alloc(8)
  tail.writeUInt32LE(footer.length)
  tail.write("PAR1", 4)
  return Buffer.concat([Buffer.from("PAR1"), footer, tail])
}

const varint = (value: number): ReadonlyArray<number> =>
  value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))]

describe("a source that is no Parquet file", () => {
  it.skipIf(process.platform === "win32").each(["pipe", "/dev/zero"])(
    "%s is refused at once",
    async (name) => {
      const file = path.resolve(folder, name)
      if (name === "pipe") execFileSync("mkfifo", [file])
      const error = await fails(Parquet.read(file))
      expect(error).toMatchObject({ code: "DatasetError.InvalidInput" })
      expect((error as Error).message).toContain("no regular file")
    },
  )

  it.each(["a\0b", "a".repeat(5000), "data.parquet/x"])(
    "a path that cannot be is InvalidInput (%#)",
    async (name) => {
      await written()
      const file = path.join(folder, name)
      expect(await fails(Parquet.read(file))).toMatchObject({ reason: "InvalidInput" })
      expect(await fails(Parquet.write(sample, file))).toMatchObject({ reason: "InvalidInput" })
    },
  )

  it("a URL of another scheme is InvalidInput", async () => {
    const url = new URL("https://example.com/data.parquet")
    expect(await fails(Parquet.read(url))).toMatchObject({ reason: "InvalidInput" })
    expect(await fails(Parquet.write(sample, url))).toMatchObject({ reason: "InvalidInput" })
  })

  it("a blob whose key leaves the store is InvalidInput, one that is not there NotFound", async () => {
    const reasonOf = (key: string) =>
      Effect.runPromise(
        Effect.map(
          Effect.flip(BlobStore.BlobStore.use((store) => Parquet.blobReader(store, key))),
          ({ reason }) => reason,
        ).pipe(Effect.provide(Memory.layer)),
      )
    expect([await reasonOf("../etc/passwd"), await reasonOf("none")]).toEqual([
      "InvalidInput",
      "NotFound",
    ])
  })
})

describe("a file of another schema", () => {
  it("is InvalidInput and names the column", async () => {
    const file = await written()
    const expecting = (wanted: Readonly<Record<string, Dataset.ColumnKind>>) =>
      fails(Effect.flatMap(Parquet.read(file), (ds) => Dataset.expect(ds, wanted)))
    const type = await expecting({ x: "string" })
    expect(type).toMatchObject({ code: "DatasetError.InvalidInput", field: "x" })
    expect((type as Error).message).toContain("float64, wanted string")
    expect(await expecting({ x: "number", y: "number" })).toMatchObject({
      code: "DatasetError.InvalidInput",
      field: "y",
    })
  })
})

describe("options out of range", () => {
  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])(
    "rows of %d are refused",
    async (rows) => {
      const file = await written()
      const reading = Parquet.read(file, { batchRows: rows })
      expect(await fails(reading)).toMatchObject({ reason: "InvalidInput", field: "batchRows" })
      const writing = Parquet.write(sample, file, { groupRows: rows })
      expect(await fails(writing)).toMatchObject({ reason: "InvalidInput", field: "groupRows" })
    },
  )

  it("a limit of NaN lets nothing through", async () => {
    const file = await written()
    const read = (limits: Parquet.Limits) =>
      fails(Effect.flatMap(Parquet.read(file, { limits }), (ds) => Dataset.table(ds)))
    for (const limit of ["rows", "groupBytes", "footerBytes"]) {
      expect(await read({ [limit]: Number.NaN })).toMatchObject({ reason: "TooLarge" })
    }
  })
})

describe("a footer made to hurt", () => {
  it("that grows a hundredfold in memory is TooLarge", async () => {
    const count = 3_000_000
    // A field 2 that lists so many empty structs, of a byte each.
    const head = [0x29, 0xfc, ...varint(count)]
    const footer = Buffer.concat([Buffer.from(head), Buffer.alloc(count + 1)])
    const limits = { footerBytes: 2 ** 23 }
    expect(await fails(Parquet.read(withFooter(footer), { limits }))).toMatchObject({
      code: "DatasetError.TooLarge",
      field: "limits.footerBytes",
    })
  })

  it.each([
    ["lists", 0x19],
    ["maps", 0x1b],
  ])("of %s in each other is Corrupt", async (_, byte) => {
    const error = await fails(Parquet.read(withFooter(Buffer.alloc(100_000, byte))))
    expect(error).toMatchObject({ code: "DatasetError.Corrupt" })
    expect(String((error as { cause?: unknown }).cause)).not.toContain("call stack")
  })
})

describe("a footer that lies about its rows", () => {
  it.each([2, 4])("of %i where there are 3 is Corrupt", async (rows) => {
    const bytes = await readFile(await written())
    const start = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8)
    const footer = Thrift.decode(bytes.subarray(start, bytes.length - 8), 10_000)
    const i64 = { type: Thrift.type.i64, value: rows }
    const items = Thrift.structs(footer, 4).map((group) => Thrift.update(group, { 3: i64 }))
    const groups = { type: Thrift.type.list, value: { element: Thrift.type.struct, items } }
    const changed = Thrift.encode(Thrift.update(footer, { 3: i64, 4: groups }))
    const tail = withFooter(changed).subarray(4)
    const lying = Buffer.concat([bytes.subarray(0, start), tail])
    const ds = await Effect.runPromise(Parquet.read(lying))
    expect(await fails(Dataset.table(ds))).toMatchObject({ code: "DatasetError.Corrupt" })
  })
})

describe("a full disk", () => {
  it.skipIf(process.platform === "win32")("is OutOfSpace at a file size limit", () => {
    expect(underFileLimit(1_000_000, [writer, "parquet", folder, "4000000"])).toEqual([
      "DatasetError.OutOfSpace",
      "[]",
    ])
  })

  it("is OutOfSpace and keeps the old file, on a full file system", async (context) => {
    const reached = await onSmallDisk(folder, async (disk) => {
      const file = path.join(disk, "data.parquet")
      await Effect.runPromise(Parquet.write(noise(600_000), file))
      const old = await readFile(file)
      expect(await fails(Parquet.write(noise(700_000), file))).toMatchObject({
        code: "DatasetError.OutOfSpace",
      })
      expect(await readdir(disk)).toEqual(["data.parquet"])
      expect((await readFile(file)).equals(old)).toBe(true)
    })
    if (!reached) context.skip("a small tmpfs cannot be mounted here: that takes root")
  })
})
