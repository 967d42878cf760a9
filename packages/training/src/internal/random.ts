/**
 * Seeded random numbers: the same seed gives the same sequence on every machine.
 *
 * @module
 */

/** Avalanche mix of a 32-bit integer (Wellons' triple-xorshift constants; the kernel has the same). */
export const mix = (value: number): number => {
  let a = value >>> 0
  a ^= a >>> 16
  a = Math.imul(a, 0x7feb352d)
  a ^= a >>> 15
  a = Math.imul(a, 0x846ca68b)
  return (a ^ (a >>> 16)) >>> 0
}

/** Combines integers into one 32-bit seed; the order matters. */
export const seedOf = (...parts: ReadonlyArray<number>): number => {
  let h = 0x9e3779b9
  for (const part of parts)
    h = mix(Math.imul(h, 31) + Math.trunc(part) + Math.trunc(part / 4294967296))
  return h
}

/** A seeded source of uniform and normal numbers (sfc32). */
export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  readonly uniform: () => number
  /** Standard normal (Box-Muller, one of the pair). */
  readonly normal: () => number
  /** Integer in [0, n). */
  readonly below: (n: number) => number
}

/** Makes the generator of a seed. */
export const makeRandom = (seed: number): Random => {
  let a = mix(seed)
  let b = mix(a ^ 0x243f6a88)
  let c = mix(b ^ 0x85a308d3)
  let d = 1
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) next()
  const uniform = () => ((next() >>> 6) * 134217728 + (next() >>> 5)) / 9007199254740992
  return {
    uniform,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    below: (n) => Math.floor(uniform() * n),
  }
}
