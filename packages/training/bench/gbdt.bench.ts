// Training time of the tree learner: 500,000 rows, 28 features, 100 trees, 31 leaves, 255 bins.
// With ASHLAR_PYTHON (a Python with lightgbm, numpy and scikit-learn) also LightGBM's, in this run.
import * as Effect from "effect/Effect"
import { GradientBoosting } from "@ashlar/training"
import { auc } from "../src/internal/metrics.ts"
import { frameOf } from "../test/data.ts"
import { lightgbm } from "../test/interop/lightgbm.ts"

const rows = Number(process.env["ASHLAR_BENCH_ROWS"] ?? 500_000)
const iterations = 100
const train = frameOf({ rows, features: 28, missing: 0.02 })
const valid = frameOf({ rows: 100_000, features: 28, missing: 0.02, seed: 2 })
const line = (
  bench: string,
  value: number,
  unit: string,
  against: string,
  bar: number | null,
  pass: boolean | null,
) =>
  console.log(
    JSON.stringify({ bench, value: Number(value.toPrecision(5)), unit, against, bar, pass }),
  )

const threads = [1, 2]
const ours: Array<{ readonly seconds: number; readonly auc: number }> = []
for (const count of threads) {
  const start = performance.now()
  const fitted = await Effect.runPromise(
    GradientBoosting.fit(train, { params: { iterations }, seed: 1, threads: count }),
  )
  const seconds = (performance.now() - start) / 1000
  ours.push({ seconds, auc: auc(valid.label, fitted.predict(valid.columns)) })
  line(
    `gbdt ${count} thread(s)`,
    (rows * iterations) / seconds / 1e6,
    "Mrow*trees/s",
    "-",
    null,
    null,
  )
}
const python = process.env["ASHLAR_PYTHON"]
if (python !== undefined) {
  lightgbm(python, train, valid, iterations, threads).forEach((peer, i) => {
    const mine = ours[i] ?? { seconds: Number.NaN, auc: Number.NaN }
    const ratio = mine.seconds / peer.total_s
    line(`gbdt time, ${peer.threads} thread(s)`, ratio, "x", "LightGBM", 1.3, ratio <= 1.3)
    const difference = Math.abs(mine.auc - peer.auc)
    line(
      `gbdt AUC difference, ${peer.threads} thread(s)`,
      difference,
      "AUC",
      "LightGBM",
      0.002,
      difference <= 0.002,
    )
  })
}
