/**
 * Which parameters a metric depends on: a random forest of regression trees (Breiman, 2001), and by
 * how much its out-of-bag error grows when one parameter's values are shuffled.
 */

/** A parameter over the runs: numbers, or codes of categories. */
export interface Feature {
  readonly name: string
  readonly values: ReadonlyArray<number>
}

/** What a parameter means for the metric. */
export interface Importance {
  readonly name: string
  /** Share of the explained importance, 0 to 1; all shares are 1 together, or all 0. */
  readonly importance: number
  /** Spearman's rank correlation with the metric, -1 to 1. */
  readonly correlation: number
}

/** How a forest is grown. */
export interface ForestOptions {
  readonly trees?: number
  readonly maxDepth?: number
  readonly minLeaf?: number
  readonly seed?: number
}

/** A node: a leaf, or a question with the indexes of its answers. */
interface Node {
  readonly feature: number
  readonly threshold: number
  readonly left: number
  readonly right: number
  readonly value: number
}

/** Uniform numbers from 0 to 1 (mulberry32): the same seed gives the same forest. */
export const makeRandom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const shuffled = (count: number, random: () => number): Int32Array => {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const kept = order[i] ?? 0
    order[i] = order[j] ?? 0
    order[j] = kept
  }
  return order
}

interface Split {
  readonly feature: number
  readonly threshold: number
  readonly gain: number
}

/** The question that takes most off the squared error. */
const bestSplit = (
  columns: ReadonlyArray<Float64Array>,
  target: Float64Array,
  rows: Int32Array,
  candidates: ReadonlyArray<number>,
  minLeaf: number,
): Split | undefined => {
  let total = 0
  for (const row of rows) total += target[row] ?? 0
  const count = rows.length
  const base = (total * total) / count
  let best: Split | undefined
  for (const feature of candidates) {
    const column = columns[feature]
    if (column === undefined) continue
    const sorted = rows.toSorted((a, b) => (column[a] ?? 0) - (column[b] ?? 0))
    let left = 0
    for (let i = 0; i < count - 1; i++) {
      const here = sorted[i] ?? 0
      left += target[here] ?? 0
      const value = column[here] ?? 0
      const next = column[sorted[i + 1] ?? 0] ?? 0
      const size = i + 1
      if (value === next || size < minLeaf || count - size < minLeaf) continue
      const right = total - left
      const gain = (left * left) / size + (right * right) / (count - size) - base
      if (gain > (best?.gain ?? 1e-12)) {
        best = { feature, threshold: (value + next) / 2, gain }
      }
    }
  }
  return best
}

const grow = (
  columns: ReadonlyArray<Float64Array>,
  target: Float64Array,
  rows: Int32Array,
  options: Required<ForestOptions>,
  random: () => number,
): ReadonlyArray<Node> => {
  const nodes: Array<Node> = []
  const tried = Math.max(1, Math.ceil(columns.length / 2))
  const add = (subset: Int32Array, depth: number): number => {
    let sum = 0
    for (const row of subset) sum += target[row] ?? 0
    const leaf = { feature: -1, threshold: 0, left: -1, right: -1, value: sum / subset.length }
    const index = nodes.push(leaf) - 1
    if (depth >= options.maxDepth || subset.length < 2 * options.minLeaf) return index
    const candidates = [...shuffled(columns.length, random).subarray(0, tried)]
    const split = bestSplit(columns, target, subset, candidates, options.minLeaf)
    if (split === undefined) return index
    const column = columns[split.feature]
    const goesLeft = (row: number) => (column?.[row] ?? 0) <= split.threshold
    const left = add(
      subset.filter((row) => goesLeft(row)),
      depth + 1,
    )
    const right = add(
      subset.filter((row) => !goesLeft(row)),
      depth + 1,
    )
    nodes[index] = { ...leaf, feature: split.feature, threshold: split.threshold, left, right }
    return index
  }
  add(rows, 0)
  return nodes
}

/** What a tree says of a row, with one column read from another row. */
const predict = (
  nodes: ReadonlyArray<Node>,
  columns: ReadonlyArray<Float64Array>,
  row: number,
  replaced = -1,
  from = row,
): number => {
  let node = nodes[0]
  while (node !== undefined && node.feature >= 0) {
    const value = columns[node.feature]?.[node.feature === replaced ? from : row] ?? 0
    node = nodes[value <= node.threshold ? node.left : node.right]
  }
  return node?.value ?? 0
}

const ranks = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const order = values.map((_, i) => i).sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
  const ranked = new Array<number>(values.length).fill(0)
  for (let i = 0; i < order.length;) {
    let j = i
    while (j < order.length && values[order[j] ?? 0] === values[order[i] ?? 0]) j += 1
    for (let k = i; k < j; k++) ranked[order[k] ?? 0] = (i + j - 1) / 2
    i = j
  }
  return ranked
}

/** Spearman's rank correlation; 0 where one side does not vary. */
export const correlation = (left: ReadonlyArray<number>, right: ReadonlyArray<number>): number => {
  const a = ranks(left)
  const b = ranks(right)
  const mean = (a.length - 1) / 2
  let ab = 0
  let aa = 0
  let bb = 0
  a.forEach((value, i) => {
    const x = value - mean
    const y = (b[i] ?? 0) - mean
    ab += x * y
    aa += x * x
    bb += y * y
  })
  return aa === 0 || bb === 0 ? 0 : ab / Math.sqrt(aa * bb)
}

/** The importance of features for a target, the greatest first. Needs at least four runs. */
export const importances = (
  features: ReadonlyArray<Feature>,
  target: ReadonlyArray<number>,
  options: ForestOptions = {},
): ReadonlyArray<Importance> => {
  const settings = { trees: 120, maxDepth: 12, minLeaf: 2, seed: 7, ...options }
  const count = target.length
  const random = makeRandom(settings.seed)
  const columns = features.map(({ values }) => Float64Array.from(values))
  const wanted = Float64Array.from(target)
  const increases = new Float64Array(features.length)
  for (let t = 0; count >= 4 && t < settings.trees; t++) {
    const inBag = new Uint8Array(count)
    const rows = Int32Array.from({ length: count }, () => {
      const row = Math.floor(random() * count)
      inBag[row] = 1
      return row
    })
    const outside: Array<number> = []
    for (let row = 0; row < count; row++) if (inBag[row] === 0) outside.push(row)
    if (outside.length < 2) continue
    const tree = grow(columns, wanted, rows, settings, random)
    const used = new Set(tree.map(({ feature }) => feature))
    const errorOf = (replaced: number, order: Int32Array | undefined): number => {
      let sum = 0
      outside.forEach((row, i) => {
        const from = order === undefined ? row : (outside[order[i] ?? 0] ?? row)
        sum += (predict(tree, columns, row, replaced, from) - (wanted[row] ?? 0)) ** 2
      })
      return sum / outside.length
    }
    const error = errorOf(-1, undefined)
    for (let f = 0; f < features.length; f++) {
      if (!used.has(f)) continue
      increases[f] = (increases[f] ?? 0) + errorOf(f, shuffled(outside.length, random)) - error
    }
  }
  const positive = Array.from(increases, (increase) => Math.max(0, increase))
  const sum = positive.reduce((a, b) => a + b, 0)
  return features
    .map(({ name, values }, i) => ({
      name,
      importance: sum === 0 ? 0 : (positive[i] ?? 0) / sum,
      correlation: correlation(values, target),
    }))
    .toSorted((a, b) => b.importance - a.importance)
}

/**
 * Parameters as features: those with at least two values that at least half of the runs have.
 * Text becomes codes in the order of the target's mean, so that a tree can part it.
 */
export const featuresOf = (
  params: ReadonlyArray<{
    readonly name: string
    readonly values: ReadonlyArray<string | number | null>
  }>,
  target: ReadonlyArray<number>,
): ReadonlyArray<Feature> =>
  params.flatMap(({ name, values }) => {
    const there = values.filter((value) => value !== null)
    const different = new Set(there.map(String))
    if (different.size < 2 || there.length * 2 < values.length) return []
    const numbers = values.map((value) =>
      value === null || value === "" ? Number.NaN : Number(value),
    )
    const isNumeric = values.every((value, i) => value === null || Number.isFinite(numbers[i]))
    if (isNumeric) {
      const known = numbers.filter((value) => Number.isFinite(value)).toSorted((a, b) => a - b)
      const median = known[known.length >> 1] ?? 0
      return [{ name, values: numbers.map((v) => (Number.isFinite(v) ? v : median)) }]
    }
    // As many categories as runs tell nothing about other runs.
    if (different.size * 2 > there.length) return []
    const groups = Map.groupBy(
      values.map((_, i) => i),
      (i) => String(values[i]),
    )
    const ordered = [...groups]
      .map(([text, rows]) => {
        const sum = rows.reduce((total, row) => total + (target[row] ?? 0), 0)
        return { text, mean: sum / rows.length }
      })
      .toSorted((a, b) => a.mean - b.mean)
    const codes = new Map(ordered.map(({ text }, code) => [text, code]))
    return [{ name, values: values.map((value) => codes.get(String(value)) ?? 0) }]
  })
