/**
 * Tree ensembles out of ONNX: `TreeEnsembleClassifier` and `TreeEnsembleRegressor` of ai.onnx.ml 1
 * to 3, `TreeEnsemble` of 5.
 *
 * @module
 */
import { MonitoringError } from "../MonitoringError.ts"
import type { Graph, Node } from "./onnx.ts"

/** How a node compares; the order of ai.onnx.ml 5. */
export const modes = [
  "BRANCH_LEQ",
  "BRANCH_LT",
  "BRANCH_GTE",
  "BRANCH_GT",
  "BRANCH_EQ",
  "BRANCH_NEQ",
  "BRANCH_MEMBER",
] as const

/** One tree for one target. A child below zero is leaf `~child`; a tree may be leaf 0 alone. */
export interface Tree {
  readonly feature: Int32Array
  /** Index into {@link modes}. */
  readonly mode: Uint8Array
  readonly value: Float64Array
  readonly members: ReadonlyArray<ReadonlySet<number> | undefined>
  /** 1 where a missing value takes the true branch. */
  readonly missingTrue: Uint8Array
  readonly yes: Int32Array
  readonly no: Int32Array
  readonly leaf: Float64Array
  /** Rows that reached each node and leaf in training, when the file says so. */
  readonly nodeCover: Float64Array | undefined
  readonly leafCover: Float64Array | undefined
}

/** Trees whose leaves add up, with a constant, to the margin of one target. */
export interface Ensemble {
  readonly trees: ReadonlyArray<Tree>
  readonly base: number
  /** Features the trees look at, at least. */
  readonly features: number
}

const unsupported = (message: string): MonitoringError =>
  new MonitoringError({ reason: "NotSupported", message, field: "package" })

const corrupt = (message: string): MonitoringError =>
  new MonitoringError({
    reason: "Corrupt",
    message: `the tree node is damaged: ${message}`,
    field: "package",
  })

const numbers = (node: Node, name: string): Float64Array => {
  const tensor = node.attributes.get(`${name}_as_tensor`)?.numbers
  return tensor ?? node.attributes.get(name)?.numbers ?? new Float64Array(0)
}

const text = (node: Node, name: string): string | undefined => node.attributes.get(name)?.strings[0]

const at = (values: Float64Array, i: number, name: string): number => {
  const value = values[i]
  if (value === undefined)
    throw corrupt(`'${name}' has ${values.length} values and lacks number ${i}`)
  return value
}

/** Nodes of all trees in one numbering; a root that is a leaf is `~leaf`. */
interface Forest {
  readonly roots: ReadonlyArray<number>
  readonly feature: Float64Array
  readonly mode: ReadonlyArray<number>
  readonly value: Float64Array
  readonly members: ReadonlyArray<ReadonlySet<number> | undefined>
  readonly missingTrue: Float64Array
  readonly yes: (node: number) => number
  readonly no: (node: number) => number
  readonly leaf: (leaf: number) => number
  readonly hits: (child: number) => number
}

/** One tree of a forest, renumbered from its root; refuses cycles and shared nodes. */
const extract = (forest: Forest, root: number): Tree => {
  const order: Array<number> = []
  const leaves: Array<number> = []
  const place = new Map<number, number>()
  const stack = [root]
  const children: Array<readonly [parent: number, side: 0 | 1]> = [[-1, 0]]
  const yes: Array<number> = []
  const no: Array<number> = []
  while (stack.length > 0) {
    const node = stack.pop() as number
    const [parent, side] = children.pop() as readonly [number, 0 | 1]
    let own: number
    if (node < 0) {
      own = ~leaves.length
      leaves.push(~node)
    } else {
      if (place.has(node)) throw corrupt(`node ${node} has two parents`)
      own = order.length
      place.set(node, own)
      order.push(node)
      yes.push(0)
      no.push(0)
      stack.push(forest.no(node), forest.yes(node))
      children.push([own, 1], [own, 0])
    }
    if (parent >= 0) (side === 0 ? yes : no)[parent] = own
  }
  const nodeCover = Float64Array.from(order, forest.hits)
  const leafCover = Float64Array.from(leaves, (leaf) => forest.hits(~leaf))
  const cover = (child: number): number =>
    (child < 0 ? leafCover[~child] : nodeCover[child]) as number
  // Most exporters write ones; real covers add up.
  const adds = order.every((_, i) => {
    const sum = cover(yes[i] as number) + cover(no[i] as number)
    return sum > 0 && Math.abs(sum - (nodeCover[i] as number)) <= 1e-3 * sum
  })
  return {
    feature: Int32Array.from(order, (node) => at(forest.feature, node, "nodes_featureids")),
    mode: Uint8Array.from(order, (node) => forest.mode[node] ?? 255),
    value: Float64Array.from(order, (node) => at(forest.value, node, "nodes_values")),
    members: order.map((node) => forest.members[node]),
    missingTrue: Uint8Array.from(order, (node) => forest.missingTrue[node] ?? 0),
    yes: Int32Array.from(yes),
    no: Int32Array.from(no),
    leaf: Float64Array.from(leaves, forest.leaf),
    nodeCover: adds ? nodeCover : undefined,
    leafCover: adds ? leafCover : undefined,
  }
}

const classic = (node: Node, prefix: "class" | "target", target: number): Forest => {
  const trees = numbers(node, "nodes_treeids")
  const ids = numbers(node, "nodes_nodeids")
  const names = node.attributes.get("nodes_modes")?.strings ?? []
  const index = new Map<string, number>()
  trees.forEach((tree, i) => index.set(`${tree}:${ids[i]}`, i))
  const weights = new Map<string, number>()
  const [wTrees, wNodes, wTargets, wValues] = [
    numbers(node, `${prefix}_treeids`),
    numbers(node, `${prefix}_nodeids`),
    numbers(node, `${prefix}_ids`),
    numbers(node, `${prefix}_weights`),
  ]
  wTrees.forEach((tree, i) => {
    if (wTargets[i] !== target) return
    const key = `${tree}:${wNodes[i]}`
    weights.set(key, (weights.get(key) ?? 0) + at(wValues, i, `${prefix}_weights`))
  })
  const isLeaf = (i: number): boolean => names[i] === "LEAF"
  const child =
    (ids2: Float64Array) =>
    (i: number): number => {
      const found = index.get(`${trees[i]}:${ids2[i]}`)
      if (found === undefined)
        throw corrupt(`node ${ids[i]} of tree ${trees[i]} has no child ${ids2[i]}`)
      return isLeaf(found) ? ~found : found
    }
  const yes = numbers(node, "nodes_truenodeids")
  const no = numbers(node, "nodes_falsenodeids")
  const hits = numbers(node, "nodes_hitrates")
  const isChild = new Set<string>()
  trees.forEach((tree, i) => {
    if (isLeaf(i)) return
    isChild.add(`${tree}:${yes[i]}`)
    isChild.add(`${tree}:${no[i]}`)
  })
  const roots: Array<number> = []
  trees.forEach((tree, i) => {
    if (!isChild.has(`${tree}:${ids[i]}`)) roots.push(isLeaf(i) ? ~i : i)
  })
  return {
    roots,
    feature: numbers(node, "nodes_featureids"),
    mode: names.map((name) => modes.indexOf(name as (typeof modes)[number])),
    value: numbers(node, "nodes_values"),
    members: [],
    missingTrue: numbers(node, "nodes_missing_value_tracks_true"),
    yes: child(yes),
    no: child(no),
    leaf: (leaf) => weights.get(`${trees[leaf]}:${ids[leaf]}`) ?? 0,
    hits: (i) => hits[i < 0 ? ~i : i] ?? 0,
  }
}

const modern = (node: Node, target: number): Forest => {
  const mode = Array.from(numbers(node, "nodes_modes"))
  const listed = numbers(node, "membership_values")
  const members: Array<ReadonlySet<number> | undefined> = []
  let from = 0
  for (const each of mode) {
    if (each !== 6) {
      members.push(undefined)
      continue
    }
    const set = new Set<number>()
    while (from < listed.length && !Number.isNaN(listed[from])) set.add(listed[from++] as number)
    from++
    members.push(set)
  }
  const child = (side: "true" | "false") => {
    const ids = numbers(node, `nodes_${side}nodeids`)
    const leafs = numbers(node, `nodes_${side}leafs`)
    return (i: number): number => {
      const id = at(ids, i, `nodes_${side}nodeids`)
      return leafs[i] === 1 ? ~id : id
    }
  }
  const targets = numbers(node, "leaf_targetids")
  const weights = numbers(node, "leaf_weights")
  return {
    roots: Array.from(numbers(node, "tree_roots")),
    feature: numbers(node, "nodes_featureids"),
    mode,
    value: numbers(node, "nodes_splits"),
    members,
    missingTrue: numbers(node, "nodes_missing_value_tracks_true"),
    yes: child("true"),
    no: child("false"),
    leaf: (leaf) => (targets[leaf] === target ? at(weights, leaf, "leaf_weights") : 0),
    hits: () => 0,
  }
}

/** Constants that plain arithmetic after the trees adds to, or multiplies, the sum. */
const tail = (
  graph: Graph,
  output: string,
  target: number,
): { readonly scale: number; readonly shift: number } => {
  let [name, scale, shift] = [output, 1, 0]
  for (;;) {
    const users = graph.nodes.filter((each) => each.inputs.includes(name))
    const [next] = users
    if (users.length !== 1 || next === undefined) return { scale, shift }
    const other = next.inputs.find((input) => input !== name)
    const constant = other === undefined ? undefined : graph.constants.get(other)
    const value = constant?.length === 1 ? constant[0] : constant?.[target]
    const passes = ["Cast", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"].includes(
      next.op,
    )
    if (!passes) {
      if (value === undefined) return { scale, shift }
      const first = next.inputs[0] === name
      if (next.op === "Add") shift += value
      else if (next.op === "Sub" && first) shift -= value
      else if (next.op === "Mul") [scale, shift] = [scale * value, shift * value]
      else if (next.op === "Div" && first) [scale, shift] = [scale / value, shift / value]
      else return { scale, shift }
    }
    name = next.outputs[0] ?? ""
  }
}

/**
 * The ensemble behind one target (class or regression output). The default is the positive class of
 * a binary classifier, otherwise target 0.
 */
export const ensembleOf = (graph: Graph, wanted?: number): Ensemble => {
  const found = graph.nodes.filter(
    (each) => each.domain === "ai.onnx.ml" && each.op.startsWith("TreeEnsemble"),
  )
  const [node] = found
  if (node === undefined || found.length > 1) {
    throw unsupported(
      `the model has ${found.length} tree ensembles and exact tree explanations need one; use Explanation.sample with its predictions`,
    )
  }
  const isClassifier = node.op === "TreeEnsembleClassifier"
  const prefix = isClassifier ? "class" : "target"
  let target = wanted ?? 0
  if (isClassifier) {
    const classes = new Set(numbers(node, "class_ids"))
    // A binary classifier may weigh one class only; that score is the positive class's.
    if (classes.size === 1) target = [...classes][0] ?? 0
    else if (wanted === undefined) target = 1
  }
  const forest = node.op === "TreeEnsemble" ? modern(node, target) : classic(node, prefix, target)
  if (forest.roots.length === 0) throw corrupt("it has no tree")
  const aggregate =
    node.op === "TreeEnsemble"
      ? (["AVERAGE", "SUM", "MIN", "MAX"][numbers(node, "aggregate_function")[0] ?? 1] ?? "SUM")
      : (text(node, "aggregate_function") ?? "SUM")
  if (aggregate !== "SUM" && aggregate !== "AVERAGE") {
    throw unsupported(`trees combined by ${aggregate} have no additive explanation`)
  }
  const trees = forest.roots.map((root) => extract(forest, root))
  for (const tree of trees) {
    for (const mode of tree.mode) if (mode > 6) throw unsupported("a tree node has an unknown mode")
  }
  const bases = numbers(node, "base_values")
  const { scale, shift } = tail(graph, node.outputs[isClassifier ? 1 : 0] ?? "", target)
  const factor = (aggregate === "AVERAGE" ? 1 / trees.length : 1) * scale
  return {
    trees:
      factor === 1
        ? trees
        : trees.map((tree) => ({ ...tree, leaf: tree.leaf.map((v) => v * factor) })),
    base: (bases.length === 1 ? (bases[0] as number) : (bases[target] ?? 0)) * scale + shift,
    features: trees.reduce(
      (most, tree) => tree.feature.reduce((a, b) => Math.max(a, b + 1), most),
      0,
    ),
  }
}
