import { type Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { RegistryError } from "../RegistryError.ts"
import * as Limits from "./limits.ts"
import type { RunRow } from "./migrations.ts"
import type { Reading, RunRecord } from "./runs-read.ts"
import type { Store } from "./store.ts"

type Runs = Effect.Effect<Page.Page<RunRecord>, Database.DatabaseError | RegistryError>

/** Reads runs page by page. */
export interface Paging {
  readonly list: (experiment: string, page: Page.PageRequest) => Runs
  readonly search: (experimentIds: ReadonlyArray<string>, page: Page.PageRequest) => Runs
}

/** Pages of a store's runs. */
export const make = ({ db, build }: Store, views: Reading["views"]): Paging => {
  const pageOf = Effect.fnUntraced(function* (rows: ReadonlyArray<RunRow>, limit: number) {
    const last = rows.at(-1)
    return {
      items: yield* views(rows),
      ...(rows.length === limit && last !== undefined
        ? { next: Page.encodeToken([last.started, last.id]) }
        : {}),
    }
  })

  return {
    list: Effect.fnUntraced(function* (experiment, page) {
      const limit = Math.min(Math.max(page.limit ?? 100, 1), 1000)
      const position = yield* Limits.token(page.token)
      const query = build
        .selectFrom("registry_run")
        .innerJoin("registry_experiment", "registry_experiment.id", "registry_run.experiment")
        .selectAll("registry_run")
        .where("registry_experiment.name", "=", experiment)
        .orderBy("registry_run.started", "desc")
        .orderBy("registry_run.id", "desc")
        .limit(limit)
      const rows = yield* db.all(
        position === undefined
          ? query
          : query.where((where) =>
              where.or([
                where("registry_run.started", "<", position.time),
                where.and([
                  where("registry_run.started", "=", position.time),
                  where("registry_run.id", "<", position.id),
                ]),
              ]),
            ),
      )
      return yield* pageOf(rows, limit)
    }),
    search: Effect.fnUntraced(function* (experimentIds, page) {
      if (experimentIds.length === 0) return { items: [] }
      const limit = Math.min(Math.max(page.limit ?? 1000, 1), 50_000)
      const position = yield* Limits.token(page.token)
      const query = build
        .selectFrom("registry_run")
        .selectAll()
        .where("experiment", "in", [...experimentIds])
        .orderBy("started", "desc")
        .orderBy("id")
        .limit(limit)
      const rows = yield* db.all(
        position === undefined
          ? query
          : query.where((where) =>
              where.or([
                where("started", "<", position.time),
                where.and([where("started", "=", position.time), where("id", ">", position.id)]),
              ]),
            ),
      )
      return yield* pageOf(rows, limit)
    }),
  }
}
