/**
 * Tails of the distributions tests are made of. Accurate far out: `normalSf(30)` is 4.9e-198, not 0.
 *
 * @module
 */
import { betaI, erfc, gammaQ } from "./internal/special.ts"
import { MonitoringError } from "./MonitoringError.ts"

const need = (ok: boolean, message: string): void => {
  if (!ok) throw new MonitoringError({ reason: "InvalidInput", message })
}

/**
 * P(Z > z) of the standard normal.
 *
 * @example
 * ```ts
 * import { Distribution } from "@ashlar/monitoring"
 *
 * Distribution.normalSf(1.959963984540054).toFixed(6) // => "0.025000"
 * ```
 */
export const normalSf = (z: number): number => 0.5 * erfc(z / Math.SQRT2)

/** The z with P(Z > z) = p, 0 < p < 1 (rational start, then Halley steps to full precision). */
export const normalIsf = (p: number): number => {
  need(p > 0 && p < 1, `normalIsf needs 0 < p < 1, got ${p}`)
  if (p > 0.5) return -normalIsf(1 - p)
  const t = Math.sqrt(-2 * Math.log(p))
  let z =
    t -
    (2.515517 + t * (0.802853 + t * 0.010328)) /
      (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
  for (let i = 0; i < 3; i++) {
    const density = Math.exp((-z * z) / 2) / 2.5066282746310005
    const step = (normalSf(z) - p) / density
    z += step / (1 - (z * step) / 2)
  }
  return z
}

/** P(X > x) of chi-square with `dof` degrees of freedom. */
export const chiSquareSf = (x: number, dof: number): number => {
  need(dof > 0 && x >= 0, `chiSquareSf needs x >= 0 and dof > 0, got x = ${x}, dof = ${dof}`)
  return gammaQ(dof / 2, x / 2)
}

/** P(T > t) of Student's t with `dof` degrees of freedom; 10 digits beyond 1e5 degrees, else 12. */
export const studentSf = (t: number, dof: number): number => {
  need(dof > 0 && !Number.isNaN(t), `studentSf needs a number t and dof > 0, got ${t}, ${dof}`)
  if (t < 0) return 1 - studentSf(-t, dof)
  if (t === Infinity) return 0
  const square = t * t
  return 0.5 * betaI(dof / 2, 0.5, dof / (dof + square), square / (dof + square))
}

/** P(K > x) of Kolmogorov's limiting distribution. */
export const kolmogorovSf = (x: number): number => {
  need(!Number.isNaN(x), "kolmogorovSf needs a number, got NaN")
  if (x <= 0) return 1
  if (x < 1.18) {
    // The Jacobi-transformed series: three terms are enough this far left.
    const scale = -(Math.PI * Math.PI) / (8 * x * x)
    let sum = 0
    for (let k = 1; k <= 7; k += 2) sum += Math.exp(scale * k * k)
    return 1 - (2.5066282746310005 / x) * sum
  }
  let sum = 0
  for (let k = 1; k <= 8; k++) sum += (k % 2 === 1 ? 2 : -2) * Math.exp(-2 * k * k * x * x)
  return sum
}

/**
 * P(D >= h / (n m)) of the two-sample Kolmogorov-Smirnov statistic without ties, by walking the
 * n x m lattice (Hodges 1958). Only positive terms are added, so small p keep their digits.
 *
 * @param h the statistic times n m, a whole number
 */
export const kolmogorovTwoSampleSf = (h: number, n: number, m: number): number => {
  need(
    Number.isInteger(h) && Number.isInteger(n) && Number.isInteger(m) && n > 0 && m > 0,
    `kolmogorovTwoSampleSf needs whole h, n, m with n, m > 0, got ${h}, ${n}, ${m}`,
  )
  if (h <= 0) return 1
  let outside = 0
  // inside[j]: probability of being at (i, j) and never having left the band.
  const inside = new Float64Array(m + 1)
  inside[0] = 1
  for (let i = 0; i <= n; i++) {
    for (let j = 0; j <= m; j++) {
      if (i === 0 && j === 0) continue
      const left = n + m - (i + j) + 1
      const fromBelow = i > 0 ? ((inside[j] as number) * (n - i + 1)) / left : 0
      const fromLeft = j > 0 ? ((inside[j - 1] as number) * (m - j + 1)) / left : 0
      const here = fromBelow + fromLeft
      if (Math.abs(i * m - j * n) >= h) {
        outside += here
        inside[j] = 0
      } else inside[j] = here
    }
  }
  return Math.min(1, outside)
}
