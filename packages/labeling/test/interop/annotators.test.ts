import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Agreement, Annotations, DawidSkene } from "@ashlar/labeling"
import { describe, expect, it } from "vitest"

const oracle = fileURLToPath(new URL("./oracle.py", import.meta.url))

const ask = <Answer>(requests: ReadonlyArray<object>): ReadonlyArray<Answer> => {
  const python = spawnSync(process.env["ASHLAR_PYTHON"] ?? "python3", [oracle], {
    input: JSON.stringify(requests),
    encoding: "utf8",
    maxBuffer: 1 << 28,
  })
  expect(python.status, python.stderr).toBe(0)
  return JSON.parse(python.stdout)
}

/** Deterministic uniform numbers (Park and Miller's minimal standard). */
const random = (seed: number) => () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647

const close = (actual: ArrayLike<number>, expected: ReadonlyArray<number>) => {
  expect(actual.length).toBe(expected.length)
  expected.forEach((value, i) => expect(Math.abs((actual[i] ?? NaN) - value)).toBeLessThan(1e-6))
}

const simulate = (seed: number) => {
  const next = random(seed)
  const below = (n: number) => Math.floor(next() * n)
  const K = 2 + below(3)
  const workers = Array.from({ length: 3 + below(6) }, () => 0.3 + 0.7 * next())
  const rows: Array<Annotations.Annotation> = []
  for (let t = 0; t < 10 + below(40); t++) {
    const truth = below(K)
    workers.forEach((skill, w) => {
      // Every task has an answer; who else answers is up to chance.
      if (w !== t % workers.length && next() < 0.4) return
      const label = next() < skill ? truth : below(K)
      rows.push({ task: `t${t}`, worker: `w${w}`, label: `c${label}` })
    })
  }
  return {
    annotations: Annotations.make(
      rows,
      Array.from({ length: K }, (_, k) => `c${k}`),
    ),
    rows: rows.map(({ task, worker, label }) => [task, worker, label]),
    iterations: 1 + below(20),
  }
}

interface Annotators {
  readonly majority: ReadonlyArray<ReadonlyArray<number>>
  readonly confusion: ReadonlyArray<ReadonlyArray<number>>
  readonly "confusion-balance": ReadonlyArray<number>
  readonly "one-coin": ReadonlyArray<ReadonlyArray<number>>
  readonly "one-coin-balance": ReadonlyArray<number>
  readonly skills: ReadonlyArray<number>
}

interface Agreements {
  readonly krippendorff: Readonly<Record<Agreement.Level, number>>
  readonly cohen: Readonly<Record<"none" | "linear" | "quadratic", number>>
  readonly fleiss: number
}

describe("annotators against crowd-kit", () => {
  it("majority vote, Dawid-Skene and one-coin agree on 20 random sets of answers", () => {
    const cases = Array.from({ length: 20 }, (_, i) => simulate(i + 1))
    const answers = ask<Annotators>(
      cases.map(({ annotations: { tasks, workers, classes }, rows, iterations }) => ({
        kind: "annotators",
        tasks,
        workers,
        classes,
        rows,
        iterations,
      })),
    )
    cases.forEach(({ annotations, iterations }, i) => {
      const answer = answers[i]
      if (answer === undefined) throw new Error("no answer")
      close(Annotations.shares(annotations), answer.majority.flat())
      for (const model of ["confusion", "one-coin"] as const) {
        const fitted = DawidSkene.fit(annotations, { model, iterations, tolerance: -Infinity })
        close(fitted.probabilities, answer[model].flat())
        close(fitted.classBalance, answer[`${model}-balance`])
        if (model === "one-coin") close(fitted.skills, answer.skills)
      }
    })
  })
})

describe("agreement against krippendorff and statsmodels", () => {
  it("agrees on 60 random sets of ratings", () => {
    const cases = Array.from({ length: 60 }, (_, i) => {
      const next = random(i + 1000)
      const below = (n: number) => Math.floor(next() * n)
      const K = 2 + below(4)
      const units = 8 + below(20)
      const truth = Array.from({ length: units }, () => 1 + below(K))
      const ratings = Array.from({ length: 2 + below(4) }, () =>
        truth.map((v) => (next() < 0.2 ? null : next() < 0.6 ? v : 1 + below(K))),
      )
      const table = Array.from({ length: K }, () => Array.from({ length: K }, () => below(20)))
      const counts = Array.from({ length: units }, () => {
        const row = Array.from({ length: K }, () => 0)
        for (let n = 0; n < 6; n++) {
          const k = below(K)
          row[k] = (row[k] ?? 0) + 1
        }
        return row
      })
      return { kind: "agreement", ratings, table, counts }
    })
    const answers = ask<Agreements>(cases)
    cases.forEach(({ ratings, table, counts }, i) => {
      const answer = answers[i]
      if (answer === undefined) throw new Error("no answer")
      const given = ratings.map((row) => row.map((v) => v ?? Number.NaN))
      for (const level of ["nominal", "ordinal", "interval", "ratio"] as const) {
        expect(Agreement.krippendorff(given, level)).toBeCloseTo(answer.krippendorff[level], 9)
      }
      for (const weights of ["none", "linear", "quadratic"] as const) {
        expect(Agreement.cohen(table, weights)).toBeCloseTo(answer.cohen[weights], 9)
      }
      expect(Agreement.fleiss(counts)).toBeCloseTo(answer.fleiss, 9)
    })
  })
})
