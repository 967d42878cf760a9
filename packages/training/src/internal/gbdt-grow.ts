/**
 * Grows one tree leaf by leaf: always the leaf whose split gains most (Shi 2007; LightGBM).
 *
 * @module
 */
import type { Tree } from "../TreeEnsemble.ts"
import type { Binning } from "./binning.ts"
import type { MemoryMap } from "./gbdt-memory.ts"
import { splitBytes } from "./gbdt-memory.ts"
import type { Run } from "./gbdt-pool.ts"
import { op } from "./gbdt-pool.ts"
import type { Kernel } from "./kernel.ts"
import type { WasmMemory } from "./wasm.ts"

/** Work on fewer rows than this stays on one thread. */
const aloneRows = 4096

/** What growing needs to know; scales turn quantised sums back into gradients. */
export interface GrowContext {
  readonly kernel: Kernel
  readonly memory: WasmMemory
  readonly map: MemoryMap
  readonly run: Run
  readonly threads: number
  readonly binnings: ReadonlyArray<Binning>
  /** Rows of the training set: the length of a binned column. */
  readonly rows: number
  readonly maxLeaves: number
  readonly maxDepth: number
  readonly lambda: number
  readonly learningRate: number
}

interface Leaf {
  readonly from: number
  readonly to: number
  readonly total: bigint
  readonly hist: number
  readonly depth: number
  /** Where the parent points at this leaf: node * 2 + (0 left, 1 right), or -1 for the root. */
  readonly slot: number
}

/** A grown tree and its leaves' ranges in the row list. */
export interface Grown {
  readonly tree: Tree
  readonly leaves: ReadonlyArray<{ readonly from: number; readonly to: number }>
}

const low = (total: bigint): number => Number(BigInt.asUintN(32, total))
const high = (total: bigint): number => Number(total >> 32n)

/** Grows a tree on rows[0, count) of the row list, whose gradients are already quantised. */
export const growTree = (c: GrowContext, count: number, scaleG: number, scaleH: number): Grown => {
  const { map, run } = c
  const { buffer } = c.memory
  const words = new Uint32Array(buffer)
  const doubles = new Float64Array(buffer)
  const longs = new BigInt64Array(buffer)
  const bytes = new Uint8Array(buffer)
  const treeChildren = new Int32Array(buffer, map.treeChildren, c.maxLeaves * 2)

  const histogram = (from: number, to: number, target: number) => {
    const alone = to - from < aloneRows
    run(
      op.histogram,
      [
        map.bins,
        map.stride,
        map.rows,
        from,
        to,
        map.gh,
        target,
        map.threadHistograms,
        map.histBytes,
      ],
      {
        alone,
      },
    )
    if (alone) return
    for (let t = 1; t < c.threads; t++) {
      c.kernel.addHistogram(target, map.threadHistograms + (t - 1) * map.histBytes, map.histBytes)
    }
  }
  const splitAt = (leaf: number) => map.splits + leaf * splitBytes
  const gainOf = (leaf: number) => doubles[splitAt(leaf) / 8] ?? 0
  const findSplits = (indices: ReadonlyArray<number>) => {
    const tasks = indices.filter((i) => {
      const leaf = leaves[i]
      if (
        leaf !== undefined &&
        (c.maxDepth < 0 || leaf.depth < c.maxDepth) &&
        leaf.to - leaf.from > 1
      )
        return true
      doubles[splitAt(i) / 8] = 0
      return false
    })
    tasks.forEach((i, task) => {
      const leaf = leaves[i]
      if (leaf === undefined) return
      const at = map.tasks + task * 24
      words.set([leaf.hist, leaf.to - leaf.from, splitAt(i)], at / 4)
      longs[(at + 16) / 8] = leaf.total
    })
    run(
      op.findSplits,
      [
        map.tasks,
        tasks.length,
        c.binnings.length,
        map.binCounts,
        map.kinds,
        map.mask,
        map.config,
        map.scratch,
      ],
      { alone: tasks.length < 2 },
    )
  }

  run(op.sumRows, [map.rows, 0, count, map.gh, map.threadOut], { alone: count < aloneRows })
  let total = 0n
  for (let t = 0; t < (count < aloneRows ? 1 : c.threads); t++)
    total += longs[map.threadOut / 8 + t] ?? 0n
  const leaves: Array<Leaf> = [
    { from: 0, to: count, total, hist: map.histograms, depth: 0, slot: -1 },
  ]
  histogram(0, count, map.histograms)
  findSplits([0])

  const tree = {
    feature: [] as Array<number>,
    threshold: [] as Array<number>,
    categories: [] as Array<ReadonlyArray<number> | null>,
    missingLeft: [] as Array<boolean>,
    gain: [] as Array<number>,
  }
  while (leaves.length < c.maxLeaves) {
    let best = -1
    let bestGain = 0
    for (let i = 0; i < leaves.length; i++) {
      if (gainOf(i) > bestGain) {
        bestGain = gainOf(i)
        best = i
      }
    }
    const leaf = leaves[best]
    if (leaf === undefined) break
    const split = splitAt(best)
    const feature = words[split / 4 + 4] ?? 0
    const node = tree.feature.length
    const goesLeft = bytes.subarray(split + 32, split + 288)

    const alone = leaf.to - leaf.from < aloneRows
    const range = [map.rows, leaf.from, leaf.to]
    run(
      op.partition,
      [...range, map.columns + feature * c.rows, split + 32, map.lefts, map.rights, map.threadOut],
      { alone },
    )
    run(op.scatter, [...range, map.lefts, map.rights, map.threadOut], { alone })
    let lefts = 0
    for (let t = 0; t < (alone ? 1 : c.threads); t++) lefts += words[map.threadOut / 4 + t] ?? 0
    const middle = leaf.from + lefts
    if (lefts === 0 || middle === leaf.to) {
      // Stochastic rounding can give a bin weight 0, so that a split separates no row.
      doubles[split / 8] = 0
      continue
    }

    const binning = c.binnings[feature]
    const isCategorical = binning?.kind === "categorical"
    const bin = words[split / 4 + 5] ?? 0
    tree.feature.push(feature)
    tree.threshold.push(
      binning?.kind === "numeric" ? (binning.bounds[bin - 1] ?? Number.POSITIVE_INFINITY) : 0,
    )
    tree.categories.push(
      isCategorical ? Array.from(binning.codes).filter((_, i) => goesLeft[i + 1] === 1) : null,
    )
    tree.missingLeft.push(goesLeft[0] === 1)
    tree.gain.push(bestGain)
    words[map.treeFeatures / 4 + node] = feature
    bytes.copyWithin(map.treeTables + node * 256, split + 32, split + 288)
    if (leaf.slot >= 0) treeChildren[leaf.slot] = node

    const right = leaves.length
    const leftTotal = longs[split / 8 + 1] ?? 0n
    const sibling = map.histograms + right * map.histBytes
    const leftIsSmaller = lefts <= leaf.to - middle
    // The smaller child is counted; the larger is the parent less the smaller, in the parent's place.
    const [leftHist, rightHist] = leftIsSmaller ? [sibling, leaf.hist] : [leaf.hist, sibling]
    const depth = leaf.depth + 1
    leaves[best] = {
      from: leaf.from,
      to: middle,
      total: leftTotal,
      hist: leftHist,
      depth,
      slot: node * 2,
    }
    leaves.push({
      from: middle,
      to: leaf.to,
      total: leaf.total - leftTotal,
      hist: rightHist,
      depth,
      slot: node * 2 + 1,
    })
    treeChildren[node * 2] = ~best
    treeChildren[node * 2 + 1] = ~right
    if (leaves.length < c.maxLeaves) {
      if (leftIsSmaller) histogram(leaf.from, middle, sibling)
      else histogram(middle, leaf.to, sibling)
      c.kernel.subtractHistogram(leaf.hist, sibling, map.histBytes)
      findSplits([best, right])
    }
  }

  const values = leaves.map((leaf) => {
    const h = low(leaf.total) * scaleH + c.lambda
    return h > 0 ? (-c.learningRate * (high(leaf.total) * scaleG)) / h : 0
  })
  doubles.set(values, map.treeValues / 8)
  const children = Array.from(treeChildren.subarray(0, tree.feature.length * 2))
  return {
    tree: {
      ...tree,
      left: children.filter((_, i) => i % 2 === 0),
      right: children.filter((_, i) => i % 2 === 1),
      leafRows: leaves.map((leaf) => leaf.to - leaf.from),
      leafValue: values,
    },
    leaves,
  }
}
