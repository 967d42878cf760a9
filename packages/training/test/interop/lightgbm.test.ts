import { describe, expect, it } from "vitest"
import * as Effect from "effect/Effect"
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet"
import { compressors } from "hyparquet-compressors"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { Frame, GradientBoosting } from "@ashlar/training"
import { auc, logLoss } from "../../src/internal/metrics.ts"
import { frameOf } from "../data.ts"
import { lightgbm } from "./lightgbm.ts"

const python = process.env["ASHLAR_PYTHON"] ?? ""

/** Real flights of early 2001: is it more than 15 minutes late? Airports are categories. */
const flights = async () => {
  const folder = dirname(dirname(createRequire(import.meta.url).resolve("vega-datasets")))
  const file = await asyncBufferFromFile(join(folder, "data/flights-3m.parquet"))
  const rows = await parquetReadObjects({ file, compressors, rowEnd: 400_000 })
  const codes = new Map<unknown, number>()
  const codeOf = (airport: unknown) => {
    if (!codes.has(airport)) codes.set(airport, codes.size)
    return codes.get(airport) ?? Number.NaN
  }
  const half = (remainder: number) => {
    const picked = rows.filter((_, i) => i % 2 === remainder)
    const times = picked.map((row) => row["date"] as Date)
    return Effect.runPromise(
      Frame.make({
        features: ["hour", "weekday", "day", "distance", "origin", "destination"],
        categorical: ["origin", "destination"],
        columns: [
          Float32Array.from(times, (time) => time.getUTCHours() + time.getUTCMinutes() / 60),
          Float32Array.from(times, (time) => time.getUTCDay()),
          Float32Array.from(times, (time) => Math.floor(time.getTime() / 86_400_000) % 1000),
          Float32Array.from(picked, (row) => Number(row["distance"])),
          Float32Array.from(picked, (row) => codeOf(row["origin"])),
          Float32Array.from(picked, (row) => codeOf(row["destination"])),
        ],
        label: Float32Array.from(picked, (row) => (Number(row["delay"]) > 15 ? 1 : 0)),
      }),
    )
  }
  return { train: await half(0), valid: await half(1) }
}

const compare = async (train: Frame.Frame, valid: Frame.Frame) => {
  const ours = await Effect.runPromise(
    GradientBoosting.fit(train, { params: { iterations: 100 }, seed: 1, threads: 2 }),
  )
  const scores = ours.predict(valid.columns)
  const [peer] = lightgbm(python, train, valid, 100, [2])
  return { ours: { auc: auc(valid.label, scores), logloss: logLoss(valid.label, scores) }, peer }
}

describe.skipIf(python === "")("against LightGBM with the same settings", () => {
  it("synthetic rows with missing values: AUC within 0.002", async () => {
    const { ours, peer } = await compare(
      frameOf({ rows: 200_000, features: 20, missing: 0.05 }),
      frameOf({ rows: 50_000, features: 20, missing: 0.05, seed: 2 }),
    )
    expect(Math.abs(ours.auc - (peer?.auc ?? 0))).toBeLessThan(0.002)
    expect(Math.abs(ours.logloss - (peer?.logloss ?? 0))).toBeLessThan(0.002)
  }, 180_000)

  it("real flights with airports as categories: AUC within 0.002, or better", async () => {
    const { train, valid } = await flights()
    const { ours, peer } = await compare(train, valid)
    expect(ours.auc).toBeGreaterThan((peer?.auc ?? 1) - 0.002)
  }, 180_000)
})
