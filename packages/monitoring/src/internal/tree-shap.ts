/**
 * Exact path-dependent Shapley values of trees (Lundberg 2018), leaf by leaf.
 *
 * A leaf of weight v whose path asks d features gives feature i the value
 * v (o_i - z_i) ∫₀¹ Π_{j≠i} (t o_j + (1-t) z_j) dt, where o_j says whether the row passes all of
 * the path's questions about j and z_j is the share of the background that does. The integrand is a
 * polynomial of degree d-1, so ⌈d/2⌉ Gauss-Legendre points integrate it exactly; every term is
 * positive, so no digits are lost. Rows that answer alike share one evaluation.
 *
 * @module
 */
import type { Ensemble, Tree } from "./trees.ts"

/** Points and weights on [0, 1]. */
interface Quadrature {
  readonly points: Float64Array
  readonly weights: Float64Array
}

const quadratures: Array<Quadrature | undefined> = []

/** Gauss-Legendre by Newton's method on the Legendre polynomial. */
export const quadrature = (n: number): Quadrature => {
  const known = quadratures[n]
  if (known !== undefined) return known
  const points = new Float64Array(n)
  const weights = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5))
    let slope = 0
    for (let step = 0; step < 100; step++) {
      let [p, before] = [1, 0]
      for (let k = 1; k <= n; k++) [p, before] = [((2 * k - 1) * x * p - (k - 1) * before) / k, p]
      slope = (n * (x * p - before)) / (x * x - 1)
      const move = p / slope
      x -= move
      if (Math.abs(move) < 1e-16) break
    }
    points[i] = (1 - x) / 2
    weights[i] = 1 / ((1 - x * x) * slope * slope)
  }
  const made = { points, weights }
  quadratures[n] = made
  return made
}

const passes = (tree: Tree, node: number, x: number): boolean => {
  if (x !== x)
    return (
      tree.missingTrue[node] === 1 ||
      (tree.mode[node] === 5 && tree.value[node] === tree.value[node])
    )
  const value = tree.value[node] as number
  switch (tree.mode[node]) {
    case 0:
      return x <= value
    case 1:
      return x < value
    case 2:
      return x >= value
    case 3:
      return x > value
    case 4:
      return x === value
    case 5:
      return x !== value
    default:
      return tree.members[node]?.has(x) ?? false
  }
}

/** Rows of a row-major matrix of float32. */
export interface Matrix {
  readonly data: Float32Array
  readonly width: number
}

/** Rows that reach each node and leaf. */
export const coversOf = (
  tree: Tree,
  background: Matrix,
): { readonly node: Float64Array; readonly leaf: Float64Array } => {
  const node = new Float64Array(tree.feature.length)
  const leaf = new Float64Array(tree.leaf.length)
  const rows = background.data.length / background.width
  for (let row = 0; row < rows; row++) {
    let at = node.length === 0 ? -1 : 0
    while (at >= 0) {
      node[at] = (node[at] as number) + 1
      const x = background.data[row * background.width + (tree.feature[at] as number)] as number
      at = (passes(tree, at, x) ? tree.yes[at] : tree.no[at]) as number
    }
    leaf[~at] = (leaf[~at] as number) + 1
  }
  return { node, leaf }
}

/** A leaf's path: its features, their background shares, and the questions by feature slot. */
interface Path {
  readonly weight: number
  readonly features: ReadonlyArray<number>
  readonly shares: ReadonlyArray<number>
  /** Triples node, slot, wanted answer. */
  readonly questions: Int32Array
}

const pathsOf = (
  tree: Tree,
  covers: { readonly node: Float64Array; readonly leaf: Float64Array },
): ReadonlyArray<Path> => {
  const paths: Array<Path> = []
  const cover = (child: number): number =>
    (child < 0 ? covers.leaf[~child] : covers.node[child]) as number
  const walk = (
    at: number,
    features: ReadonlyArray<number>,
    shares: ReadonlyArray<number>,
    questions: ReadonlyArray<number>,
  ): void => {
    if (at < 0) {
      paths.push({
        weight: tree.leaf[~at] as number,
        features,
        shares,
        questions: Int32Array.from(questions),
      })
      return
    }
    const feature = tree.feature[at] as number
    const children = [tree.no[at] as number, tree.yes[at] as number]
    const total = cover(children[0] as number) + cover(children[1] as number)
    const known = features.indexOf(feature)
    const slot = known < 0 ? features.length : known
    for (const answer of [1, 0]) {
      const child = children[answer] as number
      // No background row came here: halves keep the explanation additive.
      const share = total === 0 ? 0.5 : cover(child) / total
      const next = shares.slice()
      next[slot] = (next[slot] ?? 1) * share
      walk(child, known < 0 ? [...features, feature] : features, next, [
        ...questions,
        at,
        slot,
        answer,
      ])
    }
  }
  walk(tree.feature.length === 0 ? -1 : 0, [], [], [])
  return paths
}

/** Largest number of features on a path for which answers are kept in a table. */
const tableBits = 8
const blockRows = 512

/** What each slot of a path contributes for one set of answers, into `out[at ...]`. */
const contributions = (
  path: Path,
  passed: (slot: number) => boolean,
  out: Float64Array,
  at: number,
): void => {
  const d = path.features.length
  out.fill(0, at, at + d)
  for (let j = 0; j < d; j++) if (path.shares[j] === 0 && !passed(j)) return
  const { points, weights } = quadrature(Math.ceil(d / 2))
  for (let q = 0; q < points.length; q++) {
    const t = points[q] as number
    let product = weights[q] as number
    for (let j = 0; j < d; j++)
      product *= (1 - t) * (path.shares[j] as number) + (passed(j) ? t : 0)
    for (let j = 0; j < d; j++) {
      const factor = (1 - t) * (path.shares[j] as number) + (passed(j) ? t : 0)
      out[at + j] = (out[at + j] as number) + product / factor
    }
  }
  for (let j = 0; j < d; j++) {
    out[at + j] =
      (out[at + j] as number) * path.weight * ((passed(j) ? 1 : 0) - (path.shares[j] as number))
  }
}

/** Answers of a block of rows to every question of a tree, question-major. */
const answersOf = (
  tree: Tree,
  rows: Matrix,
  from: number,
  count: number,
  out: Uint8Array,
): void => {
  for (let node = 0; node < tree.feature.length; node++) {
    const feature = tree.feature[node] as number
    for (let r = 0; r < count; r++) {
      const x = rows.data[(from + r) * rows.width + feature] as number
      out[node * blockRows + r] = passes(tree, node, x) ? 1 : 0
    }
  }
}

/** Result: `values` is rows x width, row-major; `output` the margin of each row. */
export interface Attributions {
  readonly values: Float64Array
  readonly base: number
  readonly output: Float64Array
}

/** A path of so many features that rows seldom answer alike. */
const deepPath = (
  path: Path,
  answers: Uint8Array,
  from: number,
  count: number,
  width: number,
  to: Float64Array,
  margins: Float64Array,
): void => {
  const d = path.features.length
  const slots = new Uint8Array(d)
  const out = new Float64Array(d)
  for (let r = 0; r < count; r++) {
    slots.fill(1, 0, d)
    for (let q = 0; q < path.questions.length; q += 3) {
      const answer = answers[(path.questions[q] as number) * blockRows + r]
      if (answer !== path.questions[q + 2]) slots[path.questions[q + 1] as number] = 0
    }
    contributions(path, (slot) => slots[slot] === 1, out, 0)
    let all = true
    for (let j = 0; j < d; j++) {
      const at = (from + r) * width + (path.features[j] as number)
      to[at] = (to[at] as number) + (out[j] as number)
      if (slots[j] === 0) all = false
    }
    if (all) margins[from + r] = (margins[from + r] as number) + path.weight
  }
}

/**
 * Shapley values of all rows, tree by tree, so that a caller can let others have their turn. Covers
 * come from the file where it has them and no background is given, else from the background.
 */
export const treeShapSteps = function* (
  ensemble: Ensemble,
  rows: Matrix,
  background: Matrix | undefined,
): Generator<void, Attributions> {
  const n = rows.data.length / rows.width
  const values = new Float64Array(rows.data.length)
  const output = new Float64Array(n).fill(ensemble.base)
  let base = ensemble.base
  const patterns = new Int32Array(blockRows)
  for (const tree of ensemble.trees) {
    const covers =
      background === undefined && tree.nodeCover !== undefined && tree.leafCover !== undefined
        ? { node: tree.nodeCover, leaf: tree.leafCover }
        : coversOf(tree, background ?? rows)
    const paths = pathsOf(tree, covers).filter((path) => path.weight !== 0)
    for (const path of paths) base += path.weight * path.shares.reduce((a, b) => a * b, 1)
    const tables = paths.map((path) =>
      path.features.length <= tableBits
        ? {
            values: new Float64Array(path.features.length << path.features.length),
            done: new Uint8Array(1 << path.features.length),
          }
        : undefined,
    )
    const answers = new Uint8Array(tree.feature.length * blockRows)
    for (let from = 0; from < n; from += blockRows) {
      const count = Math.min(blockRows, n - from)
      answersOf(tree, rows, from, count, answers)
      paths.forEach((path, p) => {
        const { features, questions } = path
        const d = features.length
        const table = tables[p]
        if (table === undefined) {
          deepPath(path, answers, from, count, rows.width, values, output)
          return
        }
        const full = (1 << d) - 1
        patterns.fill(full, 0, count)
        for (let q = 0; q < questions.length; q += 3) {
          const first = (questions[q] as number) * blockRows
          const bit = 1 << (questions[q + 1] as number)
          const wanted = questions[q + 2] as number
          for (let r = 0; r < count; r++) {
            if (answers[first + r] !== wanted) patterns[r] = (patterns[r] as number) & ~bit
          }
        }
        for (let r = 0; r < count; r++) {
          const pattern = patterns[r] as number
          const at = pattern * d
          if (table.done[pattern] === 0) {
            table.done[pattern] = 1
            contributions(path, (slot) => ((pattern >> slot) & 1) === 1, table.values, at)
          }
          const row = (from + r) * rows.width
          for (let j = 0; j < d; j++) {
            const to = row + (features[j] as number)
            values[to] = (values[to] as number) + (table.values[at + j] as number)
          }
          if (pattern === full) output[from + r] = (output[from + r] as number) + path.weight
        }
      })
    }
    yield
  }
  return { values, base, output }
}

/** The same in one go. */
export const treeShap = (
  ensemble: Ensemble,
  rows: Matrix,
  background: Matrix | undefined,
): Attributions => {
  const steps = treeShapSteps(ensemble, rows, background)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
