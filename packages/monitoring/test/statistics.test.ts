import { readFileSync } from "node:fs"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Distance, Distribution, HypothesisTest, Metric, Multiplicity } from "../src/index.ts"
import { random } from "../src/internal/random.ts"
import { compare, requests } from "./oracle-cases.ts"

const golden: ReadonlyArray<unknown> = JSON.parse(
  readFileSync(new URL("./fixtures/golden.json", import.meta.url), "utf8"),
)

describe("statistics against kept answers of scipy, scikit-learn, statsmodels and mpmath", () => {
  const cases = requests()
  it("has one kept answer per case", () => expect(golden.length).toBe(cases.length))
  cases.forEach((request, i) => it(`${i} ${request.do}`, () => compare(request, golden[i])))
})

describe("calibration", () => {
  it("exact KS p-values are (super-)uniform under the null", () => {
    const next = random(5)
    const draw = (n: number) => Float64Array.from({ length: n }, next).sort()
    const trials = 2000
    let at05 = 0
    let at20 = 0
    for (let i = 0; i < trials; i++) {
      const { pValue } = HypothesisTest.ksTwoSample(draw(25), draw(40))
      if (pValue <= 0.05) at05++
      if (pValue <= 0.2) at20++
    }
    // Within four standard errors above; the statistic is discrete, so below is allowed.
    expect(at05 / trials).toBeLessThan(0.05 + 4 * Math.sqrt((0.05 * 0.95) / trials))
    expect(at20 / trials).toBeLessThan(0.2 + 4 * Math.sqrt((0.2 * 0.8) / trials))
    expect(at20 / trials).toBeGreaterThan(0.12)
  })

  it("DeLong and the bootstrap reject a true null at about their level", () => {
    const next = random(9)
    let deLong = 0
    let bootstrap = 0
    const trials = 400
    for (let t = 0; t < trials; t++) {
      const labels = Array.from({ length: 120 }, () => (next() < 0.5 ? 1 : 0))
      const a = labels.map((y) => next() + 0.4 * y)
      const b = labels.map((y) => next() + 0.4 * y)
      if (HypothesisTest.deLong(labels, a, b).pValue <= 0.1) deLong++
      const differences = Float64Array.from(labels, () => next() - 0.5)
      const test = HypothesisTest.pairedBootstrap(differences, { seed: t, resamples: 300 })
      if (test.pValue <= 0.1) bootstrap++
    }
    for (const rate of [deLong / trials, bootstrap / trials]) {
      expect(rate).toBeGreaterThan(0.04)
      expect(rate).toBeLessThan(0.1 + 4 * Math.sqrt(0.09 / trials))
    }
  })
})

describe("laws", () => {
  const counts = fc
    .array(fc.nat(1000), { minLength: 2, maxLength: 12 })
    .filter((c) => c.some((x) => x > 0))
  it("distances are zero on themselves, symmetric and bounded", () => {
    fc.assert(
      fc.property(counts, counts, (a, b) => {
        const n = Math.min(a.length, b.length)
        const x = a.slice(0, n)
        const y = b.slice(0, n)
        fc.pre(x.some((v) => v > 0) && y.some((v) => v > 0))
        expect(Distance.psi(x, x)).toBe(0)
        expect(Distance.jensenShannon(x, x)).toBe(0)
        expect(Distance.psi(x, y)).toBeCloseTo(Distance.psi(y, x), 12)
        expect(Distance.jensenShannon(x, y)).toBeCloseTo(Distance.jensenShannon(y, x), 12)
        expect(Distance.jensenShannon(x, y)).toBeLessThanOrEqual(1 + 1e-12)
        expect(Distance.totalVariation(x, y)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it("adjusting never lowers a p-value and keeps their order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 30 }),
        fc.constantFrom("bh", "by", "holm", "bonferroni"),
        (p, method) => {
          const q = Multiplicity.adjust(p, method)
          q.forEach((value, i) => expect(value).toBeGreaterThanOrEqual((p[i] ?? 0) - 1e-15))
          const order = p.map((_, i) => i).sort((a, b) => (p[a] ?? 0) - (p[b] ?? 0))
          for (let k = 1; k < order.length; k++) {
            expect(q[order[k] ?? 0]).toBeGreaterThanOrEqual((q[order[k - 1] ?? 0] ?? 0) - 1e-15)
          }
        },
      ),
    )
  })

  it("the AUC of reversed scores is one minus the AUC", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1), fc.nat(5)), { minLength: 2 }), (rows) => {
        const labels = rows.map(([y]) => y)
        fc.pre(labels.includes(0) && labels.includes(1))
        const scores = rows.map(([, s]) => s)
        const auc = Metric.auc(labels, scores)
        expect(
          Metric.auc(
            labels,
            scores.map((s) => -s),
          ),
        ).toBeCloseTo(1 - auc, 12)
      }),
    )
  })

  it("the inverse normal tail inverts the tail", () => {
    for (const p of [1e-12, 1e-5, 0.025, 0.4, 0.5, 0.9]) {
      expect(Distribution.normalSf(Distribution.normalIsf(p)) / p).toBeCloseTo(1, 10)
    }
  })

  it("calibration error of a calibrated forecast is small, of a wrong one its distance", () => {
    const next = random(3)
    const scores = Array.from({ length: 20_000 }, next)
    const labels = scores.map((s) => (next() < s ? 1 : 0))
    expect(Metric.calibrationError(labels, scores)).toBeLessThan(0.03)
    expect(Metric.calibrationError(labels, scores, { by: "mass" })).toBeLessThan(0.03)
    expect(Metric.calibrationError([1, 1, 1, 1], [0.25, 0.25, 0.25, 0.25])).toBe(0.75)
  })
})

describe("the bootstrap of many rows", () => {
  it("has the normal interval, and p-values small enough for a small alpha", () => {
    const next = random(3)
    const rows = Float64Array.from({ length: 400_000 }, () => next() - 0.49)
    const made = HypothesisTest.pairedBootstrap(rows, { seed: 1, alpha: 0.001 })
    expect(made.resamples).toBe(2000)
    expect(made.pValue).toBeLessThan(0.001)
    const error = Math.sqrt(1 / 12 / rows.length)
    expect((made.interval[1] - made.interval[0]) / error / 2).toBeCloseTo(3.29, 0)
    expect(made.interval[0] + made.interval[1]).toBeCloseTo(2 * made.mean, 3)
  })
})

describe("bad input", () => {
  const refused = (run: () => unknown, message: RegExp) =>
    expect(run).toThrowError(
      expect.objectContaining({ _tag: "MonitoringError", message: expect.stringMatching(message) }),
    )

  it("names the value and the rule", () => {
    refused(() => HypothesisTest.ksTwoSample(new Float64Array(0), Float64Array.of(1)), /a is empty/)
    refused(
      () => HypothesisTest.ksTwoSample(Float64Array.of(1, Number.NaN), Float64Array.of(1)),
      /NaN/,
    )
    refused(() => Distance.psi([1, 2], [1]), /2 bins and current 1/)
    refused(() => Distance.psi([0, 0], [1, 1]), /reference is empty/)
    refused(() => Distance.jensenShannon([1, Number.NaN], [1, 1]), /reference\[1\] is NaN/)
    refused(() => Distance.psi([1, Infinity], [1, 1]), /Infinity/)
    refused(() => Multiplicity.adjust([0.5, 1.5], "bh"), /pValues\[1\] is 1.5/)
    refused(() => Metric.auc([0, 2], [0.1, 0.2]), /labels\[1\] is 2/)
    refused(() => Metric.auc([0, 1], [0.1, Number.NaN]), /scores\[1\] is NaN/)
    refused(() => Metric.logLoss([0, 1], [0.1, 1.2]), /scores\[1\] is 1.2/)
    refused(
      () =>
        HypothesisTest.chiSquare([
          [1, -1],
          [1, 1],
        ]),
      /table\[0\]\[1\] is -1/,
    )
    refused(() => HypothesisTest.deLong([1, 1], [0.1, 0.2], [0.1, 0.2]), /both classes/)
    refused(() => HypothesisTest.deLong([0, 1, 0], [1, 2, 0], [2, 1, 0]), /two rows of each class/)
    refused(
      () => HypothesisTest.pairedBootstrap(new Float64Array(0), { seed: 1 }),
      /at least one row/,
    )
    refused(() => Distribution.chiSquareSf(-1, 2), /x >= 0/)
  })

  it("says NaN, not a number, where a metric is undefined", () => {
    expect(Metric.auc([1, 1], [0.2, 0.3])).toBeNaN()
    expect(Metric.logLoss([], [])).toBeNaN()
    expect(Metric.recall(Metric.confusion([0], [0.1]))).toBeNaN()
  })
})
