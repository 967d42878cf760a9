import { LabelModel, VoteMatrix } from "@ashlar/labeling"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

/** Deterministic uniform numbers (mulberry32). */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

/** Votes of functions with known accuracies on rows with a known truth. */
const simulate = (seed: number, rows: number, positives: number, accuracies: Array<number>) => {
  const next = random(seed)
  const truth = Int8Array.from({ length: rows }, () => (next() < positives ? 1 : 0))
  const columns = accuracies.map((accuracy) =>
    Int8Array.from(truth, (y) => (next() < accuracy ? y : 1 - y)),
  )
  return { truth, columns }
}

/** What a reader who knows every accuracy and the prior would answer. */
const oracle = (columns: Array<Int8Array>, accuracies: Array<number>, positives: number) =>
  Int8Array.from({ length: columns[0]?.length ?? 0 }, (_, i) => {
    let log = Math.log(positives / (1 - positives))
    columns.forEach((column, j) => {
      const a = accuracies[j] ?? 0.5
      log += (column[i] === 1 ? 1 : -1) * Math.log(a / (1 - a))
    })
    return log > 0 ? 1 : 0
  })

const accuracy = (answer: ArrayLike<number>, truth: Int8Array) =>
  truth.reduce((right, y, i) => right + (answer[i] === y ? 1 : 0), 0) / truth.length

const names = (columns: Array<Int8Array>) => columns.map((_, j) => `lf${j}`)

describe("LabelModel", () => {
  it("is as good as the oracle on a rare class, where majority vote is not", () => {
    const accuracies = [0.9, 0.85, 0.8, 0.75, 0.7]
    for (let seed = 1; seed <= 8; seed++) {
      const { truth, columns } = simulate(seed, 5000, 0.1, accuracies)
      const matrix = VoteMatrix.make(names(columns), ["no", "yes"], columns)
      const { labels } = LabelModel.predict(LabelModel.fit(matrix), matrix)
      const best = accuracy(oracle(columns, accuracies, 0.1), truth)
      const votes = VoteMatrix.majority(matrix)
      const majority = Array.from(matrix.patternOf, (p) => votes[p] ?? 0)
      expect(accuracy(labels, truth)).toBeGreaterThan(best - 0.01)
      expect(accuracy(labels, truth)).toBeGreaterThan(accuracy(majority, truth))
    }
  })

  it("counts copies of a weak function once", () => {
    const accuracies = [0.6, 0.85, 0.85, 0.8]
    const { truth, columns } = simulate(3, 5000, 0.5, accuracies)
    const weak = columns[0] ?? new Int8Array()
    const copied = [...columns, weak, weak, weak, weak]
    const matrix = VoteMatrix.make(names(copied), ["no", "yes"], copied)
    const model = LabelModel.fit(matrix)
    expect(model.duplicates.map((d) => d.name)).toEqual(["lf4", "lf5", "lf6", "lf7"])
    const { labels } = LabelModel.predict(model, matrix)
    const best = accuracy(oracle(columns, accuracies, 0.5), truth)
    expect(accuracy(labels, truth)).toBeGreaterThan(best - 0.01)
  })

  it("estimates each function's accuracy", () => {
    const accuracies = [0.9, 0.8, 0.7]
    const { columns } = simulate(5, 20000, 0.4, accuracies)
    const model = LabelModel.fit(VoteMatrix.make(["a", "b", "c"], ["no", "yes"], columns))
    expect(model.accuracy["a"]).toBeCloseTo(0.9, 1)
    expect(model.accuracy["b"]).toBeCloseTo(0.8, 1)
    expect(model.accuracy["c"]).toBeCloseTo(0.7, 1)
    expect(model.classBalance[1]).toBeCloseTo(0.4, 1)
  })

  it("learns from a function that only ever votes for one class", () => {
    const { truth, columns } = simulate(7, 20000, 0.2, [0.85, 0.8])
    const next = random(99)
    // Fires on 60 % of the positives and 2 % of the negatives, and is silent otherwise.
    const alarm = Int8Array.from(truth, (y) => (next() < (y === 1 ? 0.6 : 0.02) ? 1 : -1))
    const fit = (all: Array<Int8Array>) => {
      const matrix = VoteMatrix.make(names(all), ["no", "yes"], all)
      return accuracy(LabelModel.predict(LabelModel.fit(matrix), matrix).labels, truth)
    }
    expect(fit([...columns, alarm])).toBeGreaterThan(fit(columns) + 0.02)
  })

  it("never returns NaN, and its probabilities sum to one", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.array(fc.integer({ min: -1, max: 2 }), { minLength: 5, maxLength: 5 }), {
          minLength: 1,
          maxLength: 60,
        }),
        (m, table) => {
          const columns = Array.from({ length: m }, (_, j) =>
            Int8Array.from(table, (row) => row[j] ?? -1),
          )
          const matrix = VoteMatrix.make(names(columns), ["a", "b", "c"], columns)
          const model = LabelModel.fit(matrix)
          for (let p = 0; p < matrix.counts.length; p++) {
            const row = model.probabilities.subarray(p * 3, p * 3 + 3)
            expect(row.reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 9)
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  it("does not lower the likelihood from one iteration to the next", () => {
    const { columns } = simulate(11, 500, 0.3, [0.8, 0.7, 0.65])
    const matrix = VoteMatrix.make(names(columns), ["no", "yes"], columns)
    const likelihood = [1, 2, 4, 8, 16].map(
      (iterations) => LabelModel.fit(matrix, { iterations, tolerance: 0 }).logLikelihood,
    )
    likelihood.forEach((value, i) => {
      // Smoothing is a prior, so the likelihood itself may give way in the last digits.
      if (i > 0) expect(value).toBeGreaterThan((likelihood[i - 1] ?? 0) - 1e-2)
    })
  })
})

describe("VoteMatrix", () => {
  it("groups rows and reports coverage, overlaps and conflicts", () => {
    const matrix = VoteMatrix.make(
      ["a", "b"],
      ["no", "yes"],
      [Int8Array.of(0, 0, -1, 1), Int8Array.of(1, -1, -1, 1)],
    )
    expect(matrix.counts.length).toBe(4)
    expect(VoteMatrix.statistics(matrix)).toEqual([
      { name: "a", polarity: ["no", "yes"], coverage: 0.75, overlaps: 0.5, conflicts: 0.25 },
      { name: "b", polarity: ["yes"], coverage: 0.5, overlaps: 0.5, conflicts: 0.25 },
    ])
    expect(VoteMatrix.majority(matrix).sort()).toEqual(Int8Array.of(-1, -1, 0, 1))
  })

  it("names the function and the row of a vote outside the classes", () => {
    expect(() => VoteMatrix.make(["bad"], ["no", "yes"], [Int8Array.of(0, 2)])).toThrow(
      "labeling function bad voted 2 on row 1",
    )
    expect(() =>
      VoteMatrix.make(["a", "b"], ["no"], [Int8Array.of(0), Int8Array.of(0, 0)]),
    ).toThrow("one vote per row")
  })
})
