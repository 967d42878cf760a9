/**
 * The memory map of one training: every array the kernel works on, in one shared memory.
 *
 * @module
 */
import { firstFree, lossChunk } from "./gbdt-pool.ts"

/** Bytes of one feature's histogram: 256 bins of one i64. */
export const featureBytes = 2048

/** WebAssembly's address space, less a page. */
const addressSpace = 4 * 1024 ** 3 - 65_536

/** What decides the size of the memory. */
export interface Sizes {
  readonly rows: number
  readonly validationRows: number
  readonly features: number
  readonly leaves: number
  readonly threads: number
}

/** Byte offsets. */
export interface MemoryMap {
  readonly bytes: number
  /** Bytes between rows of a binned matrix: the features, rounded up to 4. */
  readonly stride: number
  readonly histBytes: number
  /** Binned training rows, row after row: what histograms read. */
  readonly bins: number
  /** The same, column after column: what splitting reads. */
  readonly columns: number
  readonly label: number
  readonly score: number
  readonly gh: number
  readonly rows: number
  readonly lefts: number
  readonly rights: number
  readonly inBag: number
  readonly validationBins: number
  readonly validationLabel: number
  readonly validationScore: number
  /** One float32 column being binned; overlaps `lefts` and `rights`. */
  readonly column: number
  readonly bounds: number
  readonly table: number
  readonly binCounts: number
  readonly kinds: number
  readonly mask: number
  readonly histograms: number
  readonly threadHistograms: number
  readonly threadOut: number
  readonly config: number
  /** One 288-byte split a leaf. */
  readonly splits: number
  readonly tasks: number
  readonly scratch: number
  readonly treeFeatures: number
  readonly treeTables: number
  readonly treeChildren: number
  readonly treeValues: number
  readonly leafRanges: number
  readonly partials: number
}

/** Bytes of one split record: 32 of fields, 256 of "bin goes left". */
export const splitBytes = 288

/** Lays the arrays out, or says how many bytes they would take when that is more than WebAssembly can address. */
export const layOut = (sizes: Sizes): MemoryMap | { readonly tooLarge: number } => {
  let at = firstFree
  const take = (bytes: number): number => {
    const start = Math.ceil(at / 64) * 64
    at = start + bytes
    return start
  }
  const { rows, validationRows, features, leaves, threads } = sizes
  const stride = Math.ceil(features / 4) * 4
  const histBytes = stride * featureBytes
  const most = Math.max(rows, validationRows)
  const lefts = take(most * 4)
  const map = {
    stride,
    histBytes,
    lefts,
    column: lefts,
    rights: take(rows * 4),
    bins: take(rows * stride),
    columns: take(rows * features),
    label: take(rows * 4),
    score: take(rows * 8),
    gh: take(rows * 8),
    rows: take(rows * 4),
    inBag: take(rows),
    validationBins: take(validationRows * stride),
    validationLabel: take(validationRows * 4),
    validationScore: take(validationRows * 8),
    bounds: take(256 * 4),
    table: take(65_536),
    binCounts: take(features * 4),
    kinds: take(features),
    mask: take(features),
    histograms: take(leaves * histBytes),
    threadHistograms: take((threads - 1) * histBytes),
    threadOut: take(threads * 16),
    config: take(128),
    splits: take(leaves * splitBytes),
    tasks: take(64),
    scratch: take(threads * 4096),
    treeFeatures: take(leaves * 4),
    treeTables: take(leaves * 256),
    treeChildren: take(leaves * 8),
    treeValues: take(leaves * 8),
    leafRanges: take(leaves * 8),
    partials: take(Math.ceil(most / lossChunk) * 8),
  }
  return at > addressSpace ? { tooLarge: at } : { ...map, bytes: at }
}
