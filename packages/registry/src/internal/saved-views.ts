import { type Database, Id, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, notFound, type RegistryError } from "../RegistryError.ts"
import type { ViewRow } from "./migrations/0011-views.ts"
import type { Store } from "./store.ts"

/** How a page was set up when somebody saved it. */
export interface SavedView {
  readonly id: string
  /** Which page it is a view of, e.g. `runs`. */
  readonly page: string
  /** What the page shows, e.g. the id of an experiment. */
  readonly scope: string
  readonly name: string
  /** The page's part of the URL. */
  readonly state: string
  /** Principal that saved it last. */
  readonly owner: string
  readonly updated: Timestamp.Timestamp
}

/** A view to save; one of the same page, scope and name is replaced. */
export type SaveView = Omit<SavedView, "id" | "updated">

type Failure = Database.DatabaseError | RegistryError

/** Keeps views. */
export interface Viewing {
  readonly views: (page: string, scope: string) => Effect.Effect<ReadonlyArray<SavedView>, Failure>
  readonly saveView: (view: SaveView) => Effect.Effect<SavedView, Failure>
  readonly removeView: (id: string) => Effect.Effect<void, Failure>
}

/** Most characters of a view's parts. */
const limits = { page: 40, scope: 500, name: 120, state: 60_000, owner: 500 } as const
/** Most views of one page and scope. */
const maxViews = 500

const fromRow = ({ created: _, ...view }: ViewRow): SavedView => view

/** Keeps views in a store. */
export const make = ({ db, build }: Store): Viewing => {
  const of = (page: string, scope: string) =>
    build
      .selectFrom("registry_view")
      .selectAll()
      .where("page", "=", page)
      .where("scope", "=", scope)

  return {
    views: (page, scope) =>
      Effect.map(db.all(of(page, scope).orderBy("name").limit(maxViews)), (rows) =>
        rows.map(fromRow),
      ),
    saveView: Effect.fnUntraced(function* (view) {
      for (const field of ["page", "scope", "name", "state", "owner"] as const) {
        const { length } = view[field]
        if (length > limits[field] || (length === 0 && (field === "name" || field === "page"))) {
          return yield* invalid(
            field,
            `the ${field} of a view has ${length} characters: give it 1 to ${limits[field]}`,
          )
        }
      }
      const known = yield* db.all(of(view.page, view.scope).limit(maxViews))
      if (known.length >= maxViews && !known.some(({ name }) => name === view.name)) {
        return yield* invalid("name", `there are ${maxViews} views here already: remove one first`)
      }
      const now = Timestamp.now()
      const { state, owner } = view
      yield* db.run(
        build
          .insertInto("registry_view")
          .values({ ...view, id: Id.make(), created: now, updated: now })
          .onConflict((c) =>
            c.columns(["page", "scope", "name"]).doUpdateSet({ state, owner, updated: now }),
          ),
      )
      const saved = yield* db.first(of(view.page, view.scope).where("name", "=", view.name))
      return saved === undefined ? yield* notFound(`view ${view.name}`) : fromRow(saved)
    }),
    removeView: Effect.fnUntraced(function* (id) {
      const changes = yield* db.run(build.deleteFrom("registry_view").where("id", "=", id))
      if (changes.rows === 0) return yield* notFound(`view ${id.slice(0, 100)}`)
    }),
  }
}
