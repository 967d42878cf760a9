/**
 * Tree ensembles as ONNX: the `TreeEnsemble` operator of ai.onnx.ml 5.
 *
 * @module
 */
import type { TreeEnsemble } from "../TreeEnsemble.ts"
import { elementType, encodeModel } from "./onnx-proto.ts"
import type { Node } from "./onnx-proto.ts"
import { outputOf } from "./signature.ts"

const BRANCH_LEQ = 0
const BRANCH_MEMBER = 6
const SUM = 1

const treeNode = (ensemble: TreeEnsemble): Node => {
  const roots: Array<number> = []
  const features: Array<number> = []
  const modes: Array<number> = []
  const splits: Array<number> = []
  const members: Array<number> = []
  const missing: Array<number> = []
  const trueIds: Array<number> = []
  const trueLeaf: Array<number> = []
  const falseIds: Array<number> = []
  const falseLeaf: Array<number> = []
  const weights: Array<number> = []
  for (const tree of ensemble.trees) {
    const firstNode = features.length
    // ONNX Runtime takes a root for a leaf when its children, one a leaf and one a node, have the
    // same number (microsoft/onnxruntime#24679): an unused leaf moves the numbers apart.
    const [left = -1, right = -1] = [tree.left[0], tree.right[0]]
    const branch = Math.max(left, right)
    if (
      branch > 0 &&
      Math.min(left, right) < 0 &&
      firstNode + branch === weights.length + ~Math.min(left, right)
    ) {
      weights.push(0)
    }
    const firstLeaf = weights.length
    roots.push(firstNode)
    weights.push(...tree.leafValue)
    const child = (ids: Array<number>, isLeaf: Array<number>, to: number | undefined) => {
      const target = to ?? -1
      isLeaf.push(target < 0 ? 1 : 0)
      ids.push(target < 0 ? firstLeaf + ~target : firstNode + target)
    }
    // The operator has no tree without a node: a lone leaf is both children of one.
    const nodes = Math.max(1, tree.feature.length)
    for (let i = 0; i < nodes; i++) {
      const categories = tree.categories[i] ?? null
      features.push(tree.feature[i] ?? 0)
      modes.push(categories === null ? BRANCH_LEQ : BRANCH_MEMBER)
      splits.push(categories === null ? (tree.threshold[i] ?? 0) : 0)
      if (categories !== null) members.push(...categories, Number.NaN)
      missing.push(tree.missingLeft[i] === true ? 1 : 0)
      child(trueIds, trueLeaf, tree.left[i])
      child(falseIds, falseLeaf, tree.right[i])
    }
  }
  const doubles = (values: ReadonlyArray<number>) => ({
    shape: [values.length],
    data: Float64Array.from(values),
  })
  return {
    op: "TreeEnsemble",
    domain: "ai.onnx.ml",
    inputs: ["features_f64"],
    outputs: ["sum"],
    attributes: {
      aggregate_function: SUM,
      n_targets: 1,
      post_transform: 0,
      tree_roots: roots,
      nodes_featureids: features,
      nodes_modes: { shape: [modes.length], data: Uint8Array.from(modes) },
      nodes_splits: doubles(splits),
      nodes_missing_value_tracks_true: missing,
      nodes_truenodeids: trueIds,
      nodes_trueleafs: trueLeaf,
      nodes_falsenodeids: falseIds,
      nodes_falseleafs: falseLeaf,
      leaf_targetids: weights.map(() => 0),
      leaf_weights: doubles(weights),
      ...(members.length === 0 ? {} : { membership_values: doubles(members) }),
    },
  }
}

/**
 * Encodes an ensemble: input `features` float32 `[-1, n]`, output `probability` or `value`
 * float32 `[-1]`. Thresholds are float32 values; sums are float64, so that predictions equal
 * ours to float32 rounding.
 */
export const treesToOnnx = (ensemble: TreeEnsemble): Uint8Array<ArrayBuffer> => {
  const output = outputOf(ensemble.objective)
  const isBinary = ensemble.objective === "binary"
  return encodeModel({
    name: "gradient-boosting",
    inputs: [{ name: "features", shape: [-1, ensemble.features.length] }],
    outputs: [{ name: output, shape: [-1] }],
    constants: [
      { name: "base", shape: [1], data: Float64Array.of(ensemble.baseScore) },
      { name: "flat", shape: [1], data: BigInt64Array.of(-1n) },
    ],
    nodes: [
      {
        op: "Cast",
        inputs: ["features"],
        outputs: ["features_f64"],
        attributes: { to: elementType.double },
      },
      treeNode(ensemble),
      { op: "Add", inputs: ["sum", "base"], outputs: ["score"] },
      ...(isBinary ? [{ op: "Sigmoid", inputs: ["score"], outputs: ["prediction"] }] : []),
      {
        op: "Cast",
        inputs: [isBinary ? "prediction" : "score"],
        outputs: ["column"],
        attributes: { to: elementType.float },
      },
      { op: "Reshape", inputs: ["column", "flat"], outputs: [output] },
    ],
  })
}
