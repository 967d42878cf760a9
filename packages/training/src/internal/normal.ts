/**
 * The standard normal distribution, for truncated normals.
 *
 * @module
 */

/** Cumulative probability (Hart's rational approximation in West's form, 2005; about 1e-15). */
export const cdf = (x: number): number => {
  const z = Math.abs(x)
  if (z > 37) return x > 0 ? 1 : 0
  const e = Math.exp((-z * z) / 2)
  let tail: number
  if (z < 7.07106781186547) {
    let top = 3.52624965998911e-2 * z + 0.700383064443688
    for (const c of [
      6.37396220353165, 33.912866078383, 112.079291497871, 221.213596169931, 220.206867912376,
    ])
      top = top * z + c
    let bottom = 8.83883476483184e-2 * z + 1.75566716318264
    for (const c of [
      16.064177579207, 86.7807322029461, 296.564248779674, 637.333633378831, 793.826512519948,
      440.413735824752,
    ]) {
      bottom = bottom * z + c
    }
    tail = (e * top) / bottom
  } else {
    const fraction = z + 1 / (z + 2 / (z + 3 / (z + 4 / (z + 0.65))))
    tail = e / (fraction * 2.506628274631)
  }
  return x > 0 ? 1 - tail : tail
}

/** A draw from the normal of `mu` and `sigma` cut to [low, high], by bisection on the cumulative probability. */
export const drawTruncated = (
  mu: number,
  sigma: number,
  low: number,
  high: number,
  uniform: number,
): number => {
  const from = cdf((low - mu) / sigma)
  const to = cdf((high - mu) / sigma)
  const target = from + uniform * (to - from)
  let a = low
  let b = high
  for (let i = 0; i < 60 && b - a > 1e-13 * (high - low); i++) {
    const middle = (a + b) / 2
    if (cdf((middle - mu) / sigma) < target) a = middle
    else b = middle
  }
  return (a + b) / 2
}

/** Log density of that distribution; between two edges its log probability. */
export const logDensity = (
  x: number,
  mu: number,
  sigma: number,
  low: number,
  high: number,
): number => {
  const mass = cdf((high - mu) / sigma) - cdf((low - mu) / sigma)
  const z = (x - mu) / sigma
  return -0.5 * z * z - Math.log(sigma * Math.sqrt(2 * Math.PI)) - Math.log(mass)
}

/** Log probability of [from, to] under the normal of `mu` and `sigma` cut to [low, high]. */
export const logProbability = (
  from: number,
  to: number,
  mu: number,
  sigma: number,
  low: number,
  high: number,
): number => {
  const mass = cdf((high - mu) / sigma) - cdf((low - mu) / sigma)
  const part = cdf((to - mu) / sigma) - cdf((from - mu) / sigma)
  return Math.log(Math.max(part, 1e-300) / mass)
}
