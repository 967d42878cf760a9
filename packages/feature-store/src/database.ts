/**
 * Online store in the Database: SQLite or PostgreSQL.
 *
 * @module
 */
import { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { sql } from "kysely"
import { OnlineStore, OnlineStoreError, type OnlineRow, type OnlineWrite } from "./OnlineStore.ts"

interface Tables {
  readonly feature_online: {
    readonly view: string
    readonly entity: string
    readonly version_a: number
    readonly version_b: number
    readonly version_c: number
    readonly event: number
    readonly payload: Uint8Array
  }
}

type Row = Tables["feature_online"]

const migrations: ReadonlyArray<Database.Migration> = [
  {
    id: "0001-online",
    up: (build) => [
      build.schema
        .createTable("feature_online")
        .addColumn("view", "text", (column) => column.notNull())
        .addColumn("entity", "text", (column) => column.notNull())
        .addColumn("version_a", "bigint", (column) => column.notNull())
        .addColumn("version_b", "bigint", (column) => column.notNull())
        .addColumn("version_c", "bigint", (column) => column.notNull())
        .addColumn("event", "bigint", (column) => column.notNull())
        .addColumn("payload", "blob", (column) => column.notNull())
        .addPrimaryKeyConstraint("feature_online_key", ["view", "entity"]),
    ],
  },
]

const reasons = ["InvalidInput", "Conflict", "Corrupt", "OutOfSpace", "Unavailable", "Timeout"]

const failed = (error: Database.DatabaseError): OnlineStoreError =>
  new OnlineStoreError({
    reason: (reasons.includes(error.reason)
      ? error.reason
      : "Internal") as OnlineStoreError["reason"],
    message: error.message,
    cause: error,
  })

/** Statements for at most this many keys or rows; smaller ones are padded up to the next size. */
const sizes = [1, 16, 64, 256] as const

const chunks = <A>(items: ReadonlyArray<A>): ReadonlyArray<readonly [number, ReadonlyArray<A>]> => {
  const out: Array<readonly [number, ReadonlyArray<A>]> = []
  for (let start = 0; start < items.length;) {
    const left = items.length - start
    const size = sizes.find((each) => each >= left) ?? 256
    out.push([size, items.slice(start, start + size)])
    start += size
  }
  return out
}

const make = Effect.gen(function* () {
  const db = yield* Database.Database
  yield* db.migrate("feature-store-online", migrations)

  const select = new Map(
    sizes.map((size) => [
      size,
      db.prepare<Tables, ReadonlyArray<string>, Row>(
        (build, [view, ...keys]) =>
          build
            .selectFrom("feature_online")
            .selectAll()
            .where("view", "=", view as string)
            .where("entity", "in", keys),
        size + 1,
      ),
    ]),
  )
  const upsert = new Map(
    sizes.map((size) => [
      size,
      db.prepare<Tables, ReadonlyArray<unknown>, never>(
        (build, p) =>
          build
            .insertInto("feature_online")
            .values(
              Array.from({ length: size }, (_, i) => ({
                view: p[i * 7] as string,
                entity: p[i * 7 + 1] as string,
                version_a: p[i * 7 + 2] as number,
                version_b: p[i * 7 + 3] as number,
                version_c: p[i * 7 + 4] as number,
                event: p[i * 7 + 5] as number,
                payload: p[i * 7 + 6] as Uint8Array,
              })),
            )
            .onConflict((conflict) =>
              conflict
                .columns(["view", "entity"])
                .doUpdateSet((eb) => ({
                  version_a: eb.ref("excluded.version_a"),
                  version_b: eb.ref("excluded.version_b"),
                  version_c: eb.ref("excluded.version_c"),
                  event: eb.ref("excluded.event"),
                  payload: eb.ref("excluded.payload"),
                }))
                .where(
                  sql<boolean>`(excluded.version_a, excluded.version_b, excluded.version_c) > (feature_online.version_a, feature_online.version_b, feature_online.version_c)`,
                ),
            ) as unknown as Database.Query<never>,
        size * 7,
      ),
    ]),
  )

  const read = Effect.fnUntraced(function* (table: string, keys: ReadonlyArray<string>) {
    const found = new Map<string, OnlineRow>()
    for (const [size, part] of chunks([...new Set(keys)])) {
      const statement = select.get(size as 1)
      if (statement === undefined) continue
      const padded = [table, ...part]
      while (padded.length < size + 1) padded.push(part[0] as string)
      for (const row of yield* statement(...padded)) {
        found.set(row.entity, {
          event: row.event,
          version: [row.version_a, row.version_b, row.version_c],
          payload: row.payload,
        })
      }
    }
    return keys.map((key) => found.get(key))
  }, Effect.mapError(failed))

  const write = Effect.fnUntraced(function* (table: string, rows: ReadonlyArray<OnlineWrite>) {
    if (rows.length === 0) return
    // In key order, so that writers of the same keys never wait for each other in a circle.
    const sorted = [...rows].sort((a, b) => (a.key < b.key ? -1 : 1))
    const all = Effect.gen(function* () {
      let start = 0
      while (start < sorted.length) {
        // No padding here: PostgreSQL refuses a statement that touches a row twice.
        const size = [...sizes].reverse().find((each) => each <= sorted.length - start) ?? 1
        const parameters: Array<unknown> = []
        for (const row of sorted.slice(start, start + size)) {
          parameters.push(table, row.key, ...row.version, row.event, row.payload)
        }
        yield* upsert.get(size)?.(...parameters) ?? Effect.void
        start += size
      }
    })
    yield* db.transaction(all)
  }, Effect.mapError(failed))

  return OnlineStore.of({
    name: `database (${db.dialect})`,
    capabilities: { durable: true },
    read,
    write,
    remove: (table, keys) =>
      Effect.mapError(
        db.transaction(
          Effect.forEach(
            chunks(keys),
            ([, part]) =>
              db.run(
                db
                  .build<Tables>()
                  .deleteFrom("feature_online")
                  .where("view", "=", table)
                  .where("entity", "in", part),
              ),
            { discard: true },
          ),
        ),
        failed,
      ),
    count: (table) =>
      db
        .first(
          db
            .build<Tables>()
            .selectFrom("feature_online")
            .select((eb) => eb.fn.countAll<number>().as("rows"))
            .where("view", "=", table),
        )
        .pipe(
          Effect.map((row) => Number(row?.rows ?? 0)),
          Effect.mapError(failed),
        ),
  })
})

/** An online store in the Database of the surrounding layers. */
export const layer: Layer.Layer<OnlineStore, OnlineStoreError, Database.Database> = Layer.effect(
  OnlineStore,
  Effect.mapError(make, (error) => failed(error)),
)
