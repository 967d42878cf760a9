/**
 * Special functions in double precision, written for accurate tails: every tail is computed
 * directly and never as one minus the other tail where that would lose digits.
 *
 * @module
 */

const lanczos = [
  0.99999999999999709182, 57.156235665862923517, -59.597960355475491248, 14.136097974741747174,
  -0.49191381609762019978, 0.33994649984811888699e-4, 0.46523628927048575665e-4,
  -0.98374475304879564677e-4, 0.15808870322491248884e-3, -0.21026444172410488319e-3,
  0.2174396181152126432e-3, -0.16431810653676389022e-3, 0.84418223983852743293e-4,
  -0.2619083840158140867e-4, 0.36899182659531622704e-5,
] as const

/** What Stirling's formula leaves out of ln Γ(x), for x >= 10. */
export const stirlingRest = (x: number): number => {
  const r = 1 / (x * x)
  return (
    (1 / 12 -
      r *
        (1 / 360 -
          r * (1 / 1260 - r * (1 / 1680 - r * (1 / 1188 - r * (691 / 360360 - r * (1 / 156))))))) /
    x
  )
}

/** ln Γ(x) for x > 0 (Lanczos below 10, Stirling above). */
export const logGamma = (x: number): number => {
  if (x >= 10) return (x - 0.5) * Math.log(x) - x + 0.9189385332046727418 + stirlingRest(x)
  const t = x + 671 / 128
  let sum: number = lanczos[0]
  for (let i = 1; i < lanczos.length; i++) sum += (lanczos[i] as number) / (x + i)
  return (x + 0.5) * Math.log(t) - t + Math.log((2.5066282746310005 * sum) / x)
}

/** log1p(x) - x without cancellation near 0. */
export const log1pMinus = (x: number): number => {
  if (Math.abs(x) > 0.4) return Math.log1p(x) - x
  const r = x / (2 + x)
  const r2 = r * r
  let sum = 0
  let power = 1
  for (let k = 3; k < 60; k += 2) {
    const term = power / k
    sum += term
    power *= r2
    if (power < 1e-18) break
  }
  return 2 * r * r2 * sum - x * r
}

/** x^a e^-x / Γ(a+1). */
const gammaPower = (a: number, x: number): number => {
  if (a < 10) return Math.exp(a * Math.log(x) - x - logGamma(a + 1))
  return Math.exp(a * log1pMinus((x - a) / a) - stirlingRest(a)) / Math.sqrt(2 * Math.PI * a)
}

const gammaSeries = (a: number, x: number): number => {
  let term = 1
  let sum = 1
  for (let n = 1; n < 1_000_000; n++) {
    term *= x / (a + n)
    sum += term
    if (term < sum * 1e-17) break
  }
  return sum * gammaPower(a, x)
}

/** Upper tail by the continued fraction of Legendre (modified Lentz). */
const gammaFraction = (a: number, x: number): number => {
  const tiny = 1e-300
  let b = x + 1 - a
  let c = 1 / tiny
  let d = 1 / b
  let h = d
  for (let i = 1; i < 1_000_000; i++) {
    const an = -i * (i - a)
    b += 2
    d = an * d + b
    if (Math.abs(d) < tiny) d = tiny
    c = b + an / c
    if (Math.abs(c) < tiny) c = tiny
    d = 1 / d
    const step = d * c
    h *= step
    if (Math.abs(step - 1) < 1e-16) break
  }
  return a * h * gammaPower(a, x)
}

/** Regularised upper incomplete gamma Q(a, x), a > 0, x >= 0. */
export const gammaQ = (a: number, x: number): number => {
  if (x <= 0) return 1
  if (x === Infinity) return 0
  return x < a + 1 ? 1 - gammaSeries(a, x) : gammaFraction(a, x)
}

/** Regularised lower incomplete gamma P(a, x). */
export const gammaP = (a: number, x: number): number => {
  if (x <= 0) return 0
  if (x === Infinity) return 1
  return x < a + 1 ? gammaSeries(a, x) : 1 - gammaFraction(a, x)
}

/** Complementary error function. */
export const erfc = (x: number): number => (x < 0 ? 2 - erfc(-x) : x === 0 ? 1 : gammaQ(0.5, x * x))

/** ln Γ(a+b) - ln Γ(a) for a >= 10 without the cancellation of two large logarithms. */
const logGammaRatio = (a: number, b: number): number =>
  (a - 0.5) * Math.log1p(b / a) + b * Math.log(a + b) - b + stirlingRest(a + b) - stirlingRest(a)

const logBeta = (a: number, b: number): number => {
  const large = Math.max(a, b)
  const small = Math.min(a, b)
  if (large < 10) return logGamma(a) + logGamma(b) - logGamma(a + b)
  return logGamma(small) - logGammaRatio(large, small)
}

const betaFraction = (a: number, b: number, x: number, y: number): number => {
  const tiny = 1e-300
  let c = 1
  // 1 - (a + b) x / (a + 1), written with y so that nothing cancels for large a.
  let d = (1 - b + (a + b) * y) / (a + 1)
  if (Math.abs(d) < tiny) d = tiny
  d = 1 / d
  let h = d
  for (let m = 1; m < 100_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 + even * d
    if (Math.abs(d) < tiny) d = tiny
    c = 1 + even / c
    if (Math.abs(c) < tiny) c = tiny
    d = 1 / d
    h *= d * c
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 + odd * d
    if (Math.abs(d) < tiny) d = tiny
    c = 1 + odd / c
    if (Math.abs(c) < tiny) c = tiny
    d = 1 / d
    const step = d * c
    h *= step
    if (Math.abs(step - 1) < 1e-16) break
  }
  return h
}

/** Regularised incomplete beta I_x(a, b); give `y` = 1 - x when it is known more exactly. */
export const betaI = (a: number, b: number, x: number, y: number = 1 - x): number => {
  if (x <= 0) return 0
  if (y <= 0) return 1
  const logX = x > 0.5 ? Math.log1p(-y) : Math.log(x)
  const logY = y > 0.5 ? Math.log1p(-x) : Math.log(y)
  const front = Math.exp(a * logX + b * logY - logBeta(a, b))
  return x < (a + 1) / (a + b + 2)
    ? (front * betaFraction(a, b, x, y)) / a
    : 1 - (front * betaFraction(b, a, y, x)) / b
}
