/**
 * What is compared with scientific Python: seeded requests for `interop/oracle.py`, and a check of
 * our answer against the oracle's. The unit tests use the answers kept in `fixtures/golden.json`,
 * the interop tests ask the real libraries again.
 */
import { expect } from "vitest"
import { Distance, Distribution, HypothesisTest, Metric, Multiplicity } from "../src/index.ts"
import { random } from "../src/internal/random.ts"

const next = random(11)
const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
const sample = (n: number, shift = 0, digits = 15): Array<number> =>
  Array.from({ length: n }, () => Number((normal() + shift).toFixed(digits)))

const tailCases: ReadonlyArray<readonly [string, ...Array<number>]> = [
  ...[-5, -1, 0.1, 1, 1.96, 3, 5, 8, 12, 20, 30, 37].map((z) => ["normal", z] as const),
  ...[0.5, 1, 2, 3, 7, 30, 100, 1000, 2000, 20_000].flatMap((dof) =>
    [0.01, 0.3, 0.9, 1, 1.02, 1.1, 2, 5].map((k) => ["chi2", dof * k, dof] as const),
  ),
  ["chi2", 900, 3],
  ...[1, 2, 4, 9, 30, 200, 5000, 1e6].flatMap((dof) =>
    [0.2, 1, 2.5, 6, 20].map((t) => ["student", t, dof] as const),
  ),
  ...[0.3, 0.5, 0.8, 1.1, 1.2, 1.5, 2, 3, 5].map((x) => ["kolmogorov", x] as const),
]

/** Requests in the order of the answers. */
export const requests = () => {
  const labels = Array.from({ length: 400 }, () => (next() < 0.3 ? 1 : 0))
  const scored = (strength: number, digits: number): Array<number> =>
    labels.map((label) =>
      Number((1 / (1 + Math.exp(-(normal() + strength * (label - 0.5))))).toFixed(digits)),
    )
  return [
    { do: "tails", cases: tailCases },
    { do: "ks", a: sample(60), b: sample(80, 0.4) },
    { do: "ks", a: sample(37), b: sample(37) },
    { do: "ks", a: sample(300), b: sample(200, 1.5) },
    { do: "ks", a: sample(500, 0, 1), b: sample(400, 0.2, 1) },
    {
      do: "chi2",
      table: [
        [10, 10, 20],
        [20, 20, 20],
      ],
    },
    {
      do: "chi2",
      table: [
        [12, 5],
        [7, 9],
      ],
    },
    {
      do: "chi2",
      table: [
        [1000, 1200, 31, 4],
        [900, 1500, 12, 9],
      ],
    },
    { do: "js", a: [10, 0, 5, 2], b: [1, 4, 5, 0] },
    { do: "adjust", p: Array.from({ length: 40 }, () => next() ** 3) },
    { do: "metrics", labels, scores: scored(1.5, 12) },
    { do: "metrics", labels, scores: scored(0.4, 1) },
    { do: "delong", labels, challenger: scored(1.2, 12), champion: scored(1, 12) },
    { do: "delong", labels, challenger: scored(1.2, 1), champion: scored(0.2, 1) },
  ] as const
}

/** Relative difference at most `tolerance` (absolute below 1e-300). */
const close = (ours: number, theirs: number, tolerance: number, what: string): void => {
  const scale = Math.max(Math.abs(theirs), 1e-300)
  expect(
    Math.abs(ours - theirs) / scale,
    `${what}: ours ${ours}, theirs ${theirs}`,
  ).toBeLessThanOrEqual(tolerance)
}

type Request = ReturnType<typeof requests>[number]

/** Numbers somewhere in an answer. */
const at = (answer: unknown, ...path: ReadonlyArray<string | number>): number => {
  let value: unknown = answer
  for (const key of path) value = (value as Record<string | number, unknown>)[key]
  if (typeof value !== "number") throw new TypeError(`no number at ${path.join(".")}`)
  return value
}

/** Holds our answer to a request against the oracle's. */
export const compare = (request: Request, answer: unknown): void => {
  switch (request.do) {
    case "tails": {
      request.cases.forEach(([name, x = 0, dof = 0], i) => {
        const ours =
          name === "normal"
            ? Distribution.normalSf(x)
            : name === "chi2"
              ? Distribution.chiSquareSf(x, dof)
              : name === "student"
                ? Distribution.studentSf(x, dof)
                : Distribution.kolmogorovSf(x)
        close(
          ours,
          at(answer, i),
          name === "student" && dof > 1e5 ? 1e-10 : 1e-12,
          `${name}(${x}, ${dof})`,
        )
      })
      return
    }
    case "ks": {
      const a = Float64Array.from(request.a).sort()
      const b = Float64Array.from(request.b).sort()
      const exact = HypothesisTest.ksTwoSample(a, b, "exact")
      const limit = HypothesisTest.ksTwoSample(a, b, "asymptotic")
      close(exact.statistic, at(answer, "statistic"), 1e-14, "KS statistic")
      close(exact.pValue, at(answer, "exact"), 1e-10, "exact p")
      close(limit.pValue, at(answer, "limit"), 1e-10, "limiting p")
      close(Distance.wasserstein(a, b), at(answer, "wasserstein"), 1e-10, "Wasserstein")
      return
    }
    case "chi2": {
      for (const [name, yates] of [
        ["yates", true],
        ["plain", false],
      ] as const) {
        const ours = HypothesisTest.chiSquare(request.table, { yates })
        close(ours.statistic, at(answer, name, 0), 1e-12, "chi-square")
        close(ours.pValue, at(answer, name, 1), 1e-11, "p")
        expect(ours.dof).toBe(at(answer, name, 2))
      }
      return
    }
    case "js":
      return close(Distance.jensenShannon(request.a, request.b), at(answer), 1e-12, "JS")
    case "adjust": {
      for (const method of ["bh", "by", "holm", "bonferroni"] as const) {
        Multiplicity.adjust(request.p, method).forEach((p, i) =>
          close(p, at(answer, method, i), 1e-12, method),
        )
      }
      return
    }
    case "metrics": {
      const decisions = Metric.confusion(request.labels, request.scores)
      close(Metric.auc(request.labels, request.scores), at(answer, "auc"), 1e-12, "auc")
      close(
        Metric.logLoss(request.labels, request.scores),
        at(answer, "logLoss"),
        1e-12,
        "log loss",
      )
      close(Metric.brier(request.labels, request.scores), at(answer, "brier"), 1e-12, "brier")
      close(Metric.accuracy(decisions), at(answer, "accuracy"), 1e-12, "accuracy")
      close(Metric.precision(decisions), at(answer, "precision"), 1e-12, "precision")
      close(Metric.recall(decisions), at(answer, "recall"), 1e-12, "recall")
      return
    }
    case "delong": {
      const ours = HypothesisTest.deLong(request.labels, request.challenger, request.champion)
      close(ours.auc.challenger, at(answer, "auc", 0), 1e-12, "auc")
      close(ours.auc.champion, at(answer, "auc", 1), 1e-12, "auc")
      close(ours.standardError, at(answer, "se"), 1e-9, "standard error")
      close(ours.pValue, at(answer, "p"), 1e-8, "p")
    }
  }
}
