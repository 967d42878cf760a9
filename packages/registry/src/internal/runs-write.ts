import type { Database, RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../RegistryError.ts"
import type { RunRow, Tables } from "./migrations.ts"
import { shown } from "./mlflow/validate.ts"
import * as Lists from "./series/lists.ts"
import * as Series from "./series/write.ts"
import type { Store } from "./store.ts"

/** Changed params that a message lists. */
const shownParams = 10
/** Most tags of one statement. */
const chunk = 1000

/** Writes a batch to a run that the transaction has locked, or made. */
export type Write = (
  run: Pick<RunRow, "id" | "experiment">,
  batch: RunTracker.RunBatch,
) => Effect.Effect<void, Database.DatabaseError | RegistryError>

/** Writes to a store. */
export const make = (store: Store): Write => {
  const { db, build } = store
  const writeMetrics = Series.make(store)

  const paramsOf = db.prepare<
    Tables,
    [string, string],
    { readonly key: string; readonly value: string }
  >(
    (tables, [run, keys]) =>
      tables
        .selectFrom("registry_param")
        .select(["key", "value"])
        .where("run", "=", run)
        .where(Lists.among("key", keys, "text", db.dialect)),
    2,
  )

  const writeParams = Effect.fnUntraced(function* (
    run: string,
    given: NonNullable<RunTracker.RunBatch["params"]>,
  ) {
    // In one order for all writers.
    const params = Object.entries(given)
      .map(([key, value]) => ({ run, key, value: String(value) }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
    if (params.length === 0) return
    const added = yield* db.insertMany("registry_param", params, { onConflict: "ignore" })
    if (added.rows === params.length) return
    const stored = yield* paramsOf(
      run,
      Lists.texts(
        params.map(({ key }) => key),
        db.dialect,
      ),
    )
    const valueOf = new Map(stored.map(({ key, value }) => [key, value]))
    const changed = params.filter(({ key, value }) => valueOf.get(key) !== value)
    const [first] = changed
    if (first === undefined) return
    const list = changed
      .slice(0, shownParams)
      .map(
        ({ key, value }) =>
          `{'key': ${shown(key)}, 'old_value': ${shown(valueOf.get(key) ?? "")}, 'new_value': ${shown(value)}}`,
      )
      .join(", ")
    return yield* invalid(
      `params.${first.key}`,
      `Changing param values is not allowed. Params were already logged='[${list}]' for run ID='${run}'.`,
    )
  })

  const writeTags = Effect.fnUntraced(function* (
    run: string,
    given: NonNullable<RunTracker.RunBatch["tags"]>,
  ) {
    const tags = Object.entries(given)
      .map(([key, value]) => ({ run, key, value }))
      .sort((a, b) => (a.key < b.key ? -1 : 1))
    for (let from = 0; from < tags.length; from += chunk) {
      yield* db.run(
        build
          .insertInto("registry_tag")
          .values(tags.slice(from, from + chunk))
          .onConflict((c) =>
            c.columns(["run", "key"]).doUpdateSet((set) => ({ value: set.ref("excluded.value") })),
          ),
      )
    }
  })

  return Effect.fnUntraced(function* (run, batch) {
    if (batch.params !== undefined) yield* writeParams(run.id, batch.params)
    if (batch.tags !== undefined) yield* writeTags(run.id, batch.tags)
    if (batch.metrics !== undefined) yield* writeMetrics(run, batch.metrics)
  })
}
