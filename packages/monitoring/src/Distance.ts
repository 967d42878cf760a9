/**
 * Distances between two distributions, given as counts over the same bins or as samples.
 *
 * @module
 */
import { MonitoringError } from "./MonitoringError.ts"

/** Counts or weights, one per bin. */
export type Counts = ArrayLike<number>

const shares = (counts: Counts, name: string): Float64Array => {
  const out = new Float64Array(counts.length)
  let total = 0
  for (let i = 0; i < counts.length; i++) {
    const value = counts[i] as number
    if (!(value >= 0) || value === Infinity) {
      throw new MonitoringError({
        reason: "InvalidInput",
        message: `${name}[${i}] is ${value}; a bin's count is a finite number >= 0`,
        field: `${name}[${i}]`,
      })
    }
    total += value
    out[i] = value
  }
  if (total === 0) {
    throw new MonitoringError({
      reason: "InvalidInput",
      message: `${name} is empty; a distance needs at least one value on each side`,
      field: name,
    })
  }
  for (let i = 0; i < out.length; i++) out[i] = (out[i] as number) / total
  return out
}

const both = (reference: Counts, current: Counts): readonly [Float64Array, Float64Array] => {
  if (reference.length !== current.length) {
    throw new MonitoringError({
      reason: "InvalidInput",
      message: `reference has ${reference.length} bins and current ${current.length}; count both over the same bins`,
    })
  }
  return [shares(reference, "reference"), shares(current, "current")]
}

/**
 * Population stability index, Σ (r - c) ln(r / c). A bin without values gets the share `floor`.
 *
 * @example
 * ```ts
 * import { Distance } from "@ashlar/monitoring"
 *
 * Distance.psi([50, 50], [75, 25]).toFixed(4) // => "0.2747"
 * ```
 */
export const psi = (reference: Counts, current: Counts, floor = 1e-4): number => {
  const [r, c] = both(reference, current)
  let sum = 0
  for (let i = 0; i < r.length; i++) {
    if (r[i] === 0 && c[i] === 0) continue
    const a = Math.max(r[i] as number, floor)
    const b = Math.max(c[i] as number, floor)
    sum += (a - b) * Math.log(a / b)
  }
  return sum
}

/** Jensen-Shannon distance: the square root of the divergence, in base 2, so from 0 to 1. */
export const jensenShannon = (reference: Counts, current: Counts): number => {
  const [r, c] = both(reference, current)
  let sum = 0
  for (let i = 0; i < r.length; i++) {
    const a = r[i] as number
    const b = c[i] as number
    const middle = (a + b) / 2
    if (a > 0) sum += a * Math.log2(a / middle)
    if (b > 0) sum += b * Math.log2(b / middle)
  }
  return Math.sqrt(Math.max(0, sum / 2))
}

/** Total variation distance, half the sum of absolute differences. */
export const totalVariation = (reference: Counts, current: Counts): number => {
  const [r, c] = both(reference, current)
  let sum = 0
  for (let i = 0; i < r.length; i++) sum += Math.abs((r[i] as number) - (c[i] as number))
  return sum / 2
}

/** Wasserstein-1 distance of two ascending samples, in the samples' unit. */
export const wasserstein = (reference: Float64Array, current: Float64Array): number => {
  const n = reference.length
  const m = current.length
  if (n === 0 || m === 0) {
    throw new MonitoringError({
      reason: "InvalidInput",
      message: "wasserstein needs at least one value in each sample",
    })
  }
  let i = 0
  let j = 0
  let sum = 0
  let before = Math.min(reference[0] as number, current[0] as number)
  while (i < n || j < m) {
    const next = Math.min(
      i < n ? (reference[i] as number) : Infinity,
      j < m ? (current[j] as number) : Infinity,
    )
    sum += Math.abs(i / n - j / m) * (next - before)
    while (i < n && reference[i] === next) i++
    while (j < m && current[j] === next) j++
    before = next
  }
  return sum
}
