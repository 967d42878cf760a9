/**
 * An append-only record of what happened to models: each entry carries the hash of the one before,
 * so that a changed or missing entry shows.
 *
 * @module
 */
import { type Database, Digest, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { AuditRow } from "./internal/migrations.ts"
import type { Store } from "./internal/store.ts"

/** One entry. */
export interface Entry {
  readonly position: number
  readonly time: Timestamp.Timestamp
  /** What was done, e.g. `model.promoted`. */
  readonly action: string
  /** What it was done to, e.g. a model name. */
  readonly subject: string
  readonly detail: unknown
  readonly hash: string
}

const hashOf = (row: Omit<AuditRow, "hash">): string => Digest.ofJson(row)

/** An entry as stored. */
export const fromRow = (row: AuditRow): Entry => ({
  position: row.position,
  time: row.time,
  action: row.action,
  subject: row.subject,
  detail: JSON.parse(row.detail),
  hash: row.hash,
})

/**
 * Appends an entry; call it inside the transaction of what it records. Moving the head row makes
 * concurrent writers wait for each other, so the chain has no forks.
 */
export const append = (
  { db, build }: Store,
  entry: { readonly action: string; readonly subject: string; readonly detail: unknown },
): Effect.Effect<void, Database.DatabaseError> =>
  Effect.gen(function* () {
    yield* db.run(
      build
        .insertInto("registry_audit_head")
        .values({ id: 1, position: 0, hash: "" })
        .onConflict((c) => c.column("id").doNothing()),
    )
    yield* db.run(
      build
        .updateTable("registry_audit_head")
        .set((set) => ({ position: set("position", "+", 1) }))
        .where("id", "=", 1),
    )
    const head = yield* db.first(build.selectFrom("registry_audit_head").selectAll())
    const row = {
      position: head?.position ?? 1,
      time: Timestamp.now(),
      action: entry.action,
      subject: entry.subject,
      detail: Digest.canonicalJson(entry.detail),
      previous: head?.hash ?? "",
    }
    const hash = hashOf(row)
    yield* db.run(build.insertInto("registry_audit").values({ ...row, hash }))
    yield* db.run(build.updateTable("registry_audit_head").set({ hash }).where("id", "=", 1))
  })

/** Position of the first entry that does not fit the chain; `undefined` when all do. */
export const firstBroken = (rows: ReadonlyArray<AuditRow>): number | undefined => {
  let previous = ""
  let position = 1
  for (const { hash, ...row } of rows) {
    if (row.position !== position || row.previous !== previous || hashOf(row) !== hash) {
      return position
    }
    previous = hash
    position += 1
  }
  return undefined
}
