/**
 * Runs the kernel's functions over slices of rows on several threads that share one memory.
 *
 * The coordinator writes an operation and its arguments into the memory, wakes the helpers, does
 * its own slice and waits. What an operation computes does not depend on the number of threads.
 *
 * @module
 */
import type { Kernel } from "./kernel.ts"
import type { WasmMemory } from "./wasm.ts"

/** Operations; the comment lists the integer arguments. */
export const op = {
  /** column, bounds, bins, stride, rows */
  binNumeric: 1,
  /** column, table, size, bins, stride, rows */
  binCategorical: 2,
  /** isLogistic, label, score, gh, rows, out (16 bytes a thread) */
  gradients: 3,
  /** gh, rows, seed; floats: scaleG, scaleH */
  quantise: 4,
  /** bins, stride, rows, from, to, gh, target, others, bytes */
  histogram: 5,
  /** rows, from, to, gh, out (8 bytes a thread) */
  sumRows: 6,
  /** rows, from, to, column, table, lefts, rights, counts */
  partition: 7,
  /** rows, from, to, lefts, rights, counts */
  scatter: 8,
  /** score, rows, leaves (from, to), values, count */
  addLeaves: 9,
  /** bins, stride, rows, features, tables, children, values, score, skip */
  addTree: 10,
  /** isLogistic, label, score, rows, partials */
  loss: 11,
  /** tasks (16 bytes: hist, rows, out, -; then i64 total), count, features, binCounts, kinds, mask, config, scratch */
  findSplits: 12,
  /** column, bins, stride, rows */
  spread: 13,
  stop: 14,
} as const

/** Rows of one partial sum of the loss: fixed, so the sum does not depend on the threads. */
export const lossChunk = 8192

/** Bytes at the start of the memory for the kernel's own constants and for control. */
export const controlOffset = 65_536
/** Control words: epoch, pending, error, operation, threads; then arguments. */
const controlWords = 32
const floatOffset = controlOffset + controlWords * 4
/** First byte an allocator may hand out. */
export const firstFree = controlOffset + 4096

const EPOCH = 0
const PENDING = 1
const FAILED = 2
const OPERATION = 3
const THREADS = 4
const ARGUMENTS = 5

interface Views {
  readonly kernel: Kernel
  readonly control: Int32Array
  readonly floats: Float64Array
  readonly words: Uint32Array
  readonly doubles: Float64Array
  readonly longs: BigInt64Array
}

const viewsOf = (kernel: Kernel, memory: WasmMemory): Views => ({
  kernel,
  control: new Int32Array(memory.buffer, controlOffset, controlWords),
  floats: new Float64Array(memory.buffer, floatOffset, 8),
  words: new Uint32Array(memory.buffer),
  doubles: new Float64Array(memory.buffer),
  longs: new BigInt64Array(memory.buffer),
})

const slice = (
  from: number,
  to: number,
  thread: number,
  threads: number,
): readonly [number, number] => [
  from + Math.floor(((to - from) * thread) / threads),
  from + Math.floor(((to - from) * (thread + 1)) / threads),
]

const runSlice = (v: Views, operation: number, thread: number, threads: number): void => {
  const { kernel } = v
  const a = (i: number): number => (v.control[ARGUMENTS + i] ?? 0) >>> 0
  switch (operation) {
    case op.binNumeric: {
      const [from, to] = slice(0, a(4), thread, threads)
      return kernel.binNumeric(a(0), a(1), a(2), a(3), from, to)
    }
    case op.binCategorical: {
      const [from, to] = slice(0, a(5), thread, threads)
      return kernel.binCategorical(a(0), a(1), a(2), a(3), a(4), from, to)
    }
    case op.spread: {
      const [from, to] = slice(0, a(3), thread, threads)
      return kernel.spread(a(0), a(1), a(2), from, to)
    }
    case op.gradients: {
      const [from, to] = slice(0, a(4), thread, threads)
      const gradients = a(0) === 1 ? kernel.logisticGradients : kernel.squaredGradients
      return gradients(a(1), a(2), a(3), from, to, a(5) + thread * 16)
    }
    case op.quantise: {
      const [from, to] = slice(0, a(1), thread, threads)
      return kernel.quantise(a(0), from, to, v.floats[0] ?? 0, v.floats[1] ?? 0, a(2))
    }
    case op.histogram: {
      const [from, to] = slice(a(3), a(4), thread, threads)
      const target = thread === 0 ? a(6) : a(7) + (thread - 1) * a(8)
      kernel.clear(target, a(8))
      return kernel.histogram(a(0), a(1), a(2), from, to, a(5), target)
    }
    case op.sumRows: {
      const [from, to] = slice(a(1), a(2), thread, threads)
      return kernel.sumRows(a(0), from, to, a(3), a(4) + thread * 8)
    }
    case op.partition: {
      const [from, to] = slice(a(1), a(2), thread, threads)
      v.words[a(7) / 4 + thread] = kernel.partition(a(0), from, to, a(3), a(4), a(5), a(6))
      return
    }
    case op.scatter: {
      let lefts = 0
      let leftsBefore = 0
      for (let t = 0; t < threads; t++) {
        const count = v.words[a(5) / 4 + t] ?? 0
        if (t < thread) leftsBefore += count
        lefts += count
      }
      const [from, to] = slice(a(1), a(2), thread, threads)
      const left = v.words[a(5) / 4 + thread] ?? 0
      const rightsBefore = from - a(1) - leftsBefore
      kernel.copyRows(a(0) + (a(1) + leftsBefore) * 4, a(3) + from * 4, left)
      return kernel.copyRows(
        a(0) + (a(1) + lefts + rightsBefore) * 4,
        a(4) + from * 4,
        to - from - left,
      )
    }
    case op.addLeaves: {
      for (let leaf = 0; leaf < a(4); leaf++) {
        const at = a(2) / 4 + leaf * 2
        const [from, to] = slice(v.words[at] ?? 0, v.words[at + 1] ?? 0, thread, threads)
        kernel.addToRows(a(0), a(1), from, to, v.doubles[a(3) / 8 + leaf] ?? 0)
      }
      return
    }
    case op.addTree: {
      const [from, to] = slice(0, a(2), thread, threads)
      return kernel.addTree(a(0), a(1), from, to, a(3), a(4), a(5), a(6), a(7), a(8))
    }
    case op.loss: {
      const loss = a(0) === 1 ? kernel.logisticLoss : kernel.squaredLoss
      for (let chunk = thread; chunk * lossChunk < a(3); chunk += threads) {
        v.doubles[a(4) / 8 + chunk] = loss(
          a(1),
          a(2),
          chunk * lossChunk,
          Math.min(a(3), (chunk + 1) * lossChunk),
        )
      }
      return
    }
    case op.findSplits: {
      for (let task = thread; task < a(1); task += threads) {
        const at = a(0) + task * 24
        const [hist, rows, out] = [
          v.words[at / 4] ?? 0,
          v.words[at / 4 + 1] ?? 0,
          v.words[at / 4 + 2] ?? 0,
        ]
        const total = v.longs[(at + 16) / 8] ?? 0n
        kernel.findSplit(hist, a(2), a(3), a(4), a(5), total, rows, a(6), out, a(7) + thread * 4096)
      }
      return
    }
  }
}

/** What a helper thread does until told to stop. */
export const runHelper = (kernel: Kernel, memory: WasmMemory, thread: number): void => {
  const views = viewsOf(kernel, memory)
  const { control } = views
  let seen = 0
  for (;;) {
    for (let spin = 0; spin < 2000 && Atomics.load(control, EPOCH) === seen; spin++);
    while (Atomics.load(control, EPOCH) === seen) Atomics.wait(control, EPOCH, seen)
    seen = Atomics.load(control, EPOCH)
    const operation = control[OPERATION] ?? 0
    const threads = control[THREADS] ?? 1
    if (operation === op.stop) return
    try {
      if (thread < threads) runSlice(views, operation, thread, threads)
    } catch {
      Atomics.store(control, FAILED, 1)
    }
    if (Atomics.sub(control, PENDING, 1) === 1) Atomics.notify(control, PENDING)
  }
}

/** Runs one operation on the coordinator and its helpers. */
export type Run = (operation: number, args: ReadonlyArray<number>, options?: RunOptions) => void

/** Options of one operation. */
export interface RunOptions {
  readonly floats?: ReadonlyArray<number>
  /** Run on the coordinator alone: for work too small to be worth waking anyone. */
  readonly alone?: boolean
}

/** Makes the coordinator's `run`; the helpers must be in `runHelper` before the first call that uses them. */
export const makeRun = (kernel: Kernel, memory: WasmMemory, threads: number): Run => {
  const views = viewsOf(kernel, memory)
  const { control } = views
  return (operation, args, options) => {
    control.set(args, ARGUMENTS)
    if (options?.floats !== undefined) views.floats.set(options.floats)
    if (threads === 1 || options?.alone === true) return runSlice(views, operation, 0, 1)
    control[OPERATION] = operation
    control[THREADS] = threads
    Atomics.store(control, PENDING, threads - 1)
    Atomics.add(control, EPOCH, 1)
    Atomics.notify(control, EPOCH)
    if (operation === op.stop) return
    runSlice(views, operation, 0, threads)
    for (let spin = 0; spin < 2000 && Atomics.load(control, PENDING) !== 0; spin++);
    for (;;) {
      const pending = Atomics.load(control, PENDING)
      if (pending === 0) break
      Atomics.wait(control, PENDING, pending)
    }
    if (Atomics.load(control, FAILED) !== 0)
      throw new Error("a helper thread of the tree learner failed")
  }
}
