/**
 * BlobStore fs against a plain stream copy of the same bytes, both synced to disk at the end.
 * `ASHLAR_BENCH_BYTES` sets how many, default 2 GiB.
 */
import { createReadStream, createWriteStream } from "node:fs"
import { mkdtemp, open, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import { BlobStore } from "@ashlar/core"
import * as Fs from "@ashlar/core/fs"

const bytes = Number(process.env["ASHLAR_BENCH_BYTES"] ?? 2 * 2 ** 30)
const rounds = 5
const directory = await mkdtemp(join(tmpdir(), "ashlar-bench-"))
const source = join(directory, "source")
const copy = join(directory, "copy")
const runtime = ManagedRuntime.make(Fs.layer({ directory: join(directory, "store") }))

const print = (
  bench: string,
  value: number,
  unit: string,
  against: string,
  bar: string,
  pass: boolean,
) =>
  console.log(
    JSON.stringify({ bench, value: Number(value.toPrecision(4)), unit, against, bar, pass }),
  )

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

const seconds = async (run: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await run()
  return (performance.now() - start) / 1000
}

/** Seconds, and by how many MB the resident memory rose meanwhile. */
const measured = async (run: () => Promise<unknown>) => {
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  let peak = before
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5)
  const time = await seconds(run)
  clearInterval(timer)
  return { time, extraMb: (peak - before) / 2 ** 20 }
}

const sync = async (path: string) => {
  const file = await open(path, "r+")
  await file.sync()
  await file.close()
}

const plainCopy = async () => {
  await pipeline(createReadStream(source), createWriteStream(copy))
  await sync(copy)
}

const put = () =>
  runtime.runPromise(
    BlobStore.BlobStore.use((blobs) =>
      blobs.put(
        "copy",
        Stream.fromAsyncIterable<Uint8Array, BlobStore.BlobStoreError>(
          createReadStream(source),
          (cause) => new BlobStore.BlobStoreError({ reason: "Internal", message: String(cause) }),
        ),
      ),
    ),
  )

const get = async () => {
  const iterable = await runtime.runPromise(
    BlobStore.BlobStore.use((blobs) => Stream.toAsyncIterableEffect(blobs.get("copy"))),
  )
  await pipeline(iterable, createWriteStream(copy))
  await sync(copy)
}

const through = () =>
  runtime.runPromise(
    BlobStore.BlobStore.use((blobs) =>
      Effect.asVoid(blobs.put("again", blobs.get("copy", { verify: true }))),
    ),
  )

try {
  const file = await open(source, "w")
  const block = Buffer.alloc(8 << 20)
  for (let at = 0; at < bytes; at += block.length) {
    block.writeDoubleLE(at, at % 4096)
    await file.write(block, 0, Math.min(block.length, bytes - at))
  }
  await file.sync()
  await file.close()

  // A disk has good and bad seconds, and writes more slowly the more was just written: each run is
  // paired with a plain copy beside it, first and second in turn, and the pairs are compared.
  const plain: Array<number> = []
  const ratios = { put: [], get: [], through: [] } as Record<string, Array<number>>
  const extra: Array<number> = []
  const plainTime = async () => {
    // Freeing the old bytes is no part of writing the new ones, for either side.
    await rm(copy, { force: true })
    const time = await seconds(plainCopy)
    plain.push(time)
    return time
  }
  for (let round = 0; round < rounds; round++) {
    await runtime.runPromise(
      BlobStore.BlobStore.use((blobs) =>
        Effect.andThen(blobs.remove("copy"), blobs.remove("again")),
      ),
    )
    for (const [name, run] of Object.entries({ put, get, through })) {
      const before = round % 2 === 0 ? await plainTime() : undefined
      await rm(copy, { force: true })
      const { time, extraMb } = await measured(run)
      extra.push(extraMb)
      ratios[name]?.push((before ?? (await plainTime())) / time)
    }
  }
  const against = `plain stream copy, ${(bytes / median(plain) / 1e6).toFixed(0)} MB/s`
  for (const name of ["put", "get"]) {
    const ratio = median(ratios[name] ?? [])
    print(`blob fs ${name}`, ratio, "x", against, ">= 0.8", ratio >= 0.8)
  }
  const verified = median(ratios["through"] ?? [])
  print("blob fs verified get into put", verified, "x", against, "none: two digests more", true)
  const most = Math.max(...extra)
  print("blob fs extra memory", most, "MB", "resident before", "< 64", most < 64)
} finally {
  await runtime.dispose()
  await rm(directory, { recursive: true, force: true })
}
