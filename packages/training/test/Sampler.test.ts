import { describe, expect, it } from "vitest"
import * as fc from "fast-check"
import * as Schema from "effect/Schema"
import { Distribution, Sampler } from "@ashlar/training"
import { cdf, drawTruncated, logProbability } from "../src/internal/normal.ts"

const space = {
  x: Distribution.float(-5, 5),
  rate: Distribution.float(1e-4, 1, { log: true }),
  grid: Distribution.float(0, 1, { step: 0.3 }),
  n: Distribution.int(1, 9, { step: 2 }),
  wide: Distribution.int(1, 1000, { log: true }),
  kind: Distribution.categorical(["a", "b", true]),
}

type Objective = (params: Readonly<Record<string, unknown>>) => number

const optimise = (
  sampler: Sampler.Sampler,
  objective: Objective,
  searched: Distribution.Space,
  trials: number,
  seed: number,
) => {
  const history: Array<Sampler.Observation> = []
  for (let index = 0; index < trials; index++) {
    const params = sampler({ space: searched, seed, index, history })
    history.push({ params, value: objective(params) })
  }
  return history
}

const best = (history: ReadonlyArray<Sampler.Observation>) =>
  Math.min(...history.map(({ value }) => value))

const median = (values: ReadonlyArray<number>) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

describe("samplers", () => {
  it.each(["random", "tpe"] as const)(
    "%s stays inside the distributions and repeats itself",
    (name) => {
      const sampler = Sampler[name]
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 1e9 }), (seed) => {
          const objective: Objective = ({ x, kind }) => (kind === "b" ? Number(x) : 3)
          const history = optimise(sampler, objective, space, 18, seed)
          for (const { params } of history) {
            const { x, rate, grid, n, wide, kind } = params
            expect(Math.abs(Number(x))).toBeLessThanOrEqual(5)
            expect(rate).toBeGreaterThanOrEqual(1e-4)
            expect(rate).toBeLessThanOrEqual(1)
            expect([0, 3, 6, 9]).toContain(Math.round(Number(grid) * 10))
            expect([1, 3, 5, 7, 9]).toContain(n)
            expect(Number.isInteger(wide)).toBe(true)
            expect(["a", "b", true]).toContain(kind)
          }
          expect(optimise(sampler, objective, space, 18, seed)).toEqual(history)
        }),
        { numRuns: 20, seed: 3 },
      )
    },
  )

  it("TPE finds better values than random search in the same trials", () => {
    const searched = {
      x: Distribution.float(-5, 5),
      y: Distribution.float(-5, 5),
      kind: Distribution.categorical(["p", "q"]),
    }
    const objective: Objective = ({ x, y, kind }) =>
      (Number(x) - 1) ** 2 + (Number(y) + 2) ** 2 + (kind === "p" ? 0 : 4)
    const seeds = Array.from({ length: 11 }, (_, i) => i)
    const of = (sampler: Sampler.Sampler) =>
      median(seeds.map((seed) => best(optimise(sampler, objective, searched, 80, seed))))
    expect(of(Sampler.tpe)).toBeLessThan(of(Sampler.random) / 3)
  })

  it("failed trials (NaN) do not count", () => {
    const history = Array.from({ length: 30 }, () => ({ params: { x: 0 }, value: Number.NaN }))
    const one = { x: Distribution.float(0, 1) }
    expect(Sampler.tpe({ space: one, seed: 1, index: 30, history })).toEqual(
      Sampler.random({ space: one, seed: 1, index: 30, history: [] }),
    )
  })
})

describe("distributions", () => {
  it("are Optuna's JSON", () => {
    const optuna: unknown = JSON.parse(
      '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}',
    )
    expect(Schema.decodeUnknownSync(Distribution.Distribution)(optuna)).toEqual(
      Distribution.float(0, 1),
    )
  })

  it("refuse ranges that hold nothing", () => {
    const accepts = (value: unknown) => Schema.is(Distribution.Distribution)(value)
    expect(accepts(Distribution.float(0, 1, { log: true }))).toBe(false)
    expect(accepts(Distribution.int(3, 1))).toBe(false)
    expect(accepts(Distribution.float(0, 1, { step: 0 }))).toBe(false)
    expect(accepts({ name: "CategoricalDistribution", attributes: { choices: [] } })).toBe(false)
  })
})

describe("the truncated normal", () => {
  it("has the normal's probabilities", () => {
    expect(cdf(0)).toBeCloseTo(0.5, 15)
    expect(cdf(1.959963984540054)).toBeCloseTo(0.975, 12)
    expect(cdf(-8) / 6.220960574271786e-16).toBeCloseTo(1, 7)
  })

  it("draws inside its bounds, and its cells sum to 1", () => {
    for (const u of [0, 0.1, 0.5, 0.999999]) {
      const x = drawTruncated(2, 0.5, 0, 1, u)
      expect(x >= 0 && x <= 1).toBe(true)
    }
    const cells = [0, 1, 2, 3].map((i) => Math.exp(logProbability(i, i + 1, 1.3, 0.7, 0, 4)))
    expect(cells.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12)
  })
})
