/**
 * A fitted ensemble of decision trees: the learner's result, independent of how it was trained.
 *
 * @module
 */

/** One tree. Internal nodes are numbered from 0 (the root); a child below zero is leaf `~child`. */
export interface Tree {
  /** Column each node looks at. */
  readonly feature: ReadonlyArray<number>
  /** A value at or below goes left (float32); unused by categorical nodes. */
  readonly threshold: ReadonlyArray<number>
  /** Categories that go left, or null for a numeric node. */
  readonly categories: ReadonlyArray<ReadonlyArray<number> | null>
  /** Whether a missing value (NaN) goes left. */
  readonly missingLeft: ReadonlyArray<boolean>
  readonly left: ReadonlyArray<number>
  readonly right: ReadonlyArray<number>
  /** Loss reduction of each node's split. */
  readonly gain: ReadonlyArray<number>
  /** Training rows in each leaf. */
  readonly leafRows: ReadonlyArray<number>
  /** Output of each leaf, learning rate included. */
  readonly leafValue: ReadonlyArray<number>
}

/** Trees whose outputs add up to a score: the log-odds of a binary model, the value of a regression. */
export interface TreeEnsemble {
  readonly objective: "binary" | "regression"
  readonly features: ReadonlyArray<string>
  /** Score of a row before any tree. */
  readonly baseScore: number
  readonly trees: ReadonlyArray<Tree>
}

interface Compiled {
  readonly feature: Int32Array
  readonly threshold: Float32Array
  readonly children: Int32Array
  /** 1 = missing goes left, 2 = categorical. */
  readonly flags: Uint8Array
  readonly sets: ReadonlyArray<ReadonlySet<number> | null>
  readonly values: Float64Array
}

const compile = (tree: Tree): Compiled => ({
  feature: Int32Array.from(tree.feature),
  threshold: Float32Array.from(tree.threshold),
  children: Int32Array.from(
    tree.feature.flatMap((_, i) => [tree.right[i] ?? -1, tree.left[i] ?? -1]),
  ),
  flags: Uint8Array.from(
    tree.feature,
    (_, i) => (tree.missingLeft[i] === true ? 1 : 0) | (tree.categories[i] === null ? 0 : 2),
  ),
  sets: tree.categories.map((set) => (set === null ? null : new Set(set))),
  values: Float64Array.from(tree.leafValue),
})

/**
 * Raw scores (log-odds or values), one for each row, of float32 columns in the order of
 * `ensemble.features`. NaN is a missing value.
 */
export const scores = (
  ensemble: TreeEnsemble,
  columns: ReadonlyArray<Float32Array>,
): Float64Array => {
  const rows = columns[0]?.length ?? 0
  const out = new Float64Array(rows).fill(ensemble.baseScore)
  for (const tree of ensemble.trees) {
    const t = compile(tree)
    const single = t.feature.length === 0
    for (let row = 0; row < rows; row++) {
      let node = single ? -1 : 0
      while (node >= 0) {
        const x = (columns[t.feature[node] as number] as Float32Array)[row] as number
        const flags = t.flags[node] as number
        let left: number
        if (x !== x) left = flags & 1
        else if ((flags & 2) === 0) left = x <= (t.threshold[node] as number) ? 1 : 0
        else left = (t.sets[node] as ReadonlySet<number>).has(x) ? 1 : 0
        node = t.children[node * 2 + left] as number
      }
      out[row] = (out[row] as number) + (t.values[~node] as number)
    }
  }
  return out
}

/** Predictions, one for each row: the probability of label 1 of a binary model, the value of a regression. */
export const predict = (
  ensemble: TreeEnsemble,
  columns: ReadonlyArray<Float32Array>,
): Float64Array => {
  const out = scores(ensemble, columns)
  if (ensemble.objective === "regression") return out
  for (let i = 0; i < out.length; i++) out[i] = 1 / (1 + Math.exp(-(out[i] as number)))
  return out
}

/** Total loss reduction of each feature, scaled to sum to 1 (all zero when no tree has a split). */
export const importance = (ensemble: TreeEnsemble): Readonly<Record<string, number>> => {
  const gains = ensemble.features.map(() => 0)
  for (const tree of ensemble.trees) {
    tree.feature.forEach(
      (feature, i) => (gains[feature] = (gains[feature] ?? 0) + (tree.gain[i] ?? 0)),
    )
  }
  const total = gains.reduce((sum, gain) => sum + gain, 0)
  return Object.fromEntries(
    ensemble.features.map((name, i) => [name, total === 0 ? 0 : (gains[i] ?? 0) / total]),
  )
}
