import { Dataset } from "@ashlar/core"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Drift, Profile } from "../src/index.ts"
import { cdf } from "../src/internal/kll.ts"
import { random } from "../src/internal/random.ts"

const uniform = (n: number, seed: number, shift = 0) => {
  const next = random(seed)
  return Float64Array.from({ length: n }, () => next() + shift)
}

const numeric = (profile: Profile.Profile, name: string) => {
  const column = profile.columns[name]
  if (column?.kind !== "numeric") throw new Error(`no numeric column ${name}`)
  return column
}

/** Largest error of the sketch's distribution function against the sorted values. */
const worstRank = (profile: Profile.Profile, name: string, values: Float64Array): number => {
  const view = Profile.view(name, numeric(profile, name))
  const sorted = values.slice().sort()
  let worst = 0
  for (let i = 0; i < sorted.length; i += 97) {
    worst = Math.max(worst, Math.abs(cdf(view, sorted[i] ?? 0) - (i + 1) / sorted.length))
  }
  return worst
}

describe("quantile sketch", () => {
  it("keeps ranks within its stated error in all of twenty streams", () => {
    for (let seed = 0; seed < 20; seed++) {
      const values = uniform(100_000, seed)
      const profile = Profile.ofColumns({ x: values }, { k: 256 })
      const stated = Profile.view("x", numeric(profile, "x")).rankError
      expect(stated).toBeLessThan(0.012)
      // The bound holds for a rank at 99 %; the worst of a thousand ranks gets half as much again.
      expect(worstRank(profile, "x", values)).toBeLessThan(stated * 1.5)
    }
  })

  it("keeps ranks also of sorted, reversed and merged streams", () => {
    const values = uniform(60_000, 4).sort()
    const reversed = values.slice().reverse()
    const parts = Array.from({ length: 60 }, (_, i) =>
      Profile.ofColumns({ x: values.subarray(i * 1000, (i + 1) * 1000) }, { k: 256 }),
    )
    const merged = parts.reduce((a, b) => Profile.merge(a, b))
    for (const profile of [
      Profile.ofColumns({ x: values }, { k: 256 }),
      Profile.ofColumns({ x: reversed }, { k: 256 }),
      merged,
    ]) {
      expect(numeric(profile, "x").count).toBe(60_000)
      expect(worstRank(profile, "x", values)).toBeLessThan(0.017)
    }
    expect(JSON.stringify(merged).length).toBeLessThan(20_000)
  })

  it("is exact below its size", () => {
    const values = uniform(900, 1)
    expect(worstRank(Profile.ofColumns({ x: values }), "x", values)).toBeLessThan(1e-12)
    expect(Profile.quantile(Profile.ofColumns({ x: Float64Array.of(5, 1, 3) }), "x", 0.5)).toBe(3)
  })
})

describe("merge", () => {
  const part = fc.record({
    x: fc.array(
      fc.oneof(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        fc.constantFrom(Number.NaN, Infinity),
      ),
      { maxLength: 40 },
    ),
    seed: fc.nat(),
  })
  const profileOf = ({ x, seed }: { x: ReadonlyArray<number>; seed: number }) => {
    const next = random(seed)
    const origin = x.map(() => (next() < 0.1 ? null : `A${Math.floor(next() * 5)}`))
    return Profile.ofColumns({ x: Float64Array.from(x), origin })
  }

  it("is associative and commutative, and equals one pass", () => {
    fc.assert(
      fc.property(part, part, part, (p, q, r) => {
        const [a, b, c] = [profileOf(p), profileOf(q), profileOf(r)]
        const left = Profile.merge(Profile.merge(a, b), c)
        const right = Profile.merge(a, Profile.merge(b, c))
        const swapped = Profile.merge(c, Profile.merge(b, a))
        for (const other of [right, swapped]) {
          expect(other.rows).toBe(left.rows)
          expect(other.columns["origin"]).toEqual(left.columns["origin"])
          const [m, n] = [numeric(left, "x"), numeric(other, "x")]
          expect([n.count, n.missing, n.infinite, n.min, n.max]).toEqual([
            m.count,
            m.missing,
            m.infinite,
            m.min,
            m.max,
          ])
          expect(n.sketch.levels).toEqual(m.sketch.levels)
          expect(Math.abs(n.mean - m.mean)).toBeLessThanOrEqual(1e-9 * (1 + Math.abs(m.mean)))
          expect(Math.abs(n.m2 - m.m2)).toBeLessThanOrEqual(1e-9 * (1 + m.m2))
        }
      }),
    )
  })

  it("counts a column that one side lacks as missing there", () => {
    const merged = Profile.merge(
      Profile.ofColumns({ x: Float64Array.of(1, 2) }),
      Profile.ofColumns({ y: ["a", "b", "c"] }),
    )
    expect(merged.columns["x"]?.missing).toBe(3)
    expect(merged.columns["y"]?.missing).toBe(2)
  })

  it("refuses a column that changed its type and sketches of different size", () => {
    const x = Profile.ofColumns({ x: Float64Array.of(1) })
    expect(() => Profile.merge(x, Profile.ofColumns({ x: ["a"] }))).toThrow(
      /was numeric and is now categorical/,
    )
    expect(() => Profile.merge(x, Profile.ofColumns({ x: Float64Array.of(1) }, { k: 64 }))).toThrow(
      /1024 and 64/,
    )
  })

  it("bounds the categories it keeps and still counts every row", () => {
    const values = Array.from({ length: 30_000 }, (_, i) => (i % 3 === 0 ? "often" : `id${i}`))
    const column = Profile.ofColumns({ x: values }, { categories: 10 }).columns["x"]
    if (column?.kind !== "categorical") throw new Error("not categorical")
    expect(column.values[0]).toEqual(["often", 10_000])
    expect(column.values.length).toBeLessThanOrEqual(10)
    expect(column.values.reduce((sum, [, n]) => sum + n, 0) + column.other).toBe(30_000)
  })
})

describe("JSON", () => {
  it("survives a round trip", async () => {
    const profile = Profile.ofColumns({ x: uniform(5000, 2), y: ["a", null] })
    expect(await Effect.runPromise(Profile.decode(JSON.parse(JSON.stringify(profile))))).toEqual(
      profile,
    )
  })

  it("refuses other versions, wrong counts and damaged sketches", async () => {
    const profile = Profile.ofColumns({ x: uniform(10, 2) })
    for (const bad of [{}, { ...profile, version: 2 }, { ...profile, rows: -1 }, null]) {
      const error = await Effect.runPromise(Effect.flip(Profile.decode(bad)))
      expect(error.code).toBe("MonitoringError.InvalidInput")
    }
    const x = numeric(profile, "x")
    const damaged = {
      ...profile,
      columns: { x: { ...x, sketch: { ...x.sketch, levels: ["AAAA"] } } },
    }
    expect(() => Profile.quantile(damaged, "x", 0.5)).toThrow(/damaged/)
    expect(() => Profile.quantile(profile, "toString", 0.5)).toThrow(/no numeric column 'toString'/)
  })
})

describe("datasets", () => {
  it("profiles numbers, nulls, text, booleans and instants", async () => {
    const profile = await Effect.runPromise(
      Effect.gen(function* () {
        const dataset = yield* Dataset.fromColumns({
          delay: [1, null, 3],
          origin: ["SFO", null, "SFO"],
          late: [true, false, true],
          at: { micros: Float64Array.of(0, 1e6, 2e6) },
        })
        return yield* Profile.ofDataset(dataset)
      }),
    )
    expect(profile.rows).toBe(3)
    expect(numeric(profile, "delay")).toMatchObject({
      count: 2,
      missing: 1,
      mean: 2,
      min: 1,
      max: 3,
    })
    expect(profile.columns["origin"]).toMatchObject({ values: [["SFO", 2]], missing: 1 })
    expect(numeric(profile, "late").mean).toBeCloseTo(2 / 3)
    expect(numeric(profile, "at").max).toBe(2e6)
  })
})

describe("drift", () => {
  const table = (n: number, seed: number, shift = 0, third = "b") =>
    Profile.ofColumns({
      moved: uniform(n, seed, shift),
      same: uniform(n, seed + 1),
      airport: Array.from(uniform(n, seed + 2), (u) => (u < 0.6 ? "a" : u < 0.9 ? third : "c")),
      gaps: Float64Array.from(uniform(n, seed + 3), (u) => (u < 0.3 * shift ? Number.NaN : u)),
    })

  it("flags what moved and nothing else", () => {
    const report = Drift.compare(table(20_000, 1), table(20_000, 50, 0.5, "d"))
    const flags = Object.fromEntries(report.columns.map((c) => [c.column, c.drifted]))
    expect(flags).toEqual({ moved: true, same: false, airport: true, gaps: true })
    expect(report.share).toBe(0.75)
    expect(report.columns.find((c) => c.column === "moved")?.distance).toBeCloseTo(0.5, 1)
    expect(report.columns.find((c) => c.column === "gaps")?.missing[1]).toBeCloseTo(0.15, 1)
  })

  it("does not flag a small but significant shift of many rows", () => {
    const shifted = Drift.compare(table(200_000, 1), table(200_000, 50, 0.02))
    const moved = shifted.columns.find((c) => c.column === "moved")
    expect(moved?.pAdjusted).toBeLessThan(0.001)
    expect(moved?.drifted).toBe(false)
  })

  it("finds nothing in a thousand comparisons of equal tables", () => {
    let flagged = 0
    let significant = 0
    for (let i = 0; i < 250; i++) {
      const report = Drift.compare(table(800, 1000 + 8 * i), table(800, 9000 + 8 * i))
      flagged += report.drifted
      significant += report.columns.filter((c) => c.pAdjusted < 0.05).length
    }
    expect(flagged).toBe(0)
    expect(significant / 1000).toBeLessThan(0.05)
  })

  it("reports columns that cannot be compared, refuses empty profiles and unknown columns", () => {
    const a = Profile.ofColumns({ x: Float64Array.of(1, 2), y: ["a", "b"] })
    const b = Profile.ofColumns({ x: ["1", "2"], z: Float64Array.of(1, 2) })
    expect(Drift.compare(a, b).incomparable).toEqual(["x", "y", "z"])
    expect(() => Drift.compare(a, Profile.ofColumns({}))).toThrow(/current profile has no rows/)
    expect(() => Drift.compare(a, b, { columns: ["constructor"] })).toThrow(/neither profile/)
  })

  it("sees values below the smallest one of a reference that is mostly that value", () => {
    const of = (value: number, share: number) =>
      Profile.ofColumns({
        x: Float64Array.from({ length: 1000 }, (_, i) => (i < share * 1000 ? value : i / 100)),
      })
    for (const [before, now] of [
      [of(5, 1), of(3, 1)],
      [of(5, 1), of(7, 1)],
      [of(0, 0.95), of(-1, 0.95)],
    ] as const) {
      expect(Drift.compare(before, now).columns[0]).toMatchObject({ drifted: true })
      expect(Drift.compare(before, now).columns[0]?.psi).toBeGreaterThan(1)
      expect(Drift.compare(before, before).columns[0]).toMatchObject({ psi: 0, drifted: false })
    }
  })

  it("gives a column without values the type of the other side", () => {
    const rows = Array.from({ length: 30 }, (_, i) => i)
    const some = Profile.ofColumns({ x: Float64Array.from(rows), y: rows.map((i) => `${i % 3}`) })
    const none = Profile.ofColumns({
      x: rows.map(() => null),
      y: new Float64Array(30).fill(Number.NaN),
    })
    for (const report of [Drift.compare(some, none), Drift.compare(none, some)]) {
      expect(report.incomparable).toEqual([])
      expect(report.columns.map((c) => [c.column, c.drifted])).toEqual([
        ["x", true],
        ["y", true],
      ])
    }
  })

  it("does not take different keeps of very many categories for drift", () => {
    const next = random(5)
    const of = () =>
      Profile.ofColumns({ id: Array.from({ length: 60_000 }, () => `c${(next() * 5000) | 0}`) })
    const report = Drift.compare(of(), of())
    expect(report.columns[0]).toMatchObject({ drifted: false })
    expect(report.columns[0]?.psi).toBeLessThan(0.1)
    const all = Profile.ofColumns({ id: Array.from({ length: 60_000 }, () => "new") })
    expect(Drift.compare(of(), all).columns[0]).toMatchObject({ drifted: true })
  })

  it("refuses a sketch that does not hold the values its column counts", () => {
    const good = Profile.ofColumns({ x: Float64Array.of(1, 2, 3) })
    const x = good.columns["x"]
    if (x?.kind !== "numeric") throw new Error("no column")
    const bad = { ...good, columns: { x: { ...x, sketch: { ...x.sketch, levels: [] } } } }
    expect(() => Drift.compare(good, bad)).toThrow(/sketch of column 'x' is damaged/)
  })

  it("takes a column that is now all missing for drifted", () => {
    const a = Profile.ofColumns({ x: uniform(100, 1) })
    const b = Profile.ofColumns({ x: new Float64Array(100).fill(Number.NaN) })
    expect(Drift.compare(a, b).columns[0]).toMatchObject({
      drifted: true,
      distance: 1,
      missing: [0, 1],
    })
  })
})
