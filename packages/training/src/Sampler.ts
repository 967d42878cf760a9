/**
 * Suggest hyper-parameters: at random, or by a tree-structured Parzen estimator.
 *
 * A suggestion depends on the seed, the number of the trial and the trials before it, on nothing
 * else, so a search can be repeated and resumed.
 *
 * @module
 */
import type { Distribution, Space } from "./Distribution.ts"
import { drawTruncated, logDensity, logProbability } from "./internal/normal.ts"
import type { Random } from "./internal/random.ts"
import { makeRandom, seedOf } from "./internal/random.ts"
import type { Params } from "./Trainer.ts"

/** A trial that ended: its parameters and its objective, NaN when it failed. Lower is better. */
export interface Observation {
  readonly params: Params
  readonly value: number
}

/** Where a suggestion stands: `index` is the trial's number from 0. */
export interface Situation {
  readonly space: Space
  readonly seed: number
  readonly index: number
  /** Trials before this one, in order. */
  readonly history: ReadonlyArray<Observation>
}

/** Chooses the next trial's parameters. */
export type Sampler = (situation: Situation) => Params

type Value = string | number | boolean

/** The continuous range a numeric distribution is searched in; a step widens it by half a step. */
interface Range {
  readonly low: number
  readonly high: number
  readonly to: (value: number) => number
  readonly from: (x: number) => number
  /** Width of the cell of one value in this range; 0 for real numbers. */
  readonly step: number
}

const rangeOf = (
  distribution: Exclude<Distribution, { readonly name: "CategoricalDistribution" }>,
): Range => {
  const { low, high, log, step } = distribution.attributes
  const isInt = distribution.name === "IntDistribution"
  const half = step === null ? 0 : step / 2
  const clamp = (value: number) => Math.min(high, Math.max(low, value))
  if (log) {
    return {
      low: Math.log(low - (isInt ? half : 0)),
      high: Math.log(high + (isInt ? half : 0)),
      to: Math.log,
      from: (x) => clamp(isInt ? Math.round(Math.exp(x)) : Math.exp(x)),
      step: 0,
    }
  }
  const lastOnGrid = step === null ? high : low + Math.floor((high - low) / step + 1e-9) * step
  return {
    low: low - half,
    high: lastOnGrid + half,
    to: (value) => value,
    from: (x) =>
      step === null
        ? clamp(x)
        : Math.min(lastOnGrid, Math.max(low, low + Math.round((x - low) / step) * step)),
    step: step ?? 0,
  }
}

const drawUniform = (distribution: Distribution, random: Random): Value => {
  if (distribution.name === "CategoricalDistribution") {
    const { choices } = distribution.attributes
    return choices[random.below(choices.length)] ?? choices[0]
  }
  const range = rangeOf(distribution)
  return range.from(range.low + random.uniform() * (range.high - range.low))
}

const entriesOf = (space: Space): ReadonlyArray<readonly [string, Distribution]> =>
  Object.entries(space).sort(([a], [b]) => (a < b ? -1 : 1))

/** Independent draws from the distributions. */
export const random: Sampler = ({ space, seed, index }) => {
  const source = makeRandom(seedOf(seed, 21, index))
  return Object.fromEntries(
    entriesOf(space).map(([name, distribution]) => [name, drawUniform(distribution, source)]),
  )
}

/** One parameter's part of a Parzen mixture: a draw from component k, and its log density. */
interface Marginal {
  readonly draw: (component: number, random: Random) => Value
  readonly log: (component: number, value: Value) => number
}

const categoricalMarginal = (
  choices: ReadonlyArray<Value>,
  seen: ReadonlyArray<Value>,
): Marginal => {
  const prior = 1 / (seen.length + 1)
  const rows = [...seen.map((value) => choices.indexOf(value)), -1].map((hit) => {
    const weights = choices.map((_, i) => prior / choices.length + (i === hit ? 1 : 0))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    return weights.map((weight) => weight / total)
  })
  return {
    draw: (component, source) => {
      let rest = source.uniform()
      const weights = rows[component] ?? []
      const index = weights.findIndex((weight) => (rest -= weight) < 0)
      return choices[Math.max(0, index)] ?? ""
    },
    log: (component, value) => Math.log(rows[component]?.[choices.indexOf(value)] ?? 1e-300),
  }
}

const numericMarginal = (range: Range, seen: ReadonlyArray<number>): Marginal => {
  const width = range.high - range.low
  const mus = [
    ...seen.map((value) => Math.min(range.high, Math.max(range.low, range.to(value)))),
    (range.low + range.high) / 2,
  ]
  const order = mus.map((_, i) => i).sort((a, b) => (mus[a] ?? 0) - (mus[b] ?? 0) || a - b)
  const sigmas = mus.map(() => width)
  const least = width / Math.min(100, 1 + mus.length)
  order.forEach((component, rank) => {
    // The last component is the prior, as wide as the range.
    if (component === mus.length - 1) return
    const at = mus[component] ?? 0
    const gap = (other: number | undefined) =>
      other === undefined ? 0 : Math.abs((mus[other] ?? at) - at)
    const widest = Math.max(gap(order[rank - 1]), gap(order[rank + 1]))
    sigmas[component] = Math.min(width, Math.max(least, widest))
  })
  return {
    draw: (component, source) => {
      if (width === 0) return range.from(range.low)
      const [mu = 0, sigma = 1] = [mus[component], sigmas[component]]
      return range.from(drawTruncated(mu, sigma, range.low, range.high, source.uniform()))
    },
    log: (component, value) => {
      if (width === 0) return 0
      const [mu = 0, sigma = 1] = [mus[component], sigmas[component]]
      const x = range.to(Number(value))
      return range.step === 0
        ? logDensity(x, mu, sigma, range.low, range.high)
        : logProbability(x - range.step / 2, x + range.step / 2, mu, sigma, range.low, range.high)
    },
  }
}

/** Older trials count less once there are more than 25. */
const weightsOf = (n: number): ReadonlyArray<number> => {
  const old = Math.max(0, n - 25)
  const ramp = Array.from({ length: old }, (_, i) =>
    old === 1 ? 1 / n : 1 / n + (i * (1 - 1 / n)) / (old - 1),
  )
  const raw = [...ramp, ...Array.from({ length: n - old }, () => 1), 1]
  const total = raw.reduce((sum, weight) => sum + weight, 0)
  return raw.map((weight) => weight / total)
}

const mixtureOf = (space: Space, trials: ReadonlyArray<Observation>) => {
  const weights = weightsOf(trials.length)
  const marginals = entriesOf(space).map(([name, distribution]) => {
    const seen = trials.map(({ params }) => params[name] ?? "")
    const marginal =
      distribution.name === "CategoricalDistribution"
        ? categoricalMarginal(distribution.attributes.choices, seen)
        : numericMarginal(rangeOf(distribution), seen.map(Number))
    return { name, marginal }
  })
  return {
    draw: (source: Random): Params => {
      let rest = source.uniform()
      const component = Math.max(
        0,
        weights.findIndex((weight) => (rest -= weight) < 0),
      )
      return Object.fromEntries(
        marginals.map(({ name, marginal }) => [name, marginal.draw(component, source)]),
      )
    },
    log: (params: Params): number => {
      const parts = weights.map((weight, k) =>
        marginals.reduce(
          (sum, { name, marginal }) => sum + marginal.log(k, params[name] ?? ""),
          Math.log(weight),
        ),
      )
      const most = Math.max(...parts)
      return most + Math.log(parts.reduce((sum, part) => sum + Math.exp(part - most), 0))
    },
  }
}

const startupTrials = 10
const candidates = 24

/**
 * Multivariate tree-structured Parzen estimator (Bergstra et al. 2011) with Optuna 5's settings:
 * 10 random trials first, the best min(ceil(0.1 n), 25) trials against the rest, 24 candidates.
 */
export const tpe: Sampler = (situation) => {
  const { space, seed, index, history } = situation
  const complete = history.filter(({ value }) => Number.isFinite(value))
  if (complete.length < startupTrials || Object.keys(space).length === 0) return random(situation)
  const ranked = complete
    .map((_, i) => i)
    .sort((a, b) => (complete[a]?.value ?? 0) - (complete[b]?.value ?? 0) || a - b)
  const good = new Set(ranked.slice(0, Math.min(Math.ceil(0.1 * complete.length), 25)))
  const below = mixtureOf(
    space,
    complete.filter((_, i) => good.has(i)),
  )
  const above = mixtureOf(
    space,
    complete.filter((_, i) => !good.has(i)),
  )
  const source = makeRandom(seedOf(seed, 22, index))
  let best = below.draw(source)
  let bestScore = below.log(best) - above.log(best)
  for (let k = 1; k < candidates; k++) {
    const params = below.draw(source)
    const score = below.log(params) - above.log(params)
    if (score > bestScore) {
      best = params
      bestScore = score
    }
  }
  return best
}
