/**
 * Seeded random numbers: sfc32, started through a mixing function so that near seeds differ.
 *
 * @module
 */

/** A generator of doubles in [0, 1). */
export type Random = () => number

/** A generator for a seed; the same seed gives the same numbers. */
export const random = (seed: number): Random => {
  let state = seed | 0
  const mix = (): number => {
    state = (state + 0x9e3779b9) | 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return z ^ (z >>> 15)
  }
  let a = mix()
  let b = mix()
  let c = mix()
  let d = 1
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return (t >>> 0) / 4294967296
  }
  for (let i = 0; i < 12; i++) next()
  return next
}

/** Shuffles in place (Fisher-Yates). */
export const shuffle = (values: Uint32Array, next: Random): void => {
  for (let i = values.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const swap = values[i] as number
    values[i] = values[j] as number
    values[j] = swap
  }
}
