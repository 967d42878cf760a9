import { type BlobStore, type Database, Digest, Id, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { RegistryError } from "../../RegistryError.ts"
import type { Store } from "../store.ts"
import type { BlobRow } from "../migrations/0008-files.ts"
import * as Blocks from "./blocks.ts"

type Row = Pick<BlobRow, "key" | "blocks">

type BackendError = BlobStore.BlobStoreError | Database.DatabaseError

/** A content in the blob store. */
export interface Stored {
  readonly digest: string
  readonly size: number
  readonly key: string
  /** Checksums of its blocks, where they were taken. */
  readonly blocks?: Uint8Array
  /** True when it was the registry's before, and its blob is not the caller's to remove. */
  readonly known?: boolean
}

/** Which bytes to read. */
export interface Range {
  /** First byte, default 0. */
  readonly start?: number
  /** One past the last byte, default the size. */
  readonly end?: number
}

/** Where the registry's blobs are. Those from before version 0008 are where they were. */
export const prefix = "registry/"

/** Where contents are. */
export const filesPrefix = `${prefix}files/`

/** A key that no other content ever has. */
export const freshKey = (): string => {
  const id = Id.make()
  return `${filesPrefix}${id.slice(-2)}/${id}`
}

/** Largest file of which a range is cut out of the whole, so that it too is checked. */
const wholeBytes = 8 << 20

const damaged = (digest: string, what: string): RegistryError =>
  new RegistryError({
    reason: "Corrupt",
    message: `the content ${digest} is damaged: ${what}; restore its blob from a copy, or store the file again`,
  })

/**
 * Passes content on as it is checked. The last chunk waits for the digest: nobody gets all bytes of
 * a damaged content.
 */
const checked = <E>(
  source: Stream.Stream<Uint8Array, E>,
  digest: string,
): Stream.Stream<Uint8Array, E | RegistryError> =>
  Stream.suspend(() => {
    const hash = Digest.start()
    let held: Uint8Array | undefined
    const earlier = source.pipe(
      Stream.map((chunk) => {
        hash.update(chunk)
        const before = held
        held = chunk
        return before
      }),
      Stream.filter((chunk) => chunk !== undefined),
    )
    const last = Stream.suspend(() => {
      const actual = Digest.finish(hash)
      if (actual !== digest) return Stream.fail(damaged(digest, `it has digest ${actual}`))
      return held === undefined ? Stream.empty : Stream.succeed(held)
    })
    return Stream.concat(earlier, last)
  })

/** Contents that are stored once, and the blobs they lie in. */
export interface Contents {
  /** Stores content of which nothing is known yet. Nobody refers to it before `adopt`. */
  readonly write: (
    content: Uint8Array | Stream.Stream<Uint8Array, BlobStore.BlobStoreError>,
    options?: { readonly digest?: string; readonly key?: string },
  ) => Effect.Effect<Stored, BlobStore.BlobStoreError>
  /** Where content with this digest lies, unless its blob is gone. Collections spare it for a while. */
  readonly find: (digest: string) => Effect.Effect<Stored | undefined, BackendError>
  /**
   * In a transaction: makes stored content the registry's, and returns the key of the blob that it
   * lies in, another one where the content was there before. A collection that runs now spares it.
   */
  readonly adopt: (stored: Stored) => Effect.Effect<string, Database.DatabaseError | RegistryError>
  /** In a transaction that will refer to contents found earlier: fails when one was collected. */
  readonly hold: (
    digests: ReadonlyArray<string>,
  ) => Effect.Effect<void, Database.DatabaseError | RegistryError>
  /** After the transaction of `adopt`: of two blobs with one content removes one. */
  readonly settle: (stored: Stored, key: string) => Effect.Effect<void, BackendError>
  /** Removes a blob that was not adopted. Never fails: a collection finds what is left. */
  readonly discard: (stored: Stored) => Effect.Effect<void>
  /**
   * The bytes of a content. Whole contents are checked against their digest, and so are ranges of
   * small ones; ranges of large ones against the checksums of their blocks, where there are some. The
   * stream fails with `Corrupt` before its last bytes.
   */
  readonly read: (
    content: { readonly digest: string; readonly size: number },
    range?: Range,
  ) => Stream.Stream<Uint8Array, BackendError | RegistryError>
}

/** The contents of a store. */
export const make = ({ db, blobs, build }: Pick<Store, "db" | "blobs" | "build">): Contents => {
  const rowOf = (digest: string) =>
    db.first(
      build.selectFrom("registry_blob").select(["key", "blocks"]).where("digest", "=", digest),
    )

  const isThere = Effect.fnUntraced(function* (key: string, size: number) {
    const head = yield* Effect.catchIf(
      blobs.head(key),
      (error) => error.reason === "NotFound" || error.reason === "Corrupt",
      () => Effect.succeed(undefined),
    )
    return head?.size === size
  })

  const touch = (digests: ReadonlyArray<string>) =>
    db.run(
      build
        .updateTable("registry_blob")
        .set({ touched: Timestamp.now() })
        .where("digest", "in", [...digests]),
    )

  const hold: Contents["hold"] = Effect.fnUntraced(function* (digests) {
    const distinct = [...new Set(digests)].sort()
    for (let from = 0; from < distinct.length; from += 500) {
      const part = distinct.slice(from, from + 500)
      if ((yield* touch(part)).rows === part.length) continue
      return yield* new RegistryError({
        reason: "Conflict",
        message: "a content was collected while it was being stored: store it again",
      })
    }
  })

  const discard: Contents["discard"] = ({ key }) => Effect.ignore(blobs.remove(key))

  return {
    write: Effect.fnUntraced(function* (content, { key = freshKey(), ...options } = {}) {
      const tally = Blocks.tally()
      const tallied =
        content instanceof Uint8Array
          ? content
          : Stream.map(content, (chunk) => {
              tally.add(chunk)
              return chunk
            })
      if (content instanceof Uint8Array) tally.add(content)
      const { digest, size } = yield* blobs.put(key, tallied, options)
      return { digest, size, key, blocks: tally.finish() }
    }),
    find: Effect.fnUntraced(function* (digest) {
      yield* touch([digest])
      const row = yield* db.first(
        build.selectFrom("registry_blob").selectAll().where("digest", "=", digest),
      )
      if (row === undefined || !(yield* isThere(row.key, row.size))) return undefined
      return { digest, size: row.size, key: row.key, known: true }
    }),
    hold,
    adopt: Effect.fnUntraced(function* ({ digest, size, key, blocks = null, known = false }) {
      if (known) {
        yield* hold([digest])
        return key
      }
      // Also of a known content: the row is locked until the caller's reference is committed.
      yield* db.run(
        build
          .insertInto("registry_blob")
          .values({ digest, key, size, blocks, touched: Timestamp.now() })
          .onConflict((c) => c.column("digest").doUpdateSet({ touched: Timestamp.now() })),
      )
      return (yield* rowOf(digest))?.key ?? key
    }),
    settle: Effect.fnUntraced(function* (stored, key) {
      if (key === stored.key) return
      if (yield* isThere(key, stored.size)) return yield* discard(stored)
      // The known blob was lost; the new one takes its place.
      const changed = yield* db.run(
        build
          .updateTable("registry_blob")
          .set({ key: stored.key })
          .where("digest", "=", stored.digest)
          .where("key", "=", key),
      )
      if (changed.rows === 0) yield* discard(stored)
    }),
    discard,
    read: ({ digest, size }, { start = 0, end = size } = {}) => {
      const whole = start === 0 && end >= size
      const open = (row: { readonly key: string } | undefined, range: Range) =>
        row === undefined
          ? Stream.fail(damaged(digest, "its blob is not known"))
          : Stream.mapError(blobs.get(row.key, range), (error) =>
              error.reason === "NotFound" ? damaged(digest, "its blob is gone") : error,
            )
      const opened = (of: (row: Row | undefined) => ReturnType<typeof open>) =>
        Stream.unwrap(Effect.map(rowOf(digest), of))
      if (start >= end) return Stream.empty
      if (!whole && size > wholeBytes) {
        return opened((row) => {
          const sums = row?.blocks ?? null
          if (sums === null) return open(row, { start, end })
          const blocks = open(row, Blocks.around(start, end, size))
          return Blocks.cut(blocks, sums, { start, end, size }, (what) => damaged(digest, what))
        })
      }
      const all = checked(
        opened((row) => open(row, {})),
        digest,
      )
      if (whole) return all
      return Stream.unwrap(
        Effect.map(Stream.runCollect(all), (chunks) =>
          Stream.succeed(Buffer.concat(chunks).subarray(start, end)),
        ),
      )
    },
  }
}
