import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { thin } from "../src/internal/api/thin.ts"
import { allColumns, arrange, columnOf, mainMetric, moveBefore, termOf } from "../src/ui/columns.ts"
import { parseTable } from "../src/ui/csv.ts"
import { smooth, summarise, toGrid } from "../src/ui/curves.ts"
import { correlation, featuresOf, importances, makeRandom } from "../src/ui/forest.ts"
import { layoutOf, nodeSize } from "../src/ui/graph-layout.ts"

describe("thinning a history", () => {
  const points = (values: ReadonlyArray<number>) =>
    values.map((value, step) => ({ step, time: step * 1000, value }))

  it("keeps the ends, the least and the greatest, in order and within the bound", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1, maxLength: 600 }),
        fc.integer({ min: 4, max: 200 }),
        (values, samples) => {
          const all = points(values)
          const kept = thin(all, samples, "step")
          expect(kept.length).toBeLessThanOrEqual(Math.max(samples, 4))
          expect(kept[0]).toEqual(all[0])
          expect(kept.at(-1)).toEqual(all.at(-1))
          const steps = kept.map(({ step }) => step)
          expect(steps).toEqual([...new Set(steps)].toSorted((a, b) => a - b))
          expect(Math.max(...kept.map(({ value }) => value))).toBe(Math.max(...values))
          expect(Math.min(...kept.map(({ value }) => value))).toBe(Math.min(...values))
        },
      ),
    )
  })

  it("shows a spike of one point among many", () => {
    const values = new Array<number>(10_000).fill(1)
    values[4321] = 9
    expect(thin(points(values), 100, "step")).toContainEqual({
      step: 4321,
      time: 4321_000,
      value: 9,
    })
  })
})

describe("curves", () => {
  const history = (runId: string, steps: ReadonlyArray<number>, values: ReadonlyArray<number>) => ({
    runId,
    steps,
    times: steps.map((step) => 1000 + step * 10),
    values,
  })

  it("lie on one axis, with gaps where a run has no point", () => {
    const grid = toGrid(
      [history("a", [0, 2], [1, 3]), history("b", [1, 2], [5, Number.NaN])],
      "step",
    )
    expect(grid.x).toEqual([0, 1, 2])
    expect(grid.lines.map(({ values }) => values)).toEqual([
      [1, null, 3],
      [null, 5, null],
    ])
    expect(toGrid([history("a", [5, 7], [1, 3])], "relative").x).toEqual([0, 20])
  })

  it("have no more positions than a screen, however many steps there are", () => {
    const steps = Array.from({ length: 5000 }, (_, i) => i)
    const grid = toGrid([history("a", steps, steps)], "step")
    expect(grid.x.length).toBeLessThanOrEqual(1600)
    expect(grid.lines[0]?.values.at(-1)).toBe(4999)
  })

  it("are smoothed without a bias at the start", () => {
    expect(smooth([4, null, 4, 4], 0.9)).toEqual(
      [4, null, 4, 4].map((v) => (v === null ? v : expect.closeTo(v, 10))),
    )
    expect(smooth([1, 2], 0)).toEqual([1, 2])
    const [first, second] = smooth([0, 1], 0.5)
    expect(first).toBe(0)
    expect(second).toBeCloseTo(2 / 3, 12)
  })

  it("of a group have their mean and standard deviation, with gaps filled by straight lines", () => {
    const { mean, low, high } = summarise(
      [0, 1, 2],
      [
        [0, null, 4],
        [2, 4, 6],
      ],
    )
    expect(mean).toEqual([1, 3, 5])
    expect(low[1]).toBeCloseTo(3 - Math.SQRT2, 12)
    expect(high[1]).toBeCloseTo(3 + Math.SQRT2, 12)
  })
})

describe("importance of parameters", () => {
  const sampled = (count: number, seed: number) => {
    const random = makeRandom(seed)
    const names = ["strong", "weak", "none"]
    const features = names.map((name) => ({
      name,
      values: Array.from({ length: count }, () => random()),
    }))
    const [strong, weak] = features
    const target = Array.from(
      { length: count },
      (_, i) => 10 * (strong?.values[i] ?? 0) ** 2 - 2 * (weak?.values[i] ?? 0),
    )
    return { features, target }
  }

  it("orders the parameters of a known function, and gives noise next to nothing", () => {
    const { features, target } = sampled(300, 11)
    const found = importances(features, target)
    expect(found.map(({ name }) => name)).toEqual(["strong", "weak", "none"])
    expect(found[0]?.importance).toBeGreaterThan(0.8)
    expect(found[2]?.importance).toBeLessThan(0.03)
    expect(found.reduce((sum, { importance }) => sum + importance, 0)).toBeCloseTo(1, 10)
    expect(found[0]?.correlation).toBeGreaterThan(0.9)
    expect(found[1]?.correlation).toBeLessThan(0)
  })

  it("finds an interaction that no correlation shows", () => {
    const random = makeRandom(3)
    const a = Array.from({ length: 400 }, () => (random() < 0.5 ? -1 : 1))
    const b = Array.from({ length: 400 }, () => (random() < 0.5 ? -1 : 1))
    const noise = Array.from({ length: 400 }, () => random())
    const target = a.map((value, i) => value * (b[i] ?? 0))
    const found = importances(
      [
        { name: "noise", values: noise },
        { name: "a", values: a },
        { name: "b", values: b },
      ],
      target,
    )
    expect(
      found
        .slice(0, 2)
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(["a", "b"])
    for (const { correlation: rho } of found) expect(Math.abs(rho)).toBeLessThan(0.2)
  })

  it("is the same with the same seed, and none without enough runs", () => {
    const { features, target } = sampled(40, 5)
    expect(importances(features, target)).toEqual(importances(features, target))
    expect(
      importances(
        features.map((f) => ({ ...f, values: [1, 2] })),
        [1, 2],
      )[0]?.importance,
    ).toBe(0)
  })

  it("takes numbers, categories and gaps, and leaves out what does not vary", () => {
    const features = featuresOf(
      [
        { name: "rate", values: ["0.1", "0.2", null, "0.4"] },
        { name: "kind", values: ["b", "a", "b", "a"] },
        { name: "same", values: ["1", "1", "1", "1"] },
        { name: "id", values: ["w", "x", "y", "z"] },
        { name: "rare", values: ["1", null, null, null] },
      ],
      [1, 5, 2, 6],
    )
    expect(features.map(({ name }) => name)).toEqual(["rate", "kind"])
    expect(features[0]?.values).toEqual([0.1, 0.2, 0.2, 0.4])
    expect(features[1]?.values).toEqual([0, 1, 0, 1])
    expect(correlation([1, 2, 3], [1, 1, 1])).toBe(0)
    expect(correlation([1, 2, 3, 4], [10, 20, 30, 1000])).toBe(1)
  })
})

describe("columns", () => {
  const keys = { metrics: ["auc", "val/loss"], params: ["lr"], tags: ["owner"] }

  it("are named as the filter language names them", () => {
    const terms = ["metric:auc", "metric:val/loss", "attribute:name", "attribute:duration"].map(
      (id) => {
        const column = columnOf(id)
        return column === undefined ? undefined : termOf(column)
      },
    )
    expect(terms).toEqual(["metrics.auc", "metrics.`val/loss`", "attributes.run_name", undefined])
    expect(columnOf("attribute:constructor")).toBeUndefined()
    expect(columnOf("nothing")).toBeUndefined()
    expect(mainMetric(["lr", "train/auc", "val/auc"])).toBe("val/auc")
  })

  it("are pinned, hidden and moved", () => {
    const { pinned, others } = arrange(allColumns(keys, true), {
      pinned: ["attribute:name", "metric:auc"],
      hidden: new Set(["attribute:user"]),
      first: ["tag:owner"],
      tags: true,
    })
    expect(pinned.map(({ id }) => id)).toEqual(["attribute:name", "metric:auc"])
    expect(others.map(({ id }) => id)).toEqual([
      "tag:owner",
      "attribute:status",
      "attribute:started",
      "attribute:duration",
      "param:lr",
      "metric:val/loss",
    ])
    expect(moveBefore(others, "param:lr", "attribute:status")).toEqual([
      "tag:owner",
      "param:lr",
      "attribute:status",
    ])
  })
})

describe("a table of text", () => {
  it("reads quotes, separators and line ends inside of them, and stops at the limit", () => {
    expect(parseTable('a,b\r\n"x, ""y""","1\n2"\nz', ",", 10)).toEqual([
      ["a", "b"],
      ['x, "y"', "1\n2"],
      ["z"],
    ])
    expect(parseTable("1\n2\n3\n", "\t", 2)).toEqual([["1"], ["2"]])
  })
})

describe("the layout of a graph", () => {
  it("puts what something came from left of it, also around a cycle", () => {
    const node = (id: string) => ({ id, kind: "run" as const, label: id, isStart: id === "a" })
    const layout = layoutOf({
      nodes: [node("c"), node("b"), node("a"), node("x"), node("y")],
      edges: [
        { from: "a", to: "b" },
        { from: "b", to: "c" },
        { from: "a", to: "c" },
        { from: "x", to: "y" },
        { from: "y", to: "x" },
      ],
      truncated: false,
    })
    const xOf = (id: string) => layout.nodes.find(({ node: { id: own } }) => own === id)?.x ?? 0
    expect(xOf("a")).toBeLessThan(xOf("b"))
    expect(xOf("b")).toBeLessThan(xOf("c"))
    expect(layout.edges).toHaveLength(5)
    const places = layout.nodes.map(({ x, y }) => `${x} ${y}`)
    expect(new Set(places).size).toBe(5)
    expect(layout.width).toBeGreaterThan(3 * nodeSize.width)
  })
})
