// Kernel of the histogram learner, in AssemblyScript.
//
// Every function works on a slice [from, to) of rows or on one histogram, holds no state, and
// allocates nothing: the caller owns the memory map (src/internal/gbdt-memory.ts). A sum of
// gradients is one i64, (sum g << 32) + sum h, of quantised integers. Integer addition is
// associative, so sums do not depend on how rows were divided among threads.

// @ts-ignore: decorator
@inline
const FEATURE_BYTES: usize = 2048; // 256 bins of 8 bytes

// @ts-ignore: decorator
@inline
function mix(a: u32): u32 {
  a ^= a >> 16;
  a *= 0x7feb352d;
  a ^= a >> 15;
  a *= 0x846ca68b;
  return a ^ (a >> 16);
}

/** Bins one float32 column: 0 is missing, 1 + (bounds below x) otherwise. `bounds` holds 256 ascending f32, padded with +Inf. */
export function binNumeric(column: usize, bounds: usize, bins: usize, stride: usize, from: u32, to: u32): void {
  for (let i = from; i < to; i++) {
    const x = load<f32>(column + (<usize>i << 2));
    let bin: u32 = 0;
    if (x == x) {
      let low: usize = 0;
      for (let step: usize = 128; step > 0; step >>= 1) {
        low += load<f32>(bounds + ((low + step - 1) << 2)) < x ? step : 0;
      }
      bin = 1 + <u32>low;
    }
    store<u8>(bins + <usize>i * stride, <u8>bin);
  }
}

/** Bins one column of category codes through a lookup table of `size` bytes; unknown, negative or missing codes are bin 0. */
export function binCategorical(column: usize, table: usize, size: u32, bins: usize, stride: usize, from: u32, to: u32): void {
  for (let i = from; i < to; i++) {
    const x = load<f32>(column + (<usize>i << 2));
    let bin: u8 = 0;
    if (x >= 0 && x < <f32>size) bin = load<u8>(table + <usize>(<u32>x));
    store<u8>(bins + <usize>i * stride, bin);
  }
}

/** Copies one binned column of bytes into a matrix of rows. */
export function spread(column: usize, bins: usize, stride: usize, from: u32, to: u32): void {
  for (let i = from; i < to; i++) {
    store<u8>(bins + <usize>i * stride, load<u8>(column + i));
  }
}

/** Writes f32 (gradient, hessian) pairs of the logistic loss into `gh`; stores max |g| and max h at `out`. */
export function logisticGradients(label: usize, score: usize, gh: usize, from: u32, to: u32, out: usize): void {
  let maxG: f32 = 0;
  let maxH: f32 = 0;
  for (let i = from; i < to; i++) {
    const p = 1.0 / (1.0 + Math.exp(-load<f64>(score + (<usize>i << 3))));
    const g = <f32>(p - <f64>load<f32>(label + (<usize>i << 2)));
    const h = <f32>max(p * (1.0 - p), 1e-16);
    maxG = max(maxG, abs(g));
    maxH = max(maxH, h);
    const at = gh + (<usize>i << 3);
    store<f32>(at, g);
    store<f32>(at, h, 4);
  }
  store<f64>(out, <f64>maxG);
  store<f64>(out, <f64>maxH, 8);
}

/** As `logisticGradients`, for squared error: g = score - label, h = 1. */
export function squaredGradients(label: usize, score: usize, gh: usize, from: u32, to: u32, out: usize): void {
  let maxG: f32 = 0;
  for (let i = from; i < to; i++) {
    const g = <f32>(load<f64>(score + (<usize>i << 3)) - <f64>load<f32>(label + (<usize>i << 2)));
    maxG = max(maxG, abs(g));
    const at = gh + (<usize>i << 3);
    store<f32>(at, g);
    store<f32>(at, 1.0, 4);
  }
  store<f64>(out, <f64>maxG);
  store<f64>(out, 1.0, 8);
}

/** Quantises the pairs in place to (g << 32) + h with stochastic rounding by a hash of the row, so the result is the same in any order. */
export function quantise(gh: usize, from: u32, to: u32, scaleG: f64, scaleH: f64, seed: u32): void {
  for (let i = from; i < to; i++) {
    const at = gh + (<usize>i << 3);
    const r = mix(i ^ seed);
    const uG = <f64>(r & 0xffff) * (1.0 / 65536.0);
    const uH = <f64>(r >>> 16) * (1.0 / 65536.0);
    const g = <i64>Math.floor(<f64>load<f32>(at) * scaleG + uG);
    const h = <i64>Math.floor(<f64>load<f32>(at, 4) * scaleH + uH);
    store<i64>(at, (g << 32) + h);
  }
}

/** Adds the packed gradients of rows[from, to) into `hist`; `stride` is a multiple of 4 features. */
export function histogram(bins: usize, stride: usize, rows: usize, from: u32, to: u32, gh: usize, hist: usize): void {
  for (let i = from; i < to; i++) {
    const row = <usize>load<u32>(rows + (<usize>i << 2));
    const value = load<i64>(gh + (row << 3));
    let at = bins + row * stride;
    const end = at + stride;
    let h = hist;
    while (at < end) {
      const w = load<u32>(at);
      const p0 = h + <usize>((w & 255) << 3);
      const p1 = h + <usize>((w >>> 5) & 2040);
      const p2 = h + <usize>((w >>> 13) & 2040);
      const p3 = h + <usize>((w >>> 21) & 2040);
      store<i64>(p0, load<i64>(p0) + value);
      store<i64>(p1, load<i64>(p1, 2048) + value, 2048);
      store<i64>(p2, load<i64>(p2, 4096) + value, 4096);
      store<i64>(p3, load<i64>(p3, 6144) + value, 6144);
      at += 4;
      h += 8192;
    }
  }
}

/** target += other, over `bytes` (a multiple of 16). */
export function addHistogram(target: usize, other: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(target + i, i64x2.add(v128.load(target + i), v128.load(other + i)));
  }
}

/** target -= other, over `bytes` (a multiple of 16). */
export function subtractHistogram(target: usize, other: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(target + i, i64x2.sub(v128.load(target + i), v128.load(other + i)));
  }
}

/** Sets `bytes` bytes to zero. */
export function clear(target: usize, bytes: usize): void {
  memory.fill(target, 0, bytes);
}

/** Sum of the packed gradients of rows[from, to), stored at `out`. */
export function sumRows(rows: usize, from: u32, to: u32, gh: usize, out: usize): void {
  let sum: i64 = 0;
  for (let i = from; i < to; i++) {
    sum += load<i64>(gh + (<usize>load<u32>(rows + (<usize>i << 2)) << 3));
  }
  store<i64>(out, sum);
}

// Parameters of a split search, at `config`: f64 scaleG, scaleH, lambda, minHessian, minGain,
// minRows, categorySmooth, categoryLambda, minCategoryRows; then u32 maxCategories.
// A split, at `out`: f64 gain, i64 left sum, u32 feature, u32 bin, u32 missingLeft, u32 kind,
// then 256 bytes "bin goes left". gain <= 0 means none.

let scaleG: f64 = 0;
let scaleH: f64 = 0;
let minHessian: f64 = 0;
let minRows: f64 = 0;
let rowsPerHessian: f64 = 0;

// @ts-ignore: decorator
@inline
function gainOf(left: i64, total: i64, lambda: f64): f64 {
  const right = total - left;
  const hl = <f64>(<u32>left);
  const hr = <f64>(<u32>right);
  const Hl = hl * scaleH;
  const Hr = hr * scaleH;
  if (hl * rowsPerHessian < minRows || hr * rowsPerHessian < minRows || Hl < minHessian || Hr < minHessian) return -1;
  const gl = <f64>(<i32>(left >> 32)) * scaleG;
  const gr = <f64>(<i32>(right >> 32)) * scaleG;
  return (gl * gl) / (Hl + lambda) + (gr * gr) / (Hr + lambda);
}

/** Best split of one node over the features whose `mask` byte is 1. `scratch` needs 256 * 16 bytes. */
export function findSplit(
  hist: usize, features: u32, binCounts: usize, kinds: usize, mask: usize,
  total: i64, count: u32, config: usize, out: usize, scratch: usize,
): void {
  scaleG = load<f64>(config);
  scaleH = load<f64>(config, 8);
  const lambda = load<f64>(config, 16);
  minHessian = load<f64>(config, 24);
  const minGain = load<f64>(config, 32);
  minRows = load<f64>(config, 40);
  const smooth = load<f64>(config, 48);
  const categoryLambda = lambda + load<f64>(config, 56);
  const minCategoryRows = load<f64>(config, 64);
  const maxCategories = load<u32>(config, 72);
  const H = <f64>(<u32>total);
  rowsPerHessian = <f64>count / max(H, 1.0);
  const G = <f64>(<i32>(total >> 32)) * scaleG;
  const parent = (G * G) / (H * scaleH + lambda);
  const parentCategorical = (G * G) / (H * scaleH + categoryLambda);
  let best: f64 = 0;
  store<f64>(out, 0);

  for (let f: u32 = 0; f < features; f++) {
    if (load<u8>(mask + f) == 0) continue;
    const bins = load<u32>(binCounts + (f << 2));
    const base = hist + <usize>f * FEATURE_BYTES;
    if (load<u8>(kinds + f) == 0) {
      const missing = load<i64>(base);
      let left: i64 = 0;
      for (let b: u32 = 1; b < bins; b++) {
        const v = load<i64>(base + (<usize>b << 3));
        if (v == 0) continue;
        left += v;
        const right = gainOf(left, total, lambda) - parent - minGain;
        if (right > best) {
          best = right;
          record(out, best, left, f, b, missing == 0 ? majorityLeft(left, total) : 0, 0);
        }
        if (missing != 0) {
          const both = gainOf(left + missing, total, lambda) - parent - minGain;
          if (both > best) {
            best = both;
            record(out, best, left + missing, f, b, 1, 0);
          }
        }
      }
      continue;
    }
    // Categories ordered by gradient statistics (Fisher 1958; LightGBM's many-vs-many search).
    let used: u32 = 0;
    for (let b: u32 = 1; b < bins; b++) {
      const v = load<i64>(base + (<usize>b << 3));
      const rows = <f64>(<u32>v) * rowsPerHessian;
      if (rows < smooth || rows <= 0) continue;
      const key = (<f64>(<i32>(v >> 32)) * scaleG) / (<f64>(<u32>v) * scaleH + smooth);
      let at = used;
      while (at > 0 && load<f64>(scratch + (<usize>(at - 1) << 4)) > key) {
        const from = scratch + (<usize>(at - 1) << 4);
        store<f64>(from, load<f64>(from), 16);
        store<u64>(from, load<u64>(from, 8), 24);
        at--;
      }
      const slot = scratch + (<usize>at << 4);
      store<f64>(slot, key);
      store<u64>(slot, b, 8);
      used++;
    }
    if (used < 2) continue;
    const limit = min(maxCategories, used - 1);
    for (let direction: u32 = 0; direction < 2; direction++) {
      let left: i64 = 0;
      let groupRows: f64 = 0;
      for (let k: u32 = 0; k < limit; k++) {
        const index = direction == 0 ? k : used - 1 - k;
        const b = <u32>load<u64>(scratch + (<usize>index << 4), 8);
        const v = load<i64>(base + (<usize>b << 3));
        left += v;
        groupRows += <f64>(<u32>v) * rowsPerHessian;
        if (groupRows < minCategoryRows) continue;
        if (<f64>(<u32>(total - left)) * rowsPerHessian < minCategoryRows) break;
        const gain = gainOf(left, total, categoryLambda) - parentCategorical - minGain;
        groupRows = 0;
        if (gain > best) {
          best = gain;
          record(out, best, left, f, k + 1, 0, 1);
          memory.fill(out + 32, 0, 256);
          for (let j: u32 = 0; j <= k; j++) {
            const chosen = direction == 0 ? j : used - 1 - j;
            store<u8>(out + 32 + <usize>load<u64>(scratch + (<usize>chosen << 4), 8), 1);
          }
        }
      }
    }
  }
  // The table of a numeric split is written once, for the winner.
  if (best > 0 && load<u32>(out, 28) == 0) {
    const bin = load<u32>(out, 20);
    memory.fill(out + 32, 0, 256);
    memory.fill(out + 33, 1, bin);
    store<u8>(out, <u8>load<u32>(out, 24), 32);
  }
}

// A missing value at a node that saw none goes with the greater weight.
// @ts-ignore: decorator
@inline
function majorityLeft(left: i64, total: i64): u32 {
  return <u32>(<u32>left >= <u32>(total - left));
}

// @ts-ignore: decorator
@inline
function record(out: usize, gain: f64, left: i64, feature: u32, bin: u32, missingLeft: u32, kind: u32): void {
  store<f64>(out, gain);
  store<i64>(out, left, 8);
  store<u32>(out, feature, 16);
  store<u32>(out, bin, 20);
  store<u32>(out, missingLeft, 24);
  store<u32>(out, kind, 28);
}

/** Stable split of rows[from, to) by the 256-byte `table` over one binned column: left rows go to `lefts` at `from`, right rows to `rights` at `from`. Returns how many went left. */
export function partition(rows: usize, from: u32, to: u32, column: usize, table: usize, lefts: usize, rights: usize): u32 {
  let l: u32 = from;
  let r: u32 = from;
  for (let i = from; i < to; i++) {
    const row = load<u32>(rows + (<usize>i << 2));
    const goesLeft = <u32>load<u8>(table + <usize>load<u8>(column + row));
    store<u32>(lefts + (<usize>l << 2), row);
    store<u32>(rights + (<usize>r << 2), row);
    l += goesLeft;
    r += 1 - goesLeft;
  }
  return l - from;
}

/** Copies `count` row numbers. */
export function copyRows(target: usize, source: usize, count: u32): void {
  memory.copy(target, source, <usize>count << 2);
}

/** score[row] += value for rows[from, to). */
export function addToRows(score: usize, rows: usize, from: u32, to: u32, value: f64): void {
  for (let i = from; i < to; i++) {
    const at = score + (<usize>load<u32>(rows + (<usize>i << 2)) << 3);
    store<f64>(at, load<f64>(at) + value);
  }
}

/** Adds one tree's output to score[from, to). A child below zero is ~leaf; `tables` has 256 bytes a node; `skip` (or 0) marks rows to leave out. */
export function addTree(
  bins: usize, stride: usize, from: u32, to: u32, features: usize, tables: usize,
  children: usize, values: usize, score: usize, skip: usize,
): void {
  for (let i = from; i < to; i++) {
    if (skip != 0 && load<u8>(skip + i) != 0) continue;
    const row = bins + <usize>i * stride;
    let node: i32 = 0;
    do {
      const bin = <usize>load<u8>(row + <usize>load<u32>(features + (<usize>node << 2)));
      const left = <usize>load<u8>(tables + (<usize>node << 8) + bin);
      node = load<i32>(children + (<usize>node << 3) + ((1 - left) << 2));
    } while (node >= 0);
    const at = score + (<usize>i << 3);
    store<f64>(at, load<f64>(at) + load<f64>(values + (<usize>~node << 3)));
  }
}

/** Sum of the logistic loss over [from, to). */
export function logisticLoss(label: usize, score: usize, from: u32, to: u32): f64 {
  let sum: f64 = 0;
  for (let i = from; i < to; i++) {
    const s = load<f64>(score + (<usize>i << 3));
    const signed = load<f32>(label + (<usize>i << 2)) > 0.5 ? -s : s;
    sum += max(signed, 0) + Math.log(1.0 + Math.exp(-abs(signed)));
  }
  return sum;
}

/** Sum of squared errors over [from, to). */
export function squaredLoss(label: usize, score: usize, from: u32, to: u32): f64 {
  let sum: f64 = 0;
  for (let i = from; i < to; i++) {
    const e = load<f64>(score + (<usize>i << 3)) - <f64>load<f32>(label + (<usize>i << 2));
    sum += e * e;
  }
  return sum;
}
