import { Dataset, Predictor } from "@ashlar/core"
import * as Parquet from "@ashlar/core/parquet"
import { Metric } from "@ashlar/monitoring"
import * as Effect from "effect/Effect"
import { toTensor } from "./flights.ts"
import { modelName } from "./train.ts"
import { Workspace } from "./Workspace.ts"

const batchRows = 8192

/** AUC of a version on a stored frame, scored in process. */
export const auc = Effect.fnUntraced(function* (version: number, frame: string) {
  const workspace = yield* Workspace
  const predictor = yield* Predictor.Predictor
  const model = { name: modelName, version }
  const { inputs } = yield* predictor.signature(model)
  const names = inputs[0]?.columns ?? []
  const table = yield* Dataset.table(
    yield* Parquet.read(workspace.path("frames", `${frame}.parquet`), {
      columns: [...names, "late"],
    }),
  )
  const columns = yield* Effect.forEach(names, (name) => Dataset.float32(table, name))
  const late = yield* Dataset.float64(table, "late")
  const scores = new Float64Array(late.length)
  for (let from = 0; from < late.length; from += batchRows) {
    const to = Math.min(from + batchRows, late.length)
    const { outputs } = yield* predictor.predict({
      model,
      inputs: { features: toTensor(columns, from, to) },
      outputs: ["probability"],
    })
    scores.set(Float64Array.from(outputs["probability"]?.data as Float32Array), from)
  }
  return Metric.auc(late, scores)
})
