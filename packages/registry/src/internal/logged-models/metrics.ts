import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { LoggedModelMetric } from "../../LoggedModels.ts"
import { RegistryError } from "../../RegistryError.ts"
import type { Store } from "../store.ts"

/** A value of a metric of some logged model. */
export interface ModelMetric extends LoggedModelMetric {
  readonly modelId: string
}

/** Writes values; call it inside a transaction. */
export type WriteMetrics = (
  metrics: ReadonlyArray<ModelMetric>,
) => Effect.Effect<void, Database.DatabaseError | RegistryError>

/** Writes metrics of logged models to a store. A run's log endpoint writes through it too. */
export const make = ({ db, build }: Store): WriteMetrics =>
  Effect.fnUntraced(function* (metrics) {
    const models = [...new Set(metrics.map(({ modelId }) => modelId))]
    if (models.length === 0) return
    const known = new Set(
      (yield* db.all(
        build.selectFrom("registry_logged_model").select("id").where("id", "in", models),
      )).map(({ id }) => id),
    )
    const unknown = models.find((id) => !known.has(id))
    if (unknown !== undefined) {
      return yield* new RegistryError({
        reason: "NotFound",
        field: "model_id",
        message: `Logged model with ID '${unknown.slice(0, 300)}' not found.`,
      })
    }
    const rows = metrics.map((metric) => ({
      model: metric.modelId,
      key: metric.key,
      time: metric.time,
      step: metric.step,
      run: metric.runId,
      dataset_name: metric.datasetName ?? "",
      dataset_digest: metric.datasetDigest ?? "",
      // Not a number, and 0 has no sign.
      value: Number.isNaN(metric.value) ? 0 : metric.value + 0,
      nan: Number.isNaN(metric.value) ? 1 : 0,
    }))
    // In one order, so that two writers do not wait for each other.
    const sorted = rows.toSorted(
      (a, b) =>
        Number(a.model > b.model) - Number(a.model < b.model) ||
        Number(a.key > b.key) - Number(a.key < b.key) ||
        a.time - b.time ||
        a.step - b.step,
    )
    yield* db.insertMany("registry_logged_model_metric", sorted, { onConflict: "ignore" })
  })
