/**
 * KLL quantile sketch (Karnin, Lang, Liberty 2016) over doubles: a bounded sample of a stream whose
 * ranks are right to about 2.3 / k^0.97 of the stream's length, mergeable in any order. Exact while
 * nothing was compacted. The coin is a seeded generator, so the same stream gives the same sketch.
 *
 * @module
 */

/** A level holds items of weight 2^level, in no order. */
interface Level {
  items: Float64Array
  size: number
}

const smallestLevel = 8

/** Ascending values with the weight at or below each. */
export interface SketchView {
  readonly values: Float64Array
  /** Running weight; the last is the number of values. */
  readonly cumulative: Float64Array
}

/** The sketch. `add` only finite values and -0 as 0; NaN breaks the order. */
export class Kll {
  readonly k: number
  readonly #levels: Array<Level>
  #coin: number

  constructor(k: number) {
    this.k = k
    this.#levels = [{ items: new Float64Array(k), size: 0 }]
    this.#coin = 0x9e3779b9
  }

  /** Whether every value is still there. */
  get exact(): boolean {
    return this.#levels.length === 1
  }

  /** Number of values added. */
  get weight(): number {
    return this.#levels.reduce((sum, level, h) => sum + level.size * 2 ** h, 0)
  }

  /** Largest error of a rank as a share of the count, at 99 % confidence; 0 while exact. */
  get rankError(): number {
    return this.exact ? 0 : 2.296 / this.k ** 0.9723
  }

  /** Adds the first `count` values. */
  addAll(values: Float64Array, count: number): void {
    let at = 0
    const first = this.#levels[0] as Level
    while (at < count) {
      const take = Math.min(count - at, this.k - first.size)
      first.items.set(values.subarray(at, at + take), first.size)
      first.size += take
      at += take
      if (first.size === this.k) this.#compact(0)
    }
  }

  #capacity(level: number): number {
    if (level === 0) return this.k
    const depth = this.#levels.length - 1 - level
    return Math.max(smallestLevel, Math.ceil(this.k * (2 / 3) ** depth))
  }

  #append(level: number, items: Float64Array): void {
    const to = this.#levels[level] ?? { items: new Float64Array(this.k), size: 0 }
    this.#levels[level] = to
    if (to.size + items.length > to.items.length) {
      const grown = new Float64Array(Math.max(to.items.length * 2, to.size + items.length))
      grown.set(to.items.subarray(0, to.size))
      to.items = grown
    }
    to.items.set(items, to.size)
    to.size += items.length
  }

  /** Sorts a level and lifts every second item with double weight. */
  #compact(level: number): void {
    const from = this.#levels[level] as Level
    const items = from.items.subarray(0, from.size).sort()
    // xorshift32: the coin that keeps the error unbiased.
    this.#coin ^= this.#coin << 13
    this.#coin ^= this.#coin >>> 17
    this.#coin ^= this.#coin << 5
    const even = from.size & ~1
    const lifted = new Float64Array(even / 2)
    const offset = (this.#coin >>> 7) & 1
    for (let i = 0; i < lifted.length; i++) lifted[i] = items[2 * i + offset] as number
    if (from.size % 2 === 1) from.items[0] = items[from.size - 1] as number
    from.size %= 2
    this.#append(level + 1, lifted)
    const above = this.#levels[level + 1] as Level
    if (above.size >= this.#capacity(level + 1)) this.#compact(level + 1)
  }

  /** Takes in another sketch of the same k. */
  merge(other: Kll): void {
    other.#levels.forEach((level, h) => {
      if (h === 0) this.addAll(level.items, level.size)
      else if (level.size > 0) {
        while (this.#levels.length <= h) this.#append(this.#levels.length, new Float64Array(0))
        this.#append(h, level.items.subarray(0, level.size))
      }
    })
    for (let h = 0; h < this.#levels.length; h++) {
      if ((this.#levels[h] as Level).size >= this.#capacity(h)) this.#compact(h)
    }
  }

  /** Items in order with their running weight. */
  view(): SketchView {
    const total = this.#levels.reduce((sum, level) => sum + level.size, 0)
    const values = new Float64Array(total)
    const cumulative = new Float64Array(total)
    // Sorted runs merged pairwise would save little: a sketch has a few thousand items.
    const weights = new Map<number, number>()
    let at = 0
    this.#levels.forEach((level, h) => {
      for (let i = 0; i < level.size; i++) {
        const value = level.items[i] as number
        values[at++] = value
        weights.set(value, (weights.get(value) ?? 0) + 2 ** h)
      }
    })
    values.sort()
    let distinct = 0
    let running = 0
    for (let i = 0; i < total; i++) {
      const value = values[i] as number
      if (i > 0 && value === values[i - 1]) continue
      running += weights.get(value) ?? 0
      values[distinct] = value
      cumulative[distinct++] = running
    }
    return { values: values.subarray(0, distinct), cumulative: cumulative.subarray(0, distinct) }
  }

  /** Levels as base64 of little-endian doubles, lowest weight first. */
  encode(): { readonly k: number; readonly coin: number; readonly levels: ReadonlyArray<string> } {
    return {
      k: this.k,
      coin: this.#coin,
      levels: this.#levels.map(({ items, size }) =>
        Buffer.from(items.slice(0, size).sort().buffer).toString("base64"),
      ),
    }
  }

  /** From {@link encode}; `undefined` when the bytes are not a sketch. */
  static decode(code: {
    readonly k: number
    readonly coin: number
    readonly levels: ReadonlyArray<string>
  }): Kll | undefined {
    const sketch = new Kll(code.k)
    sketch.#coin = code.coin
    for (const [h, text] of code.levels.entries()) {
      const bytes = Buffer.from(text, "base64")
      if (bytes.length % 8 !== 0 || (h === 0 && bytes.length / 8 >= code.k)) return undefined
      const items = new Float64Array(bytes.length / 8)
      new Uint8Array(items.buffer).set(bytes)
      for (const value of items) if (!Number.isFinite(value)) return undefined
      sketch.#append(h, items)
    }
    return sketch
  }
}

/** Share of values at or below x. */
export const cdf = (view: SketchView, x: number): number => {
  const n = view.values.length
  let low = 0
  let high = n
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((view.values[middle] as number) <= x) low = middle + 1
    else high = middle
  }
  return low === 0 ? 0 : (view.cumulative[low - 1] as number) / (view.cumulative[n - 1] as number)
}

/** Smallest kept value with at least the share q of values at or below it. */
export const quantile = (view: SketchView, q: number): number => {
  const n = view.values.length
  if (n === 0) return Number.NaN
  const rank = q * (view.cumulative[n - 1] as number)
  let low = 0
  let high = n - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((view.cumulative[middle] as number) >= rank) high = middle
    else low = middle + 1
  }
  return view.values[low] as number
}
