/**
 * Adjusts p-values for having made many tests.
 *
 * @module
 */
import { MonitoringError } from "./MonitoringError.ts"

/**
 * `bh` and `by` (Benjamini-Hochberg, Benjamini-Yekutieli) bound the false discovery rate, `by`
 * under any dependence; `holm` and `bonferroni` bound the chance of any false discovery.
 */
export type Method = "bh" | "by" | "holm" | "bonferroni" | "none"

/**
 * Adjusted p-values in the order given: reject where they are below alpha. NaN stands for a test
 * that was not made; it stays NaN and does not count.
 *
 * @example
 * ```ts
 * import { Multiplicity } from "@ashlar/monitoring"
 *
 * Multiplicity.adjust([0.01, 0.04, 0.03], "holm") // => [0.03, 0.06, 0.06]
 * ```
 */
export const adjust = (pValues: ReadonlyArray<number>, method: Method): Array<number> => {
  const made: Array<number> = []
  pValues.forEach((p, i) => {
    if (Number.isNaN(p)) return
    if (p < 0 || p > 1) {
      throw new MonitoringError({
        reason: "InvalidInput",
        message: `pValues[${i}] is ${p}; a p-value lies between 0 and 1`,
        field: `pValues[${i}]`,
      })
    }
    made.push(i)
  })
  const out = [...pValues]
  const n = made.length
  if (method === "none") return out
  const p = (i: number): number => pValues[i] as number
  if (method === "bonferroni") {
    for (const i of made) out[i] = Math.min(1, p(i) * n)
    return out
  }
  made.sort((a, b) => p(a) - p(b))
  if (method === "holm") {
    let running = 0
    made.forEach((i, rank) => {
      running = Math.max(running, Math.min(1, p(i) * (n - rank)))
      out[i] = running
    })
    return out
  }
  let scale = 1
  if (method === "by") {
    scale = 0
    for (let k = 1; k <= n; k++) scale += 1 / k
  }
  let running = 1
  for (let rank = n; rank >= 1; rank--) {
    const i = made[rank - 1] as number
    running = Math.min(running, (p(i) * n * scale) / rank)
    out[i] = running
  }
  return out
}
