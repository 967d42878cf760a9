import { type DataType, Predictor } from "@ashlar/core"
import * as Batch from "./batch.ts"
import type { ModelWorker } from "./ModelWorker.ts"

type Tensors = Readonly<Record<string, DataType.Tensor>>

/** How requests of one model wait and run together. */
export interface QueueOptions {
  /** Most rows of one run; 1 turns batching off. */
  readonly maxBatchRows: number
  /** Requests that may wait; more are refused with `RateLimited`. */
  readonly maxQueue: number
}

/** Totals since the model was loaded; durations in microseconds. */
export interface Statistics {
  /** Requests that got their outputs. */
  requests: number
  /** All that did not: the sum of the next three. */
  failures: number
  /** Refused because the queue was full. */
  rejected: number
  /** Left while they waited: their caller went away, or they timed out. */
  cancelled: number
  /** Failed in the model or its worker. */
  backendFailures: number
  rows: number
  runs: number
  requestMicros: number
  queueMicros: number
  computeMicros: number
}

/** A fresh count. */
export const noStatistics = (): Statistics => ({
  requests: 0,
  failures: 0,
  rejected: 0,
  cancelled: 0,
  backendFailures: 0,
  rows: 0,
  runs: 0,
  requestMicros: 0,
  queueMicros: 0,
  computeMicros: 0,
})

interface Waiting {
  readonly inputs: Tensors
  readonly outputs: ReadonlyArray<string> | undefined
  readonly rows: number | undefined
  readonly key: string
  readonly since: number
  readonly resolve: (outputs: Tensors) => void
  readonly reject: (error: unknown) => void
}

/** A model's queue. */
export interface Queue {
  readonly submit: (
    inputs: Tensors,
    outputs: ReadonlyArray<string> | undefined,
    signal: AbortSignal,
  ) => Promise<Tensors>
  readonly statistics: Statistics
  readonly depth: () => number
  /** Settles when nothing waits or runs. */
  readonly idle: () => Promise<void>
}

/**
 * Feeds workers. Nothing is held back to wait for company: while all workers are busy, requests
 * that fit together gather, and the next free worker takes them as one run.
 */
export const make = (workers: ReadonlyArray<ModelWorker>, options: QueueOptions): Queue => {
  const statistics = noStatistics()
  const waiting: Array<Waiting> = []
  const free = [...workers]
  let running = 0
  let onIdle: Array<() => void> = []

  const takeBatch = (first: Waiting): Array<Waiting> => {
    const batch = [first]
    if (first.rows === undefined) return batch
    let rows = first.rows
    for (let i = 0; i < waiting.length && rows < options.maxBatchRows;) {
      const next = waiting[i] as Waiting
      const fits = next.rows !== undefined && rows + next.rows <= options.maxBatchRows
      if (fits && next.key === first.key) {
        rows += next.rows ?? 0
        batch.push(next)
        waiting.splice(i, 1)
      } else i++
    }
    return batch
  }

  const pump = (): void => {
    while (waiting.length > 0 && free.length > 0) {
      const first = waiting.shift() as Waiting
      const worker = free.pop() as ModelWorker
      running += 1
      void runBatch(worker, takeBatch(first)).finally(() => {
        running -= 1
        free.push(worker)
        pump()
      })
    }
    if (running === 0 && waiting.length === 0) {
      const settled = onIdle
      onIdle = []
      for (const resolve of settled) resolve()
    }
  }

  const runBatch = async (worker: ModelWorker, batch: ReadonlyArray<Waiting>): Promise<void> => {
    const start = performance.now()
    for (const item of batch) statistics.queueMicros += (start - item.since) * 1000
    const [only] = batch
    const outputs = only?.outputs === undefined ? {} : { outputs: only.outputs }
    try {
      if (batch.length === 1 && only !== undefined) {
        const done = await worker.run({ inputs: only.inputs, ...outputs }, [])
        count(batch, done.micros)
        only.resolve(done.outputs)
        return
      }
      const inputs = Batch.joinAll(batch.map((item) => item.inputs))
      const move = Object.values(inputs).flatMap(({ data }) =>
        ArrayBuffer.isView(data) && data.buffer instanceof ArrayBuffer ? [data.buffer] : [],
      )
      const done = await worker.run({ inputs, ...outputs }, move)
      const parts = Batch.split(
        done.outputs,
        batch.map((item) => item.rows ?? 0),
      )
      if (parts === undefined) throw notRowWise()
      count(batch, done.micros)
      batch.forEach((item, i) => item.resolve(parts[i] ?? {}))
    } catch (error) {
      // One caller's bad input, or one that kills the worker, must not fail the others: each gets
      // its own run.
      if (batch.length > 1 && isRetriable(error)) {
        for (const item of batch) await runBatch(worker, [item])
        return
      }
      statistics.failures += batch.length
      statistics.backendFailures += batch.length
      for (const item of batch) item.reject(error)
    }
  }

  const count = (batch: ReadonlyArray<Waiting>, micros: number): void => {
    statistics.runs += 1
    statistics.requests += batch.length
    statistics.computeMicros += micros
    const now = performance.now()
    for (const item of batch) {
      statistics.rows += item.rows ?? 1
      statistics.requestMicros += (now - item.since) * 1000
    }
  }

  return {
    statistics,
    depth: () => waiting.length + running,
    idle: () =>
      running === 0 && waiting.length === 0
        ? Promise.resolve()
        : new Promise((resolve) => onIdle.push(resolve)),
    submit: (inputs, outputs, signal) =>
      new Promise((resolve, reject) => {
        if (waiting.length >= options.maxQueue) {
          statistics.failures += 1
          statistics.rejected += 1
          reject(
            new Predictor.PredictorError({
              reason: "RateLimited",
              message: `${waiting.length} requests wait for this model already: send fewer at a time, or add instances`,
            }),
          )
          return
        }
        const item: Waiting = {
          inputs,
          outputs,
          rows: Batch.rowsOf(inputs),
          key: Batch.keyOf(inputs, outputs),
          since: performance.now(),
          resolve,
          reject,
        }
        signal.addEventListener("abort", () => {
          const at = waiting.indexOf(item)
          if (at < 0) return
          waiting.splice(at, 1)
          statistics.failures += 1
          statistics.cancelled += 1
          pump()
        })
        waiting.push(item)
        pump()
      }),
  }
}

const notRowWise = () =>
  new Predictor.PredictorError({
    reason: "InvalidInput",
    message: "the model's outputs do not have one row per input row: serve it with maxBatchRows 1",
  })

const isRetriable = (error: unknown): boolean =>
  error instanceof Predictor.PredictorError &&
  (error.reason === "InvalidInput" || error.reason === "Unavailable")
