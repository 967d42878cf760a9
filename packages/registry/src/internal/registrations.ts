import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { VersionRow } from "./migrations/0006-models.ts"
import type { Store } from "./store.ts"

const key = "mlflow.modelVersions"

const parsed = (text: string): ReadonlyArray<unknown> => {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}

/** Tells a model that a run logged of a version that it became, as MLflow does: by a tag. */
export const tagLogged = Effect.fnUntraced(function* (
  { db, build }: Store,
  id: string,
  { model: name, version }: VersionRow,
): Effect.fn.Return<void, Database.DatabaseError> {
  const known = yield* db.first(
    build
      .selectFrom("registry_logged_model_tag")
      .select("value")
      .where("model", "=", id)
      .where("key", "=", key),
  )
  const before = known === undefined ? [] : parsed(known.value)
  const value = JSON.stringify([...before, { name, version }])
  yield* db.run(
    build
      .insertInto("registry_logged_model_tag")
      .values({ model: id, key, value })
      .onConflict((c) => c.columns(["model", "key"]).doUpdateSet({ value })),
  )
})
