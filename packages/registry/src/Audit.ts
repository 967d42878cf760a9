/**
 * An append-only record of what happened to models: each entry carries the hash of the one before,
 * so that a changed or missing entry shows.
 *
 * @module
 */
import { type Database, Digest, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Actor from "./Actor.ts"
import type { AuditRow } from "./internal/migrations.ts"
import type { Store } from "./internal/store.ts"
import { RegistryError } from "./RegistryError.ts"

/** Actions after which an alias or a stage has another version. */
export const moves = ["alias.set", "alias.removed", "model.promoted", "model.rolledBack"] as const

/** An action that moved an alias or a stage. */
export type Move = (typeof moves)[number]

/** One entry. */
export interface Entry {
  readonly position: number
  readonly time: Timestamp.Timestamp
  /** What was done, e.g. `model.promoted`. */
  readonly action: string
  /** What it was done to, e.g. a model name. */
  readonly subject: string
  /** Who did it, where somebody said. */
  readonly by?: string
  readonly detail: unknown
  readonly hash: string
}

const hashOf = (row: Omit<AuditRow, "hash">): string => Digest.ofJson(row)

const byOf = (detail: unknown): { readonly by?: string } =>
  typeof detail === "object" && detail !== null && "by" in detail && typeof detail.by === "string"
    ? { by: detail.by }
    : {}

/** An entry as stored. */
export const fromRow = (row: AuditRow): Entry => {
  const detail: unknown = JSON.parse(row.detail)
  return {
    position: row.position,
    time: row.time,
    action: row.action,
    subject: row.subject,
    ...byOf(detail),
    detail,
    hash: row.hash,
  }
}

/**
 * Appends an entry in the name of {@link Actor.Current}; call it inside the transaction of what it
 * records. Moving the head row makes concurrent writers wait for each other, so the chain has no
 * forks.
 */
export const append = (
  { db, build }: Store,
  entry: {
    readonly action: string
    readonly subject: string
    readonly detail: Readonly<Record<string, unknown>>
  },
): Effect.Effect<void, Database.DatabaseError> =>
  Effect.gen(function* () {
    const by = yield* Actor.Current
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
      detail: Digest.canonicalJson(
        by === undefined ? entry.detail : { ...entry.detail, by: by.name },
      ),
      previous: head?.hash ?? "",
    }
    const hash = hashOf(row)
    yield* db.run(build.insertInto("registry_audit").values({ ...row, hash }))
    yield* db.run(build.updateTable("registry_audit_head").set({ hash }).where("id", "=", 1))
  })

/** Rows of a page of the chain. */
const page = 1000

/** Rows after a position. */
const rowsAfter = ({ db, build }: Store, after: number) =>
  db.all(
    build
      .selectFrom("registry_audit")
      .selectAll()
      .where("position", ">", after)
      .orderBy("position")
      .limit(page),
  )

const broken = (position: number): RegistryError =>
  new RegistryError({
    reason: "Corrupt",
    message: `audit entry ${position} does not fit the chain: it, or one before it, was changed or removed`,
  })

/** Where a chain goes on. */
interface Link {
  readonly position: number
  /** Hash of the entry there. */
  readonly previous: string
}

/** Position of the first row that does not go on from there; `undefined` when all do. */
const faultOf = (rows: ReadonlyArray<AuditRow>, from: Link): number | undefined => {
  let { position, previous } = from
  for (const { hash, ...row } of rows) {
    position += 1
    if (row.position !== position || row.previous !== previous || hashOf(row) !== hash) {
      return position
    }
    previous = hash
  }
  return undefined
}

/** Walks the chain page by page, checking every link; the head says where it must end. */
export const walk = <E, R>(
  store: Store,
  each: (entries: ReadonlyArray<Entry>) => Effect.Effect<void, E, R>,
): Effect.Effect<{ readonly entries: number }, RegistryError | Database.DatabaseError | E, R> =>
  Effect.gen(function* () {
    const { db, build } = store
    const head = yield* db.first(build.selectFrom("registry_audit_head").selectAll())
    let at: Link = { position: 0, previous: "" }
    for (;;) {
      const rows = yield* rowsAfter(store, at.position)
      const fault = faultOf(rows, at)
      if (fault !== undefined) return yield* broken(fault)
      const same = rows.find((row) => row.position === head?.position)
      if (same !== undefined && same.hash !== head?.hash) return yield* broken(same.position)
      const last = rows.at(-1)
      if (last !== undefined) at = { position: last.position, previous: last.hash }
      yield* each(rows.map(fromRow))
      if (rows.length < page) break
    }
    const { position } = at
    // What was written since the head was read makes the chain longer, never shorter.
    if (position < (head?.position ?? 0)) return yield* broken(position + 1)
    return { entries: position }
  })

/** Schema of a line of an export: an entry as it is hashed, and its hash. */
export const Line = Schema.Struct({
  position: Schema.Int,
  /** UTC microseconds. */
  time: Schema.Int,
  action: Schema.String,
  subject: Schema.String,
  /** Canonical JSON (RFC 8785), as it was hashed. */
  detail: Schema.String,
  /** Hash of the entry before; empty for the first. */
  previous: Schema.String,
  /** Digest of the canonical JSON of the other members. */
  hash: Schema.String,
})

const decodeLine = Schema.decodeUnknownOption(Schema.fromJsonString(Line))

/** The whole chain as JSON lines, each with its line feed, oldest first. */
export const lines = (
  store: Store,
): Stream.Stream<string, RegistryError | Database.DatabaseError> =>
  Stream.unfold({ position: 0, previous: "" }, (at) =>
    Effect.gen(function* () {
      const rows = yield* rowsAfter(store, at.position)
      const last = rows.at(-1)
      if (last === undefined) return undefined
      const fault = faultOf(rows, at)
      if (fault !== undefined) return yield* broken(fault)
      const text = rows.map((row) => `${JSON.stringify(row)}\n`).join("")
      return [text, { position: last.position, previous: last.hash }] as const
    }),
  )

/**
 * Checks an export without a database: the number of its entries, or the line that does not fit.
 *
 * @example
 * ```ts
 * import { Audit } from "@ashlar/registry"
 *
 * Audit.verifyLines("") // => { entries: 0 }
 * Audit.verifyLines("{}\n") // => { broken: 1 }
 * ```
 */
export const verifyLines = (
  text: string,
): { readonly entries: number } | { readonly broken: number } => {
  const rows: Array<AuditRow> = []
  for (const line of text.split("\n").filter((part) => part !== "")) {
    const row = Option.getOrUndefined(decodeLine(line))
    if (row === undefined) return { broken: rows.length + 1 }
    rows.push(row)
  }
  const fault = faultOf(rows, { position: 0, previous: "" })
  return fault === undefined ? { entries: rows.length } : { broken: fault }
}
