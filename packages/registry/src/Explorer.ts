/**
 * What pages that show many runs at once read: keys, columns of values, activity, the beginnings of
 * artifacts; and the views that people save of them.
 *
 * @module
 */
import type { BlobStore, Database } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Exploring from "./internal/runs-explore.ts"
import type { RunActivity, RunColumns, RunKeys, RunValues } from "./internal/runs-explore.ts"
import * as Viewing from "./internal/saved-views.ts"
import type { SavedView, SaveView } from "./internal/saved-views.ts"
import * as Store from "./internal/store.ts"
import type { RegistryError } from "./RegistryError.ts"

export type {
  RunActivity,
  RunColumn,
  RunColumns,
  RunKeys,
  RunValues,
} from "./internal/runs-explore.ts"
export type { SavedView, SaveView } from "./internal/saved-views.ts"

/** Reads columns of runs and keeps saved views. */
export class Explorer extends Context.Service<
  Explorer,
  {
    /** Keys of the experiments' runs, sorted; of parameters and tags those of the 10,000 latest runs. */
    readonly keys: (experimentIds: ReadonlyArray<string>) => Effect.Effect<RunKeys, RegistryError>
    /** Values of keys for runs, column by column; of a metric the last. */
    readonly values: (
      runIds: ReadonlyArray<string>,
      columns: RunColumns,
    ) => Effect.Effect<RunValues, RegistryError>
    /** The 500 latest runs with marks that differ after they have changed. */
    readonly activity: (
      experimentIds: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<RunActivity>, RegistryError>
    /** The first bytes of an artifact, and how many it has. */
    readonly content: (
      runId: string,
      path: string,
      maxBytes: number,
    ) => Effect.Effect<{ readonly bytes: Uint8Array; readonly size: number }, RegistryError>
    /** Saved views of a page, by name. */
    readonly views: (
      page: string,
      scope: string,
    ) => Effect.Effect<ReadonlyArray<SavedView>, RegistryError>
    /** Saves a view, in place of one with the same page, scope and name. */
    readonly saveView: (view: SaveView) => Effect.Effect<SavedView, RegistryError>
    readonly removeView: (id: string) => Effect.Effect<void, RegistryError>
  }
>()("@ashlar/registry/Explorer/v1") {}

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { wrap } = store
  const exploring = Exploring.make(store)
  const viewing = Viewing.make(store)
  return Explorer.of({
    keys: (experimentIds) => wrap(exploring.keys(experimentIds)),
    values: (runIds, columns) => wrap(exploring.values(runIds, columns)),
    activity: (experimentIds) => wrap(exploring.activity(experimentIds)),
    content: exploring.content,
    views: (page, scope) => wrap(viewing.views(page, scope)),
    saveView: (view) => wrap(viewing.saveView(view)),
    removeView: (id) => wrap(viewing.removeView(id)),
  })
})

/** An explorer on a Database and a BlobStore. */
export const layer: Layer.Layer<Explorer, RegistryError, Database.Database | BlobStore.BlobStore> =
  Layer.effect(Explorer, make)
