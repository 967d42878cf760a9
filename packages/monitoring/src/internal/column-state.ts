/**
 * What is known of one column while it is being read, and how two such states add up.
 *
 * @module
 */
import type { PredictionEvent } from "@ashlar/core"
import { Kll } from "./kll.ts"

/** Values of a column. */
export type Column = PredictionEvent.Column

const scratch = new Float64Array(8192)

/** Counts, moments and quantiles of numbers. */
export class NumericState {
  readonly kind = "numeric"
  /** Finite values. */
  count = 0
  missing = 0
  infinite = 0
  mean = 0
  /** Sum of squared deviations from the mean. */
  m2 = 0
  min = Infinity
  max = -Infinity
  sketch: Kll

  constructor(k: number) {
    this.sketch = new Kll(k)
  }

  /** Adds rows `from` to `to`; NaN counts as missing, infinities apart. */
  add(values: ArrayLike<number>, from = 0, to = values.length): void {
    for (let start = from; start < to; start += scratch.length) {
      const end = Math.min(start + scratch.length, to)
      let kept = 0
      let sum = 0
      let min = this.min
      let max = this.max
      for (let i = start; i < end; i++) {
        const value = (values[i] as number) + 0
        if (value - value !== 0) {
          if (value !== value) this.missing++
          else this.infinite++
          continue
        }
        scratch[kept++] = value
        sum += value
        if (value < min) min = value
        if (value > max) max = value
      }
      if (kept === 0) continue
      this.min = min
      this.max = max
      const mean = sum / kept
      let m2 = 0
      for (let i = 0; i < kept; i++) {
        const d = (scratch[i] as number) - mean
        m2 += d * d
      }
      this.#moments(kept, mean, m2)
      this.sketch.addAll(scratch, kept)
    }
  }

  /** Chan, Golub and LeVeque's addition of moments. */
  #moments(count: number, mean: number, m2: number): void {
    if (count === 0) return
    const total = this.count + count
    const delta = mean - this.mean
    this.mean += (delta * count) / total
    this.m2 += m2 + (delta * delta * this.count * count) / total
    this.count = total
  }

  merge(other: NumericState): void {
    this.missing += other.missing
    this.infinite += other.infinite
    this.min = Math.min(this.min, other.min)
    this.max = Math.max(this.max, other.max)
    this.#moments(other.count, other.mean, other.m2)
    this.sketch.merge(other.sketch)
  }
}

/** Counts of strings; beyond `capacity` distinct ones the rarest are only counted together. */
export class CategoricalState {
  readonly kind = "categorical"
  readonly capacity: number
  count = 0
  missing = 0
  other = 0
  values = new Map<string, number>()

  constructor(capacity: number) {
    this.capacity = capacity
  }

  add(values: ReadonlyArray<string | null>, from = 0, to = values.length): void {
    for (let i = from; i < to; i++) {
      const value = values[i]
      if (value === null || value === undefined) this.missing++
      else {
        this.count++
        this.values.set(value, (this.values.get(value) ?? 0) + 1)
      }
    }
    this.#trim(this.capacity * 2)
  }

  /** Adds a value that was counted before. */
  addCount(value: string, count: number): void {
    this.count += count
    this.values.set(value, (this.values.get(value) ?? 0) + count)
  }

  merge(other: CategoricalState): void {
    this.count += other.count
    this.missing += other.missing
    this.other += other.other
    for (const [value, count] of other.values) {
      this.values.set(value, (this.values.get(value) ?? 0) + count)
    }
    this.#trim(this.capacity * 2)
  }

  /** Values by falling count, at most `capacity`. */
  sorted(): ReadonlyArray<readonly [string, number]> {
    this.#trim(this.capacity)
    return [...this.values].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
  }

  #trim(limit: number): void {
    if (this.values.size <= limit) return
    const ordered = [...this.values].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    for (const [, count] of ordered.slice(this.capacity)) this.other += count
    this.values = new Map(ordered.slice(0, this.capacity))
  }
}

/** Either kind. */
export type ColumnState = NumericState | CategoricalState
