/**
 * Gradient boosting (Friedman 2001) over binned columns in one shared memory.
 *
 * @module
 */
import type { Tree, TreeEnsemble } from "../TreeEnsemble.ts"
import type { Binning } from "./binning.ts"
import { binCount, categoricalBinning, numericBinning } from "./binning.ts"
import { growTree } from "./gbdt-grow.ts"
import type { MemoryMap } from "./gbdt-memory.ts"
import type { Run } from "./gbdt-pool.ts"
import { lossChunk, op } from "./gbdt-pool.ts"
import type { CoordinatorData, Iteration } from "./gbdt-protocol.ts"
import type { Kernel } from "./kernel.ts"
import { bucketedAuc } from "./metrics.ts"
import { makeRandom, mix, seedOf } from "./random.ts"
import type { WasmMemory } from "./wasm.ts"

/** Largest quantised gradient: 15 bits. */
const maxQuantum = 32_767

/** A training in progress. */
export interface Fit {
  readonly data: CoordinatorData
  readonly kernel: Kernel
  readonly memory: WasmMemory
  readonly map: MemoryMap
  readonly run: Run
}

/** Places the boundaries of one training column and bins it; returns a message when its values are not usable. */
export const binColumn = (fit: Fit, index: number, values: Float32Array): Binning | string => {
  const { maxBins } = fit.data.settings
  const isCategorical = fit.data.categorical[index] === true
  const minInBin = isCategorical || fit.data.rows < 1000 ? 1 : 3
  const binning = isCategorical
    ? categoricalBinning(values, Math.min(maxBins, 254), minInBin)
    : numericBinning(values, maxBins, minInBin, seedOf(fit.data.seed, 1))
  if (typeof binning === "string") return binning
  const { map, data } = fit
  const column = map.columns + index * data.rows
  writeBins(fit, binning, values, column, 1)
  fit.run(op.spread, [column, map.bins + index, map.stride, data.rows])
  return binning
}

/** Bins a column into every `stride`th byte from `bins`. */
export const writeBins = (
  fit: Fit,
  binning: Binning,
  values: Float32Array,
  bins: number,
  stride: number,
): void => {
  const { map, run } = fit
  const { buffer } = fit.memory
  new Float32Array(buffer, map.column, values.length).set(values)
  if (binning.kind === "numeric") {
    const bounds = new Float32Array(buffer, map.bounds, 256).fill(Number.POSITIVE_INFINITY)
    bounds.set(binning.bounds)
    run(op.binNumeric, [map.column, map.bounds, bins, stride, values.length])
    return
  }
  new Uint8Array(buffer, map.table, binning.table.length).set(binning.table)
  run(op.binCategorical, [map.column, map.table, binning.table.length, bins, stride, values.length])
}

const baseScoreOf = (label: Float32Array, isLogistic: boolean): number => {
  let sum = 0
  for (const y of label) sum += y
  const mean = sum / label.length
  return isLogistic ? Math.log(mean / (1 - mean)) : mean
}

/** Chooses this tree's rows; returns how many. */
const chooseRows = (fit: Fit, iteration: number): number => {
  const { rows, settings, seed } = fit.data
  const list = new Uint32Array(fit.memory.buffer, fit.map.rows, rows)
  if (settings.rowFraction >= 1) {
    for (let i = 0; i < rows; i++) list[i] = i
    return rows
  }
  const inBag = new Uint8Array(fit.memory.buffer, fit.map.inBag, rows)
  const limit = settings.rowFraction * 4294967296
  const key = seedOf(seed, 2, iteration)
  let count = 0
  for (let i = 0; i < rows; i++) {
    const chosen = mix(i ^ key) < limit ? 1 : 0
    inBag[i] = chosen
    list[count] = i
    count += chosen
  }
  return count
}

const chooseFeatures = (fit: Fit, iteration: number): void => {
  const { features, settings, seed } = fit.data
  const mask = new Uint8Array(fit.memory.buffer, fit.map.mask, features.length).fill(1)
  const drop = features.length - Math.max(1, Math.round(features.length * settings.featureFraction))
  const random = makeRandom(seedOf(seed, 3, iteration))
  for (let dropped = 0; dropped < drop;) {
    const feature = random.below(features.length)
    if (mask[feature] === 0) continue
    mask[feature] = 0
    dropped++
  }
}

/** Quantises this iteration's gradients and returns the scales that turn sums of them back. */
const prepareGradients = (
  fit: Fit,
  iteration: number,
): { readonly scaleG: number; readonly scaleH: number } => {
  const { map, run, data } = fit
  const isLogistic = data.settings.objective === "binary" ? 1 : 0
  run(op.gradients, [isLogistic, map.label, map.score, map.gh, data.rows, map.threadOut])
  const out = new Float64Array(fit.memory.buffer, map.threadOut, data.threads * 2)
  let maxG = 0
  let maxH = 0
  for (let t = 0; t < data.threads; t++) {
    maxG = Math.max(maxG, out[t * 2] ?? 0)
    maxH = Math.max(maxH, out[t * 2 + 1] ?? 0)
  }
  // Sums over all rows must fit in 31 and 32 bits.
  const quanta = Math.max(1, Math.min(maxQuantum, Math.floor(2_147_483_647 / data.rows)))
  const scaleG = maxG > 0 ? quanta / maxG : 1
  const scaleH = maxH > 0 ? quanta / maxH : 1
  run(op.quantise, [map.gh, data.rows, seedOf(data.seed, 4, iteration)], {
    floats: [scaleG, scaleH],
  })
  const { settings } = data
  new Float64Array(fit.memory.buffer, map.config, 9).set([
    1 / scaleG,
    1 / scaleH,
    settings.lambda,
    settings.minChildWeight,
    settings.minGain,
    settings.minRowsInLeaf,
    settings.categorySmoothing,
    settings.categoryLambda,
    settings.minCategoryRows,
  ])
  new Uint32Array(fit.memory.buffer, map.config + 72, 1)[0] = settings.maxCategoriesInSplit
  return { scaleG: 1 / scaleG, scaleH: 1 / scaleH }
}

const validate = (fit: Fit): Readonly<Record<string, number>> => {
  const { map, run, data } = fit
  const rows = data.validationRows
  const isLogistic = data.settings.objective === "binary"
  run(op.loss, [isLogistic ? 1 : 0, map.validationLabel, map.validationScore, rows, map.partials])
  const partials = new Float64Array(fit.memory.buffer, map.partials, Math.ceil(rows / lossChunk))
  const mean = partials.reduce((sum, part) => sum + part, 0) / rows
  if (!isLogistic) return { rmse: Math.sqrt(mean) }
  const label = new Float32Array(fit.memory.buffer, map.validationLabel, rows)
  const score = new Float64Array(fit.memory.buffer, map.validationScore, rows)
  return { logloss: mean, auc: bucketedAuc(label, score) }
}

const addTree = (fit: Fit, bins: number, rows: number, score: number, skip: number): void => {
  const { map } = fit
  const tree = [map.treeFeatures, map.treeTables, map.treeChildren, map.treeValues]
  fit.run(op.addTree, [bins, map.stride, rows, ...tree, score, skip])
}

const updateScores = (
  fit: Fit,
  tree: Tree,
  leaves: ReadonlyArray<{ readonly from: number; readonly to: number }>,
): void => {
  const { map, data } = fit
  new Uint32Array(fit.memory.buffer, map.leafRanges, leaves.length * 2).set(
    leaves.flatMap(({ from, to }) => [from, to]),
  )
  fit.run(op.addLeaves, [map.score, map.rows, map.leafRanges, map.treeValues, leaves.length])
  // A tree of one leaf has no node to walk; its value is 0 unless it is the only thing learnt.
  const isStump = tree.feature.length === 0
  const value = tree.leafValue[0] ?? 0
  const addConstant = (score: number, rows: number, inBag?: Uint8Array) => {
    const scores = new Float64Array(fit.memory.buffer, score, rows)
    for (let i = 0; i < rows; i++) if (inBag?.[i] !== 1) scores[i] = (scores[i] ?? 0) + value
  }
  if (data.settings.rowFraction < 1) {
    if (isStump)
      addConstant(map.score, data.rows, new Uint8Array(fit.memory.buffer, map.inBag, data.rows))
    else addTree(fit, map.bins, data.rows, map.score, map.inBag)
  }
  if (data.validationRows === 0) return
  if (isStump) addConstant(map.validationScore, data.validationRows)
  else addTree(fit, map.validationBins, data.validationRows, map.validationScore, 0)
}

/** Boosts until the iterations, the gain or the patience ends. */
export const boost = (
  fit: Fit,
  binnings: ReadonlyArray<Binning>,
  onIteration: (iteration: Iteration) => void,
): { readonly ensemble: TreeEnsemble; readonly bestIteration: number } => {
  const { data, map, memory } = fit
  const { settings } = data
  new Uint32Array(memory.buffer, map.binCounts, binnings.length).set(binnings.map(binCount))
  new Uint8Array(memory.buffer, map.kinds, binnings.length).set(
    binnings.map((b) => (b.kind === "numeric" ? 0 : 1)),
  )
  const baseScore = baseScoreOf(
    new Float32Array(memory.buffer, map.label, data.rows),
    settings.objective === "binary",
  )
  new Float64Array(memory.buffer, map.score, data.rows).fill(baseScore)
  new Float64Array(memory.buffer, map.validationScore, data.validationRows).fill(baseScore)

  const grow = {
    kernel: fit.kernel,
    memory,
    map,
    run: fit.run,
    threads: data.threads,
    binnings,
    rows: data.rows,
    maxLeaves: settings.maxLeaves,
    maxDepth: settings.maxDepth,
    lambda: settings.lambda,
    learningRate: settings.learningRate,
  }
  const trees: Array<Tree> = []
  const sign = settings.metric === "auc" ? -1 : 1
  let best = Number.POSITIVE_INFINITY
  let bestIteration = 0
  for (let iteration = 1; iteration <= settings.iterations; iteration++) {
    const { scaleG, scaleH } = prepareGradients(fit, iteration)
    const count = chooseRows(fit, iteration)
    if (count === 0) continue
    chooseFeatures(fit, iteration)
    const { tree, leaves } = growTree(grow, count, scaleG, scaleH)
    trees.push(tree)
    updateScores(fit, tree, leaves)
    const metrics = data.validationRows > 0 ? validate(fit) : {}
    onIteration({ iteration, iterations: settings.iterations, metrics })
    const value =
      sign * (metrics[settings.metric as keyof typeof metrics] ?? Number.NEGATIVE_INFINITY)
    if (data.validationRows === 0 || value < best) {
      best = value
      bestIteration = trees.length
    } else if (
      settings.earlyStoppingRounds > 0 &&
      trees.length - bestIteration >= settings.earlyStoppingRounds
    )
      break
  }
  const keep =
    settings.earlyStoppingRounds > 0 && data.validationRows > 0 ? bestIteration : trees.length
  return {
    ensemble: {
      objective: settings.objective,
      features: data.features,
      baseScore,
      trees: trees.slice(0, keep),
    },
    bestIteration: keep,
  }
}
