/**
 * What the cases of the BlobStore suite share.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { BlobStore, type BlobStoreCapabilities, type GetOptions } from "../../../BlobStore.ts"
import * as Id from "../../../Id.ts"
import type { Case } from "../../../testing/Conformance.ts"

/** A case of the BlobStore suite. */
export type BlobCase = Case<BlobStore, BlobStoreCapabilities>

type Service = BlobStore["Service"]

const removeAll = Effect.fnUntraced(function* (blobs: Service, prefix: string) {
  for (;;) {
    const { items, next } = yield* blobs.list(prefix)
    yield* Effect.forEach(items, ({ key }) => blobs.remove(key), { concurrency: 8 })
    if (next === undefined || items.length === 0) return
  }
})

/** A case under a prefix of its own, which is removed at the end. */
export const scratch = <E>(
  use: (blobs: Service, prefix: string) => Effect.Effect<unknown, E>,
): BlobCase["run"] =>
  Effect.gen(function* () {
    const blobs = yield* BlobStore
    const prefix = `conformance/${Id.make()}/`
    yield* Effect.addFinalizer(() => Effect.ignore(removeAll(blobs, prefix)))
    yield* use(blobs, prefix)
  })

/** All bytes of a blob. */
export const read = (blobs: Service, key: string, options?: GetOptions) =>
  Stream.runCollect(options === undefined ? blobs.get(key) : blobs.get(key, options)).pipe(
    Effect.map((chunks) => Buffer.concat(chunks)),
  )

/** Bytes that differ for each seed and do not repeat soon. */
export const bytes = (size: number, seed = 1): Uint8Array => {
  const data = new Uint8Array(size)
  let state = seed >>> 0 || 1
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    data[at] = state >>> 24
  }
  return data
}

/** Equality of bytes. */
export const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0
