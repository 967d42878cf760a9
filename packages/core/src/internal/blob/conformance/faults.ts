/**
 * Cases of the BlobStore suite: many at once, and writers that fail.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { BlobStoreError } from "../../../BlobStore.ts"
import { ensure, equal, fails } from "../../../testing/Conformance.ts"
import { type BlobCase, bytes, read, same, scratch } from "./scratch.ts"

/** Cases about faults and concurrency. */
export const faults: ReadonlyArray<BlobCase> = [
  {
    name: "a stream that fails stores nothing",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const source = Stream.concat(
          Stream.succeed(bytes(2_000_000)),
          Stream.fail(
            new BlobStoreError({ reason: "Timeout", message: "the source was too slow" }),
          ),
        )
        yield* fails(blobs.put(`${prefix}fresh`, source), "Timeout")
        yield* fails(blobs.head(`${prefix}fresh`), "NotFound")
        yield* blobs.put(`${prefix}kept`, bytes(5))
        yield* fails(blobs.put(`${prefix}kept`, source), "Timeout")
        yield* ensure(same(yield* read(blobs, `${prefix}kept`), bytes(5)), "the old blob is gone")
      }),
    ),
  },
  {
    name: "an interrupted put stores nothing",
    // Interruption does not reach a caller's stream through the Promise face.
    promise: false,
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}interrupted`
        const source = Stream.concat(Stream.succeed(bytes(2_000_000)), Stream.never)
        const fiber = yield* Effect.forkChild(blobs.put(key, source))
        yield* Effect.sleep(100)
        yield* Fiber.interrupt(fiber)
        yield* fails(blobs.head(key), "NotFound")
        yield* equal((yield* blobs.list(prefix)).items, [], "the list")
      }),
    ),
  },
  {
    name: "a blob is visible whole or not at all",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}torn`
        const version = (fill: number) => new Uint8Array(1_200_000).fill(fill)
        yield* blobs.put(key, version(0))
        const write = Effect.forEach([1, 2, 3, 4, 5, 6], (fill) => blobs.put(key, version(fill)))
        const look = Effect.forEach([1, 2, 3, 4, 5, 6, 7, 8], () =>
          Effect.gen(function* () {
            const found = yield* read(blobs, key)
            yield* equal(found.length, 1_200_000, "the size")
            yield* ensure(
              found.every((byte) => byte === found[0]),
              "two versions were mixed",
            )
          }),
        )
        yield* Effect.all([write, look, look], { concurrency: "unbounded" })
      }),
    ),
  },
  {
    name: "of many writers with ifAbsent one wins",
    requires: (capabilities) => capabilities.conditionalPut,
    otherwise: "NotSupported",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const key = `${prefix}once`
        yield* blobs.put(key, bytes(1000, 1), { ifAbsent: true })
        yield* fails(blobs.put(key, bytes(1000, 2), { ifAbsent: true }), "AlreadyExists")
        yield* blobs.remove(key)
        const exits = yield* Effect.forEach(
          [1, 2, 3, 4, 5, 6, 7, 8],
          (seed) => Effect.exit(blobs.put(key, bytes(1000, seed), { ifAbsent: true })),
          { concurrency: "unbounded" },
        )
        const winners = exits.flatMap((exit, at) => (Exit.isSuccess(exit) ? [at + 1] : []))
        yield* equal(winners.length, 1, "writers that won")
        yield* ensure(same(yield* read(blobs, key), bytes(1000, winners[0])), "another one's bytes")
      }),
    ),
  },
  {
    name: "many blobs at once",
    run: scratch((blobs, prefix) =>
      Effect.gen(function* () {
        const seeds = Array.from({ length: 60 }, (_, index) => index + 1)
        const key = (seed: number) => `${prefix}${seed % 7}/${seed}`
        yield* Effect.forEach(seeds, (seed) => blobs.put(key(seed), bytes(seed * 500, seed)), {
          concurrency: 20,
        })
        yield* Effect.forEach(
          seeds,
          (seed) =>
            Effect.flatMap(read(blobs, key(seed)), (found) =>
              ensure(same(found, bytes(seed * 500, seed)), `blob ${seed} is another`),
            ),
          { concurrency: 20 },
        )
        // Removing empties directories that others are being written to.
        yield* Effect.forEach(
          seeds,
          (seed) => Effect.andThen(blobs.remove(key(seed)), blobs.put(key(seed), bytes(9, seed))),
          { concurrency: 20 },
        )
        yield* equal((yield* blobs.list(prefix)).items.length, seeds.length, "blobs left")
      }),
    ),
  },
]
