/** Rows explained a second by exact TreeSHAP on complete trees, against predicting the same rows. */
import { random } from "../src/internal/random.ts"
import { type Matrix, treeShap } from "../src/internal/tree-shap.ts"
import type { Ensemble, Tree } from "../src/internal/trees.ts"

const width = 20
const next = random(3)

const completeTree = (depth: number): Tree => {
  const nodes = 2 ** depth - 1
  const child = (i: number): number => (i < nodes ? i : ~(i - nodes))
  return {
    feature: Int32Array.from({ length: nodes }, () => Math.floor(next() * width)),
    mode: new Uint8Array(nodes),
    value: Float64Array.from({ length: nodes }, next),
    members: [],
    missingTrue: new Uint8Array(nodes),
    yes: Int32Array.from({ length: nodes }, (_, i) => child(2 * i + 1)),
    no: Int32Array.from({ length: nodes }, (_, i) => child(2 * i + 2)),
    leaf: Float64Array.from({ length: 2 ** depth }, () => next() - 0.5),
    nodeCover: undefined,
    leafCover: undefined,
  }
}

const matrix = (rows: number): Matrix => ({
  data: Float32Array.from({ length: rows * width }, next),
  width,
})
const background = matrix(1000)

/** Bars: rows/s of xgboost 1.7.4 on one thread, as measured for the reference. */
for (const { trees, depth, rows, bar } of [
  { trees: 100, depth: 3, rows: 20_000, bar: 4000 },
  { trees: 100, depth: 6, rows: 2000, bar: 425 },
  { trees: 100, depth: 8, rows: 500, bar: 60 },
]) {
  const ensemble: Ensemble = {
    trees: Array.from({ length: trees }, () => completeTree(depth)),
    base: 0,
    features: width,
  }
  const data = matrix(rows)
  treeShap(ensemble, matrix(64), background)
  const times = [0, 1, 2].map(() => {
    const began = performance.now()
    treeShap(ensemble, data, background)
    return (performance.now() - began) / 1000
  })
  const value = rows / (times.sort((a, b) => a - b)[1] ?? Number.NaN)
  const { values, base, output } = treeShap(ensemble, data, background)
  let worst = 0
  for (let row = 0; row < rows; row++) {
    let sum = base
    for (let j = 0; j < width; j++) sum += values[row * width + j] as number
    worst = Math.max(worst, Math.abs(sum - (output[row] as number)))
  }
  const bench = `treeshap.${trees}_trees.depth_${depth}`
  console.log(
    JSON.stringify({
      bench,
      value: Number(value.toPrecision(4)),
      unit: "rows/s",
      against: "xgboost 1.7.4, one thread, reference machine",
      bar,
      pass: value >= bar,
    }),
  )
  console.log(
    JSON.stringify({
      bench: `${bench}.additivity`,
      value: worst,
      unit: "largest error",
      against: "bar",
      bar: 1e-9,
      pass: worst <= 1e-9,
    }),
  )
}
