import { ModelSource, Timestamp } from "@ashlar/core"
import { Alerts, Explanation, Monitoring, Rule } from "@ashlar/monitoring"
import * as Effect from "effect/Effect"
import { date, type Span } from "./calendar.ts"
import * as Features from "./features.ts"
import { FeatureDrift, Miss, Week } from "./result.ts"
import { modelName, part } from "./train.ts"

const may = { from: date(5), to: date(6) }

/** Asks for a retrain when a week's log loss is clearly worse than May's was. */
const worseThanMay = Rule.make({
  name: "worse-than-may",
  model: modelName,
  when: { kind: "performance-drop", metric: "log_loss", baseline: may },
  threshold: 0.05,
  by: "week",
  minSamples: 500,
  trigger: { kind: "retrain" },
})

/** What the rules said at an instant, and the trigger they fired, if they did. */
export const evaluate = Effect.fnUntraced(function* (at: Timestamp.Timestamp) {
  const alerts = yield* Alerts.Alerts
  yield* alerts.putRule(yield* worseThanMay)
  const [evaluation] = yield* alerts.evaluateRules({ at })
  if (evaluation?.alert === undefined) return null
  return {
    at: evaluation.window.to,
    // The key that the trigger, and so the run it starts, goes by.
    key: `monitoring/${evaluation.rule}/${Timestamp.toIso(evaluation.window.from)}`,
    reason: evaluation.reason,
  }
})

/** Performance of every week, from the labels known by now. */
export const weeks = Effect.gen(function* () {
  const monitoring = yield* Monitoring.Monitoring
  const rows = yield* monitoring.performance({
    model: modelName,
    by: "week",
    metrics: ["auc", "log_loss"],
  })
  return rows.map((row): typeof Week.Type => ({
    from: row.window.from,
    predictions: row.predictions,
    coverage: row.coverage,
    auc: row.metrics.auc ?? null,
    logLoss: row.metrics.log_loss ?? null,
  }))
})

/** Drift of the served features by month, against what the champion learned from. */
export const drift = Effect.gen(function* () {
  const monitoring = yield* Monitoring.Monitoring
  const months = yield* monitoring.drift({ model: modelName, by: "month", to: date(7) })
  return months.flatMap(({ window, report }) =>
    report.columns.map((column): typeof FeatureDrift.Type => ({
      month: Timestamp.toIso(window.from).slice(0, 7),
      feature: column.column,
      psi: column.psi ?? 0,
      drifted: column.drifted,
    })),
  )
})

/** The predictions of a version that were most wrong, and why the model made them. */
export const misses = Effect.fnUntraced(function* (version: number, frame: string, trained: Span) {
  const monitoring = yield* Monitoring.Monitoring
  const source = yield* ModelSource.ModelSource
  const worst = yield* monitoring.worstMisses({
    model: modelName,
    version: String(version),
    limit: 15,
  })
  const columns = Features.flightRisk.features
  const rows = new Float32Array(worst.length * columns.length)
  worst.forEach((miss, i) => {
    columns.forEach((name, j) => {
      const value = miss.features[name]
      rows[i * columns.length + j] = typeof value === "number" ? value : Number.NaN
    })
  })
  const model = yield* source.resolve({ name: modelName, version })
  const explanation = yield* Explanation.explain({
    model: model.package,
    rows,
    columns,
    // Which branches are usual is learned from rows the model was trained on.
    background: yield* part(frame, trained, 2000),
  })
  return worst.map((miss, i): typeof Miss.Type => ({
    predictionId: miss.predictionId,
    time: miss.time,
    probability: Number(miss.outputs["probability"]),
    late: miss.label === 1,
    reasons: Explanation.top(explanation, i, 4).map(({ column, value }) => ({ column, value })),
  }))
})
