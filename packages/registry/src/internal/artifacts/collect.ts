import { type BlobStore, type Database, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { sql } from "kysely"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import type { Store } from "../store.ts"
import { filesPrefix } from "./contents.ts"
import { partsPrefix, type Uploads } from "./uploads.ts"

type Failed = Database.DatabaseError | BlobStore.BlobStoreError | RegistryError

/** What to collect. */
export interface CollectOptions {
  /** Only tells what would be removed; default false. */
  readonly dryRun?: boolean
  /**
   * Contents that were stored or found again within this time are spared, so that what is being
   * stored finds them; milliseconds, at least 60000, default one day.
   */
  readonly olderThanMs?: number
  /** Uploads in parts that nobody touched for so long are dropped; default seven days. */
  readonly uploadsOlderThanMs?: number
  /** Most contents of one call; 1 to 100000, default 10000. */
  readonly limit?: number
}

/** What was collected, or would be. */
export interface Collected {
  readonly dryRun: boolean
  /** Contents that nothing referred to. */
  readonly blobs: number
  readonly bytes: number
  readonly digests: ReadonlyArray<string>
  /** Uploads that were not completed in time. */
  readonly uploads: number
  /** Blobs of processes that were killed, and their bytes, which `bytes` does not count. */
  readonly orphans: number
  readonly orphanBytes: number
  /** True when the limit was reached: collect again. */
  readonly more: boolean
}

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const micros = 1000

/** Rows of one transaction. */
const step = 200

const within = (
  field: string,
  value: number,
  least: number,
  most: number,
): Effect.Effect<number, RegistryError> =>
  Number.isSafeInteger(value) && value >= least && value <= most
    ? Effect.succeed(value)
    : Effect.fail(
        invalid(field, `${field} is ${value}: give a whole number from ${least} to ${most}`),
      )

/** The collection of what nothing refers to. */
export const make = ({ db, blobs, build }: Store, uploads: Uploads) => {
  /** Digests that versions of models name, of all or of those created since. */
  const ofVersions = Effect.fnUntraced(function* (since: number) {
    const digests = new Set<string>()
    for (let after: readonly [string, number] = ["", 0]; ;) {
      const [model, version] = after
      const rows = yield* db.all(
        build
          .selectFrom("registry_version")
          .select(["model", "version", "files"])
          .where("created", ">=", since)
          .where((where) =>
            where.or([
              where("model", ">", model),
              where.and([where("model", "=", model), where("version", ">", version)]),
            ]),
          )
          .orderBy("model")
          .orderBy("version")
          .limit(1000),
      )
      for (const { files } of rows) {
        for (const [digest] of files.matchAll(/sha256:[0-9a-f]{64}/g)) digests.add(digest)
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < 1000) return digests
      after = [last.model, last.version]
    }
  })

  const unreferenced = (cutoff: number) =>
    build
      .selectFrom("registry_blob")
      .select(["digest", "key", "size"])
      .where("touched", "<", cutoff)
      .where(
        sql<boolean>`not exists (
          select 1 from registry_file where registry_file.digest = registry_blob.digest)`,
      )

  /** Removes rows that nothing refers to at this moment; whoever stores the content next waits. */
  const release = Effect.fnUntraced(function* (
    digests: ReadonlyArray<string>,
    cutoff: number,
    started: number,
  ) {
    const recent = yield* ofVersions(started - hour * micros)
    const free = digests.filter((digest) => !recent.has(digest))
    if (free.length === 0) return []
    const gone = yield* db.all(
      build
        .deleteFrom("registry_blob")
        .where("digest", "in", free)
        .where("touched", "<", cutoff)
        .where(
          sql<boolean>`not exists (
            select 1 from registry_file where registry_file.digest = registry_blob.digest)`,
        )
        .returning(["digest", "key", "size"]),
    )
    return gone.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
  })

  const contentsOf = Effect.fnUntraced(function* (cutoff: number, dryRun: boolean, limit: number) {
    const started = Timestamp.now()
    const held = yield* ofVersions(0)
    const removed: Array<{ readonly digest: string; readonly size: number }> = []
    for (let after = ""; ;) {
      const rows = yield* db.all(
        unreferenced(cutoff).where("digest", ">", after).orderBy("digest").limit(step),
      )
      const last = rows.at(-1)
      if (last === undefined) return { removed, more: false }
      after = last.digest
      const room = limit - removed.length
      const free = rows.filter(({ digest }) => !held.has(digest))
      const now = free.slice(0, room)
      const gone = dryRun
        ? now
        : yield* db.transaction(
            release(
              now.map(({ digest }) => digest),
              cutoff,
              started,
            ),
          )
      // After the rows: content stored from now on gets a blob of its own.
      if (!dryRun) {
        yield* Effect.forEach(gone, ({ key }) => blobs.remove(key), {
          discard: true,
          concurrency: 4,
        })
      }
      removed.push(...gone)
      if (free.length > room) return { removed, more: true }
    }
  })

  const expired = Effect.fnUntraced(function* (cutoff: number, dryRun: boolean) {
    let count = 0
    for (let after = ""; ;) {
      const rows = yield* db.all(
        build
          .selectFrom("registry_upload")
          .selectAll()
          .where("touched", "<", cutoff)
          .where("id", ">", after)
          .orderBy("id")
          .limit(step),
      )
      const last = rows.at(-1)
      if (last === undefined) return count
      after = last.id
      for (const upload of rows) {
        if (dryRun) {
          if (upload.digest === null) count++
          continue
        }
        const gone = yield* db.run(
          build
            .deleteFrom("registry_upload")
            .where("id", "=", upload.id)
            .where("touched", "<", cutoff),
        )
        if (gone.rows === 0 || upload.digest !== null) continue
        yield* uploads.drop(upload)
        count++
      }
    }
  })

  /** Blobs where files or parts lie that no row knows. */
  const orphaned = Effect.fnUntraced(function* (place: string, cutoff: number, dryRun: boolean) {
    const found = { orphans: 0, orphanBytes: 0 }
    for (let token: string | undefined; ;) {
      const page = yield* blobs.list(place, token === undefined ? {} : { token })
      const old = page.items.filter(({ modified }) => modified < cutoff)
      const keys = old.filter(({ key }) => !key.startsWith(partsPrefix)).map(({ key }) => key)
      const ids = [
        ...new Set(
          old.filter(({ key }) => key.startsWith(partsPrefix)).map(({ key }) => uploadOf(key)),
        ),
      ]
      const known = new Set<string>()
      if (keys.length > 0) {
        for (const table of ["registry_blob", "registry_upload"] as const) {
          const rows = yield* db.all(build.selectFrom(table).select("key").where("key", "in", keys))
          for (const { key } of rows) known.add(key)
        }
      }
      if (ids.length > 0) {
        const rows = yield* db.all(
          build.selectFrom("registry_upload").select("id").where("id", "in", ids),
        )
        for (const { id } of rows) known.add(id)
      }
      for (const { key, size } of old) {
        if (known.has(key.startsWith(partsPrefix) ? uploadOf(key) : key)) continue
        if (!dryRun) yield* blobs.remove(key)
        found.orphans++
        found.orphanBytes += size
      }
      if (page.next === undefined) return found
      token = page.next
    }
  })

  return Effect.fnUntraced(function* (options: CollectOptions) {
    const { dryRun = false } = options
    const most = 100 * 365 * day
    const olderThan = yield* within("olderThanMs", options.olderThanMs ?? day, minute, most)
    const uploadsOlderThan = yield* within(
      "uploadsOlderThanMs",
      options.uploadsOlderThanMs ?? 7 * day,
      minute,
      most,
    )
    const limit = yield* within("limit", options.limit ?? 10_000, 1, 100_000)
    const now = Timestamp.now()
    const count = yield* expired(now - uploadsOlderThan * micros, dryRun)
    const { removed, more } = yield* contentsOf(now - olderThan * micros, dryRun, limit)
    // A blob has no row from when it is written to when its file is: a moment, on any machine.
    const before = now - Math.max(olderThan, hour) * micros
    const files = yield* orphaned(filesPrefix, before, dryRun)
    const parts = yield* orphaned(partsPrefix, before, dryRun)
    const collected: Collected = {
      dryRun,
      blobs: removed.length,
      bytes: removed.reduce((sum, { size }) => sum + Number(size), 0),
      digests: removed.map(({ digest }) => digest),
      uploads: count,
      orphans: files.orphans + parts.orphans,
      orphanBytes: files.orphanBytes + parts.orphanBytes,
      more,
    }
    return collected
  }) satisfies (options: CollectOptions) => Effect.Effect<Collected, Failed>
}

const uploadOf = (key: string): string => key.slice(partsPrefix.length).split("/", 1)[0] ?? ""
