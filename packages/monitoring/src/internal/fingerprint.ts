/**
 * Prediction ids as salted 64-bit fingerprints, and the sets that remember them. Two of ten million
 * ids share a fingerprint with a chance of about 3 in a million; the salt is secret to the database,
 * so nobody can aim for it.
 *
 * @module
 */

/** Fingerprints of ids, 32 bits in each lane. */
export interface Fingerprints {
  readonly a: Int32Array
  readonly b: Int32Array
}

/** Fingerprints of ids under a salt (two multiply-xorshift lanes over UTF-16 units). */
export const fingerprints = (ids: ReadonlyArray<string>, salt: number): Fingerprints => {
  const n = ids.length
  const a = new Int32Array(n)
  const b = new Int32Array(n)
  const seedA = salt | 0
  const seedB = Math.floor(salt / 0x1_0000_0000) | 0
  for (let i = 0; i < n; i++) {
    const id = ids[i] as string
    let x = seedA ^ 0x243f6a88
    let y = seedB ^ 0x13198a2e
    for (let j = 0; j < id.length; j++) {
      const unit = id.charCodeAt(j)
      x = Math.imul(x ^ unit, 0x85ebca6b)
      x ^= x >>> 15
      y = Math.imul(y ^ unit, 0xc2b2ae35)
      y ^= y >>> 13
    }
    x = Math.imul(x ^ y ^ id.length, 0x21f0aaad)
    x ^= x >>> 16
    y = Math.imul(y ^ x, 0x735a2d97)
    y ^= y >>> 15
    x = Math.imul(x ^ y, 0x9e3779b1)
    a[i] = x ^ (x >>> 16)
    b[i] = y
  }
  return { a, b }
}

/** Open-addressed table of fingerprints; the slot number of an id never means anything outside. */
export class FingerprintTable {
  /** Ids held. */
  size = 0
  #mask: number
  a: Int32Array
  b: Int32Array
  #used: Uint8Array

  /** Starts small: a server may know thousands of models with a few predictions each. */
  constructor(capacity = 16) {
    let slots = 32
    while (slots < capacity * 1.6) slots *= 2
    this.#mask = slots - 1
    this.a = new Int32Array(slots)
    this.b = new Int32Array(slots)
    this.#used = new Uint8Array(slots)
  }

  /** Slots there are; side arrays have this length. */
  get slots(): number {
    return this.#mask + 1
  }

  /** The slot of a fingerprint, or -1. */
  find(a: number, b: number): number {
    let slot = a & this.#mask
    while (this.#used[slot] === 1) {
      if (this.a[slot] === a && this.b[slot] === b) return slot
      slot = (slot + 1) & this.#mask
    }
    return -1
  }

  /** Adds a fingerprint that is not there; `moved` tells where every old slot went on growth. */
  insert(a: number, b: number, moved?: (to: Int32Array, slots: number) => void): number {
    if ((this.size + 1) * 1.6 > this.slots) this.#grow(moved)
    let slot = a & this.#mask
    while (this.#used[slot] === 1) slot = (slot + 1) & this.#mask
    this.#used[slot] = 1
    this.a[slot] = a
    this.b[slot] = b
    this.size++
    return slot
  }

  #grow(moved?: (to: Int32Array, slots: number) => void): void {
    const old = { a: this.a, b: this.b, used: this.#used }
    const slots = this.slots * 2
    this.#mask = slots - 1
    this.a = new Int32Array(slots)
    this.b = new Int32Array(slots)
    this.#used = new Uint8Array(slots)
    this.size = 0
    const to = new Int32Array(old.a.length).fill(-1)
    for (let i = 0; i < old.a.length; i++) {
      if (old.used[i] === 1) to[i] = this.insert(old.a[i] as number, old.b[i] as number)
    }
    moved?.(to, slots)
  }
}

/**
 * Remembers the newest ids, between `horizon / 2` and `horizon` of them, in two generations; that
 * bounds its memory to 15 to 30 bytes an id.
 */
export class RecentIds {
  readonly #half: number
  #current = new FingerprintTable()
  #previous = new FingerprintTable()

  constructor(horizon: number) {
    this.#half = Math.ceil(horizon / 2)
  }

  /** Adds an id; false when it was known. */
  add(a: number, b: number): boolean {
    if (this.#current.find(a, b) >= 0 || this.#previous.find(a, b) >= 0) return false
    if (this.#current.size >= this.#half) {
      this.#previous = this.#current
      this.#current = new FingerprintTable()
    }
    this.#current.insert(a, b)
    return true
  }
}

/** The newest label of each fingerprint. */
export class LabelTable {
  readonly #table = new FingerprintTable()
  #values = new Float64Array(this.#table.slots)
  #times = new Float64Array(this.#table.slots)

  /** Labelled ids. */
  get size(): number {
    return this.#table.size
  }

  /** Takes a label unless a later one is known; of the same time, the one that came last. */
  put(a: number, b: number, time: number, value: number): void {
    const known = this.#table.find(a, b)
    if (known >= 0) {
      if (time < (this.#times[known] as number)) return
      this.#values[known] = value
      this.#times[known] = time
      return
    }
    const slot = this.#table.insert(a, b, (to, slots) => {
      const values = new Float64Array(slots)
      const times = new Float64Array(slots)
      for (let i = 0; i < to.length; i++) {
        const target = to[i] as number
        if (target < 0) continue
        values[target] = this.#values[i] as number
        times[target] = this.#times[i] as number
      }
      this.#values = values
      this.#times = times
    })
    this.#values[slot] = value
    this.#times[slot] = time
  }

  /** The label; NaN when there is none. */
  get(a: number, b: number): number {
    const slot = this.#table.find(a, b)
    return slot < 0 ? Number.NaN : (this.#values[slot] as number)
  }
}
