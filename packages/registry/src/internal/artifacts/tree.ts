import { type Database, Page, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { type RawBuilder, sql } from "kysely"
import { invalid, RegistryError } from "../../RegistryError.ts"
import type { FileRow } from "../migrations/0008-files.ts"
import type { Store } from "../store.ts"
import type { Stored } from "./contents.ts"
import { above, below } from "./path.ts"

type Failed = Database.DatabaseError | RegistryError

/** A name in a directory. */
export interface Entry {
  /** The whole path. */
  readonly path: string
  readonly isDirectory: boolean
  /** Bytes of a file. */
  readonly size?: number
  readonly digest?: string
}

/** Files by path. Paths are those of `parse`. */
export interface Tree {
  /** In a transaction: puts adopted content at a path, in place of a file that is there. */
  readonly set: (
    path: string,
    content: Pick<Stored, "digest" | "size">,
  ) => Effect.Effect<FileRow, Failed>
  readonly get: (path: string) => Effect.Effect<FileRow, Failed>
  readonly find: (path: string) => Effect.Effect<FileRow | undefined, Database.DatabaseError>
  /** All files below a directory, by path. */
  readonly below: (
    directory: string,
  ) => Effect.Effect<ReadonlyArray<FileRow>, Database.DatabaseError>
  /** What lies in a directory, by path. */
  readonly list: (
    directory: string,
    page: Page.PageRequest,
  ) => Effect.Effect<Page.Page<Entry>, Failed>
  /** Removes a file, or all files of a directory; returns how many. */
  readonly remove: (path: string) => Effect.Effect<number, Database.DatabaseError>
}

/** Most entries of a page. */
export const maxPage = 10_000

/** The files of a store. */
export const make = ({ db, build }: Pick<Store, "db" | "build">): Tree => {
  const find = (path: string) =>
    db.first(build.selectFrom("registry_file").selectAll().where("path", "=", path))

  /** A file has nothing below it, as on the disks the files come from and go to. */
  const refuseNesting = Effect.fnUntraced(function* (path: string) {
    const parents = above(path)
    const [from, to] = below(path) ?? []
    const other = yield* db.first(
      build
        .selectFrom("registry_file")
        .select("path")
        .where((where) =>
          where.or([
            ...(parents.length === 0 ? [] : [where("path", "in", [...parents])]),
            where.and([where("path", ">=", from ?? ""), where("path", "<", to ?? "")]),
          ]),
        )
        .limit(1),
    )
    if (other === undefined) return
    return yield* invalid(
      "path",
      other.path.length > path.length
        ? `Artifact path refers to a directory, not a file: '${path.slice(0, 300)}'`
        : `'${other.path.slice(0, 300)}' is a file: nothing can lie below it`,
    )
  })

  return {
    find,
    get: Effect.fnUntraced(function* (path) {
      const row = yield* find(path)
      if (row !== undefined) return row
      const [from, to] = below(path) ?? ["", "\u{10ffff}"]
      const inside = yield* db.first(
        build
          .selectFrom("registry_file")
          .select("path")
          .where("path", ">=", from)
          .where("path", "<", to)
          .limit(1),
      )
      return inside === undefined
        ? yield* new RegistryError({
            reason: "NotFound",
            message: `No such artifact: '${path.slice(0, 300)}'`,
          })
        : yield* invalid(
            "path",
            `Artifact path refers to a directory, not a file: '${path.slice(0, 300)}'`,
          )
    }),
    set: Effect.fnUntraced(function* (path, { digest, size }) {
      yield* refuseNesting(path)
      const row: FileRow = { path, digest, size, created: Timestamp.now() }
      yield* db.run(
        build
          .insertInto("registry_file")
          .values(row)
          .onConflict((c) => c.column("path").doUpdateSet({ digest, size, created: row.created })),
      )
      return row
    }),
    below: (directory) => {
      const range = below(directory)
      const query = build.selectFrom("registry_file").selectAll().orderBy("path")
      return db.all(
        range === undefined
          ? query
          : query.where("path", ">=", range[0]).where("path", "<", range[1]),
      )
    },
    list: Effect.fnUntraced(function* (directory, { limit: asked = maxPage, token }) {
      const limit = Math.min(Math.max(asked, 1), maxPage)
      const after = token === undefined ? undefined : Page.decodeToken(token)?.[0]
      if (token !== undefined && typeof after !== "string") {
        return yield* invalid(
          "page_token",
          "the page token is not one this service gave: start again",
        )
      }
      const range = below(directory)
      // The dialects count characters alike, but JavaScript counts UTF-16 units.
      const start = sql.lit(Array.from(range?.[0] ?? "").length + 1)
      const rest: RawBuilder<string> = sql`substr(path, ${start})`
      const slash: RawBuilder<number> =
        db.dialect === "sqlite" ? sql`instr(${rest}, '/')` : sql`strpos(${rest}, '/')`
      const name: RawBuilder<string> = sql`case when ${slash} > 0
        then substr(${rest}, 1, ${slash} - 1) else ${rest} end`
      const inside = build
        .selectFrom("registry_file")
        .select([
          name.as("name"),
          sql<number>`max(${slash})`.as("slash"),
          sql<number>`max(size)`.as("size"),
          sql<string>`max(digest)`.as("digest"),
        ])
        .groupBy("name")
        .orderBy("name")
        .limit(limit + 1)
      const bounded =
        range === undefined
          ? inside
          : inside.where("path", ">=", range[0]).where("path", "<", range[1])
      const rows = yield* db.all(
        typeof after === "string" ? bounded.where(name, ">", after) : bounded,
      )
      const items = rows.slice(0, limit).map((row): Entry => {
        const path = directory === "" ? row.name : `${directory}/${row.name}`
        return Number(row.slash) > 0
          ? { path, isDirectory: true }
          : { path, isDirectory: false, size: Number(row.size), digest: row.digest }
      })
      const last = rows[limit - 1]
      return rows.length > limit && last !== undefined
        ? { items, next: Page.encodeToken([last.name]) }
        : { items }
    }),
    remove: Effect.fnUntraced(function* (path) {
      const [from, to] = below(path) ?? []
      const { rows } = yield* db.run(
        build
          .deleteFrom("registry_file")
          .where((where) =>
            where.or([
              where("path", "=", path),
              where.and([where("path", ">=", from ?? ""), where("path", "<", to ?? "")]),
            ]),
          ),
      )
      return rows
    }),
  }
}

/** Puts written content at a path; what cannot be kept is removed. */
export const keep = Effect.fnUntraced(function* (
  { db, contents, tree }: Store,
  path: string,
  stored: Stored,
) {
  const kept = yield* Effect.tapError(
    db.transaction(
      Effect.gen(function* () {
        const key = yield* contents.adopt(stored)
        return { key, row: yield* tree.set(path, stored) }
      }),
    ),
    // Refused for certain; after other failures the commit may have happened.
    (error) =>
      error._tag === "RegistryError" && stored.known !== true
        ? contents.discard(stored)
        : Effect.void,
  )
  yield* Effect.ignore(contents.settle(stored, kept.key))
  return kept.row
})
