import { Agreement, Annotations, DawidSkene } from "@ashlar/labeling"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

/**
 * Dawid and Skene 1979, table 1: five observers judge 45 patients fit for anaesthesia, 1 to 4; the
 * first observer three times.
 */
const anaesthesia = [
  "1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343",
  "1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222",
  "1111111 1111111 2322222 1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343",
  "2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222",
]
  .join(" ")
  .split(" ")
  .flatMap((answers, patient) =>
    Array.from(answers, (label, i) => ({
      task: `${patient + 1}`,
      worker: `${Math.max(1, i - 1)}`,
      label,
    })),
  )

const rounded = (values: ArrayLike<number>) =>
  Array.from(values, (value) => Math.round(value * 10_000) / 10_000)

describe("DawidSkene", () => {
  it("gives the paper's anaesthesia example", () => {
    const annotations = Annotations.make(anaesthesia, ["1", "2", "3", "4"])
    const fitted = DawidSkene.fit(annotations, { tolerance: 1e-12, iterations: 1000 })
    expect(rounded(fitted.classBalance)).toEqual([0.3996, 0.422, 0.1118, 0.0667])
    expect(fitted.logLikelihood).toBeCloseTo(-192.890881, 5)
    expect(rounded(fitted.errors.subarray(0, 16))).toEqual([
      0.8895, 0.1105, 0, 0, 0.0706, 0.8764, 0.053, 0, 0, 0.3388, 0.6612, 0, 0, 0, 0.5556, 0.4444,
    ])
    expect(fitted.converged).toBe(true)
  })

  it("finds the good and the bad annotators, where the majority is wrong", () => {
    // Three annotators guess, two know; the truth is known to the test alone.
    let seed = 7
    const next = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
    const skill = [0.95, 0.95, 0.34, 0.34, 0.34]
    const truth = Array.from({ length: 600 }, () => Math.floor(next() * 3))
    const rows = truth.flatMap((k, t) =>
      skill.map((s, w) => {
        const wrong = (k + 1 + Math.floor(next() * 2)) % 3
        return { task: `${t}`, worker: `${w}`, label: `${next() < s ? k : wrong}` }
      }),
    )
    const annotations = Annotations.make(rows, ["0", "1", "2"])
    const right = (answer: Int32Array) =>
      answer.reduce((n, k, t) => n + (k === truth[t] ? 1 : 0), 0) / truth.length
    const majority = right(Annotations.best(Annotations.shares(annotations), 3))
    for (const model of ["confusion", "one-coin"] as const) {
      const fitted = DawidSkene.fit(annotations, { model })
      expect(right(Annotations.best(fitted.probabilities, 3))).toBeGreaterThan(0.93)
      expect(right(Annotations.best(fitted.probabilities, 3))).toBeGreaterThan(majority + 0.05)
      fitted.skills.forEach((value, w) => expect(value).toBeCloseTo(skill[w] ?? 0, 0.9))
    }
  })

  const answers = fc.array(
    fc.record({
      task: fc.integer({ min: 0, max: 7 }).map(String),
      worker: fc.integer({ min: 0, max: 4 }).map(String),
      label: fc.integer({ min: 0, max: 2 }).map(String),
    }),
    { minLength: 1, maxLength: 40 },
  )

  it("gains likelihood with each iteration, and gives probabilities", () => {
    fc.assert(
      fc.property(answers, fc.constantFrom("confusion", "one-coin"), (rows, model) => {
        const annotations = Annotations.make(rows, ["0", "1", "2"])
        let before = -Infinity
        for (const iterations of [1, 2, 4, 8, 16]) {
          const fitted = DawidSkene.fit(annotations, { model, iterations, tolerance: -Infinity })
          expect(fitted.logLikelihood).toBeGreaterThanOrEqual(before - 1e-6)
          before = fitted.logLikelihood
          for (let row = 0; row < fitted.probabilities.length; row += 3) {
            const sum = fitted.probabilities.subarray(row, row + 3).reduce((a, b) => a + b, 0)
            expect(sum).toBeCloseTo(1, 9)
          }
        }
      }),
    )
  })

  it("believes gold", () => {
    const rows = ["a", "b"].map((worker) => ({ task: "t", worker, label: "no" }))
    const annotations = Annotations.make(rows, ["no", "yes"])
    const { probabilities } = DawidSkene.fit(annotations, { gold: new Map([["t", "yes"]]) })
    expect([...probabilities]).toEqual([0, 1])
  })

  it("refuses what makes no sense, saying what", () => {
    const one = [{ task: "t", worker: "w", label: "x" }]
    expect(() => Annotations.make(one, ["a", "b"])).toThrow('"x"')
    expect(() => DawidSkene.fit(Annotations.make(one))).toThrow("at least two")
    const annotations = Annotations.make(one, ["x", "y"])
    expect(() => DawidSkene.fit({ ...annotations, label: Int32Array.of(2) })).toThrow("label[0]")
    expect(() => DawidSkene.fit({ ...annotations, task: Int32Array.of(0, 0) })).toThrow(
      "per answer",
    )
    expect(() => DawidSkene.fit(annotations, { gold: new Map([["u", "x"]]) })).toThrow('"u"')
    expect(() => DawidSkene.fit(annotations, { gold: new Map([["t", "z"]]) })).toThrow('"z"')
  })
})

/** `.` is no answer. */
const ratings = (rows: ReadonlyArray<string>) =>
  rows.map((row) =>
    Array.from(row.replaceAll(" ", ""), (c) => (c === "." ? Number.NaN : Number(c))),
  )

const levels = ["nominal", "ordinal", "interval", "ratio"] as const

describe("Agreement", () => {
  it("Cohen's kappa of the textbook, also weighted", () => {
    const table = [
      [20, 5],
      [10, 15],
    ]
    expect(Agreement.cohen(table)).toBeCloseTo(0.4, 12)
    expect(Agreement.cohen(table, "quadratic")).toBeCloseTo(0.4, 12)
    expect(
      Agreement.cohen([
        [5, 0],
        [0, 0],
      ]),
    ).toBeNaN()
    expect(() => Agreement.cohen([[1, 2]])).toThrow("table[0]")
  })

  it("Fleiss' kappa of the textbook", () => {
    const counts = [
      [0, 0, 0, 0, 14],
      [0, 2, 6, 4, 2],
      [0, 0, 3, 5, 6],
      [0, 3, 9, 2, 0],
      [2, 2, 8, 1, 1],
      [7, 7, 0, 0, 0],
      [3, 2, 6, 3, 0],
      [2, 5, 3, 2, 2],
      [6, 5, 2, 1, 0],
      [0, 2, 2, 3, 7],
    ]
    expect(Agreement.fleiss(counts)).toBeCloseTo(0.2099, 4)
    expect(() =>
      Agreement.fleiss([
        [2, 0],
        [1, 0],
      ]),
    ).toThrow("counts[1]")
  })

  it("Krippendorff's alpha of his own examples", () => {
    const three = ratings(["..... 34121 133.3", "1.213 343.. .....", "..213 44.21 133.4"])
    const alphas = levels.map((level) => Agreement.krippendorff(three, level))
    expect(alphas.map((a) => Number(a.toFixed(3)))).toEqual([0.691, 0.807, 0.811, 0.809])
    const four = ratings(["123321412...", "1233224125.3", ".33323422 51.", "1233244125 1."])
    const more = levels.map((level) => Agreement.krippendorff(four, level))
    expect(more.map((a) => Number(a.toFixed(3)))).toEqual([0.743, 0.815, 0.849, 0.797])
    expect(
      Agreement.krippendorff([
        [1, 1],
        [1, 1],
      ]),
    ).toBeNaN()
    expect(() => Agreement.krippendorff([[1], [1, 2]])).toThrow("ratings[1]")
  })
})
