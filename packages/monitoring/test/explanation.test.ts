import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Dataset, Digest, Predictor, type ModelPackage, type Signature } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ort from "onnxruntime-node"
import { describe, expect, it } from "vitest"
import { Explanation } from "../src/index.ts"
import { parse } from "../src/internal/onnx.ts"
import { random } from "../src/internal/random.ts"
import { coversOf, quadrature } from "../src/internal/tree-shap.ts"
import { ensembleOf, type Tree } from "../src/internal/trees.ts"

interface Case {
  readonly name: string
  readonly rows: ReadonlyArray<ReadonlyArray<number | null>>
  readonly background: ReadonlyArray<ReadonlyArray<number | null>>
  readonly shap?: ReadonlyArray<ReadonlyArray<number>>
  readonly margin?: ReadonlyArray<number>
}

const fixture = (name: string) => readFileSync(new URL(`./fixtures/${name}`, import.meta.url))
const cases: ReadonlyArray<Case> = JSON.parse(fixture("trees.json").toString("utf8"))
const matrix = (rows: Case["rows"]) => Float32Array.from(rows.flat(), (v) => v ?? Number.NaN)
const bytesOf = ({ name }: Case) => new Uint8Array(fixture(`trees-${name}.onnx`))
const columnsOf = ({ rows }: Case) => (rows[0] ?? []).map((_, i) => `f${i}`)
const caseOf = (name: string): Case => {
  const found = cases.find((each) => each.name === name)
  if (found === undefined) throw new Error(name)
  return found
}

const explain = (each: Case, target?: number) =>
  Effect.runPromise(
    Explanation.explain({
      model: bytesOf(each),
      rows: matrix(each.rows),
      background: matrix(each.background),
      columns: columnsOf(each),
      ...(target === undefined ? {} : { target }),
    }),
  )

const goesYes = (tree: Tree, node: number, x: number): boolean => {
  const value = tree.value[node] ?? 0
  if (Number.isNaN(x)) return tree.missingTrue[node] === 1 || tree.mode[node] === 5
  const answers = [x <= value, x < value, x >= value, x > value, x === value, x !== value]
  return answers[tree.mode[node] ?? 0] ?? tree.members[node]?.has(x) ?? false
}

/** Expected value of a tree knowing only the features in `known` (Lundberg 2018, algorithm 1). */
const expected = (
  tree: Tree,
  covers: ReturnType<typeof coversOf>,
  row: ArrayLike<number>,
  known: number,
): number => {
  const walk = (at: number): number => {
    if (at < 0) return tree.leaf[~at] ?? 0
    const [yes, no] = [tree.yes[at] ?? 0, tree.no[at] ?? 0]
    const feature = tree.feature[at] ?? 0
    if ((known >> feature) & 1) return walk(goesYes(tree, at, row[feature] ?? 0) ? yes : no)
    const cover = (child: number) => (child < 0 ? covers.leaf[~child] : covers.node[child]) ?? 0
    const total = cover(yes) + cover(no)
    const share = total === 0 ? 0.5 : cover(yes) / total
    return share * walk(yes) + (1 - share) * walk(no)
  }
  return walk(tree.feature.length === 0 ? -1 : 0)
}

/** Shapley's formula over all subsets. */
const bruteForce = (
  trees: ReadonlyArray<Tree>,
  background: Float32Array,
  width: number,
  row: ArrayLike<number>,
): Array<number> => {
  const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1))
  const out = new Array<number>(width).fill(0)
  for (const tree of trees) {
    const covers = coversOf(tree, { data: background, width })
    for (let set = 0; set < 2 ** width; set++) {
      const size = [...set.toString(2)].filter((bit) => bit === "1").length
      const value = expected(tree, covers, row, set)
      for (let j = 0; j < width; j++) {
        if ((set >> j) & 1) continue
        const weight = (factorial(size) * factorial(width - size - 1)) / factorial(width)
        out[j] = (out[j] ?? 0) + weight * (expected(tree, covers, row, set | (1 << j)) - value)
      }
    }
  }
  return out
}

describe("exact tree explanations", () => {
  for (const each of cases) {
    const targets = each.name === "forest" ? [0, 1, 2] : [undefined]
    for (const target of targets) {
      const title = `${each.name}${target === undefined ? "" : ` class ${target}`}`
      it(`${title}: add up to 1e-9 and equal Shapley's formula`, async () => {
        const made = await explain(each, target)
        const width = made.columns.length
        const { trees } = ensembleOf(parse(bytesOf(each)), target)
        const background = matrix(each.background)
        for (let row = 0; row < made.rows; row++) {
          const values = made.values.subarray(row * width, (row + 1) * width)
          const sum = values.reduce((a, b) => a + b, made.base)
          expect(Math.abs(sum - (made.output[row] ?? 0))).toBeLessThanOrEqual(1e-9)
          if (row >= 12) continue
          const truth = bruteForce(trees, background, width, matrix([each.rows[row] ?? []]))
          truth.forEach((value, j) =>
            expect(Math.abs(value - (values[j] ?? 0))).toBeLessThanOrEqual(1e-9),
          )
        }
      })
    }

    it(`${each.name}: explains what ONNX Runtime predicts`, async () => {
      const session = await ort.InferenceSession.create(bytesOf(each))
      const [input = ""] = session.inputNames
      const output = session.outputNames[session.outputNames.length - 1] ?? ""
      const data = matrix(each.rows)
      const width = columnsOf(each).length
      const result = await session.run({
        [input]: new ort.Tensor("float32", data, [data.length / width, width]),
      })
      const theirs = result[output]?.data as Float32Array
      const classes = theirs.length / (data.length / width)
      const made = await explain(each)
      const isLogit = each.name === "xgb-binary" || each.name === "member"
      const positive = each.name === "forest" ? 1 : classes - 1
      made.output.forEach((margin, row) => {
        const ours = isLogit ? 1 / (1 + Math.exp(-margin)) : margin
        expect(ours).toBeCloseTo(theirs[row * classes + positive] ?? Number.NaN, 5)
      })
    })
  }

  it("equals XGBoost's own values where its covers count rows", async () => {
    const each = caseOf("xgb-regression")
    const made = await explain(each)
    const width = made.columns.length
    each.shap?.forEach((values, row) => {
      for (let j = 0; j < width; j++) {
        expect(made.values[row * width + j]).toBeCloseTo(values[j] ?? Number.NaN, 4)
      }
      expect(made.base).toBeCloseTo(values[width] ?? Number.NaN, 4)
      expect(made.output[row]).toBeCloseTo(each.margin?.[row] ?? Number.NaN, 4)
    })
  })

  it("integrates polynomials exactly", () => {
    for (let n = 1; n <= 20; n++) {
      const { points, weights } = quadrature(n)
      const integral = points.reduce((sum, x, i) => sum + (weights[i] ?? 0) * x ** (2 * n - 1), 0)
      expect(integral).toBeCloseTo(1 / (2 * n), 14)
    }
  })

  it("reads a model package, and datasets by the signature's columns", async () => {
    const each = caseOf("xgb-binary")
    const directory = mkdtempSync(join(tmpdir(), "package-"))
    try {
      writeFileSync(join(directory, "model.onnx"), bytesOf(each))
      const manifest: ModelPackage.Manifest = {
        flavor: "onnx",
        flavors: {},
        entry: "model.onnx",
        signature: {
          inputs: [
            { name: "features", datatype: "FP32", shape: [-1, 5], columns: columnsOf(each) },
          ],
          outputs: [{ name: "probabilities", datatype: "FP32", shape: [-1, 2] }],
        },
        modelUuid: "x",
        created: 0,
        files: [],
        digest: Digest.of("x"),
      }
      const columns = Object.fromEntries(
        columnsOf(each).map((name, j) => [
          name,
          Float32Array.from(each.rows, (row) => row[j] ?? Number.NaN),
        ]),
      )
      const reordered = Object.fromEntries(Object.entries(columns).reverse())
      const dataset = await Effect.runPromise(Dataset.fromColumns(reordered))
      const background = matrix(each.background)
      const program = Explanation.explain({
        model: { directory, manifest },
        rows: dataset,
        background,
      })
      expect((await Effect.runPromise(program)).values).toEqual((await explain(each)).values)

      const outside = { directory, manifest: { ...manifest, entry: "../secret.onnx" } }
      const error = await Effect.runPromise(
        Effect.flip(Explanation.explain({ model: outside, rows: dataset })),
      )
      expect(error.message).toMatch(/outside of the package/)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  it("refuses damaged files, files without trees, and missing covers", async () => {
    const each = caseOf("xgb-binary")
    const whole = bytesOf(each)
    const rows = matrix(each.rows)
    const fail = (model: Uint8Array) =>
      Effect.runPromise(
        Effect.flip(
          Explanation.explain({ model, rows, background: rows, columns: columnsOf(each) }),
        ),
      )
    const next = random(1)
    for (let i = 0; i < 60; i++) {
      const error = await fail(whole.slice(0, 1 + Math.floor(next() * (whole.length - 40))))
      expect(["MonitoringError.Corrupt", "MonitoringError.NotSupported"]).toContain(
        (error as { code: string }).code,
      )
    }
    expect((await fail(new Uint8Array(0))).message).toMatch(/holds no graph/)
    const covers = Explanation.explain({ model: whole, rows, columns: columnsOf(each) })
    expect((await Effect.runPromise(Effect.flip(covers))).message).toMatch(/pass 'background'/)
    const narrow = Explanation.explain({ model: whole, rows, background: rows, columns: ["a"] })
    expect((await Effect.runPromise(Effect.flip(narrow))).message).toMatch(
      /5 features and 1 columns/,
    )
  })
})

describe("sampled explanations", () => {
  const width = 6
  const next = random(2)
  const data = (rows: number) => Float32Array.from({ length: rows * width }, next)
  const f = (x: Float32Array, at: number): number => {
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = x.subarray(at, at + width)
    return Math.tanh(a * b + c) - d * e + 0.5 * a
  }
  const predict = (x: Float32Array, rows: number) =>
    Effect.succeed(Float64Array.from({ length: rows }, (_, i) => f(x, i * width)))
  const columns = Array.from({ length: width }, (_, i) => `f${i}`)

  it("add up, agree with enumeration, and are the same for the same seed", async () => {
    const rows = data(4)
    const background = data(20)
    const base = { predict, rows, background, columns }
    const exact = await Effect.runPromise(Explanation.sample({ ...base, evaluations: 64 * 20 }))
    const sampled = await Effect.runPromise(
      Explanation.sample({ ...base, evaluations: 1279, seed: 5 }),
    )
    const again = await Effect.runPromise(
      Explanation.sample({ ...base, evaluations: 1279, seed: 5 }),
    )
    expect(again).toEqual(sampled)
    for (const made of [exact, sampled]) {
      for (let row = 0; row < 4; row++) {
        const sum = made.values
          .subarray(row * width, (row + 1) * width)
          .reduce((a, b) => a + b, made.base)
        expect(sum).toBeCloseTo(made.output[row] ?? Number.NaN, 10)
      }
    }
    exact.values.forEach((value, i) =>
      expect(Math.abs(value - (sampled.values[i] ?? 0))).toBeLessThan(0.05),
    )
    // The sixth feature is not used.
    expect(exact.values[5]).toBeCloseTo(0, 12)
  })

  it("explain a model behind the Predictor, in either shape of its signature", async () => {
    const rows = data(3)
    const background = data(10)
    const byName: Signature.Signature = {
      inputs: columns.map((name) => ({ name, datatype: "FP32" as const, shape: [-1] })),
      outputs: [{ name: "p", datatype: "FP32", shape: [-1, 2] }],
    }
    const together: Signature.Signature = {
      inputs: [{ name: "features", datatype: "FP32", shape: [-1, width], columns }],
      outputs: [
        { name: "label", datatype: "INT64", shape: [-1] },
        { name: "p", datatype: "FP32", shape: [-1] },
      ],
    }
    const layerOf = (signature: Signature.Signature) =>
      Layer.succeed(Predictor.Predictor, {
        signature: () => Effect.succeed(signature),
        predict: ({ inputs }) =>
          Effect.sync(() => {
            const tensors = Object.values(inputs)
            const n = tensors[0]?.shape[0] ?? 0
            const x = new Float32Array(n * width)
            if (tensors.length === 1) x.set(tensors[0]?.data as Float32Array)
            else
              columns.forEach((name, j) =>
                Array.from(
                  { length: n },
                  (_, i) => (x[i * width + j] = Number(inputs[name]?.data[i])),
                ),
              )
            const scores = Float32Array.from({ length: n }, (_, i) => f(x, i * width))
            const p =
              tensors.length === 1
                ? { datatype: "FP32" as const, shape: [n], data: scores }
                : {
                    datatype: "FP32" as const,
                    shape: [n, 2],
                    data: Float32Array.from({ length: 2 * n }, (_, i) =>
                      i % 2 === 0 ? 1 - (scores[i >> 1] ?? 0) : (scores[i >> 1] ?? 0),
                    ),
                  }
            return { model: "m", version: 1, outputs: { p } }
          }),
      })
    const request = { model: { name: "m" }, rows, background, evaluations: 640 }
    const [a, b] = await Promise.all(
      [byName, together].map((signature) =>
        Effect.runPromise(
          Effect.provide(Explanation.explainPredictor(request), layerOf(signature)),
        ),
      ),
    )
    expect(a?.columns).toEqual(columns)
    expect(a?.values).toEqual(b?.values)
    const direct = await Effect.runPromise(
      Explanation.sample({ predict, rows, background, columns, evaluations: 640 }),
    )
    direct.values.forEach((value, i) => expect(a?.values[i]).toBeCloseTo(value, 6))
    expect(Explanation.top(direct, 0, 2)).toHaveLength(2)
  })

  it("refuses budgets, backgrounds and predictions that make no sense", async () => {
    const rows = data(1)
    const fail = (part: Partial<Explanation.SampleRequest<never, never>>) =>
      Effect.runPromise(
        Effect.flip(Explanation.sample({ predict, rows, background: rows, columns, ...part })),
      )
    expect(((await fail({ evaluations: 5 })) as Error).message).toMatch(/at least 14/)
    expect(((await fail({ background: new Float32Array(0) })) as Error).message).toMatch(/no rows/)
    expect(
      ((await fail({ predict: () => Effect.succeed([Number.NaN]) })) as Error).message,
    ).toMatch(/not finite/)
    expect(((await fail({ columns: ["a", "b", "c", "d"] })) as Error).message).toMatch(
      /no multiple of the 4/,
    )
  })
})
