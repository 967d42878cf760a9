/**
 * Entry of the network trainer's thread: TensorFlow.js on its WebAssembly backend, or plain
 * JavaScript where that is not installed.
 *
 * @module
 */
import { createRequire } from "node:module"
import { dirname, sep } from "node:path"
import { parentPort, workerData } from "node:worker_threads"
import { auc, logLoss } from "./metrics.ts"
import type { Mlp } from "./mlp.ts"
import { writeInputs } from "./mlp.ts"
import { makeRandom, seedOf } from "./random.ts"
import type { Random } from "./random.ts"
import type { MlpData, MlpMessage } from "./tfjs-protocol.ts"

const port = parentPort
if (port === null) throw new Error("tfjs-worker is started as a worker thread by the tfjs trainer")
const post = (message: MlpMessage): void => port.postMessage(message)

// TensorFlow.js announces its backends on the console; a library must not.
console.warn = () => undefined

const require = createRequire(import.meta.url)
type Core = typeof import("@tensorflow/tfjs-core")

const isMissing = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && cause.code === "MODULE_NOT_FOUND"

/** The wasm kernel multiplies transposed matrices 12 to 20 times slower than plain ones, so transpose first. */
const transposeBeforeMatMul = (tf: Core): void => {
  const matMul = tf.getKernel("BatchMatMul", "wasm")
  const transpose = tf.getKernel("Transpose", "wasm")
  if (matMul === undefined || transpose === undefined) return
  tf.unregisterKernel("BatchMatMul", "wasm")
  tf.registerKernel({
    ...matMul,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const made: Array<{ readonly dataId: object }> = []
      const plain = (name: "a" | "b", flag: "transposeA" | "transposeB") => {
        const x = inputs[name]
        if (x === undefined || attrs?.[flag] !== true) return x
        const rank = x.shape.length
        const perm = [...Array.from({ length: rank - 2 }, (_, i) => i), rank - 1, rank - 2]
        const info = transpose.kernelFunc({ inputs: { x }, attrs: { perm }, backend })
        const one = Array.isArray(info) ? info[0] : info
        if (one !== undefined) made.push(one)
        return one
      }
      const a = plain("a", "transposeA")
      const b = plain("b", "transposeB")
      if (a === undefined || b === undefined) throw new Error("BatchMatMul takes two inputs")
      const out = matMul.kernelFunc({
        inputs: { a, b },
        attrs: { ...attrs, transposeA: false, transposeB: false },
        backend,
      })
      for (const { dataId } of made)
        (backend as { disposeData: (id: object) => void }).disposeData(dataId)
      return out
    },
  })
}

const loadTensorFlow = async (): Promise<Core | undefined> => {
  let tf: Core
  try {
    tf = require("@tensorflow/tfjs-core") as Core
    // On Node, the gradients of the operators are only inside the layers package.
    require("@tensorflow/tfjs-layers")
  } catch (cause) {
    if (isMissing(cause)) return undefined
    throw cause
  }
  try {
    const backend =
      require("@tensorflow/tfjs-backend-wasm") as typeof import("@tensorflow/tfjs-backend-wasm")
    backend.setWasmPaths(dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + sep)
    // Its threads are web workers, which Node has not.
    backend.setThreadsCount(1)
    if (await tf.setBackend("wasm")) {
      transposeBeforeMatMul(tf)
      return tf
    }
  } catch (cause) {
    if (!isMissing(cause)) throw cause
  }
  try {
    require("@tensorflow/tfjs-backend-cpu")
    return (await tf.setBackend("cpu")) ? tf : undefined
  } catch (cause) {
    if (isMissing(cause)) return undefined
    throw cause
  }
}

/** Mean, one over the standard deviation, and which columns have missing values. */
const standardise = (
  columns: ReadonlyArray<Float32Array>,
): Pick<Mlp, "mean" | "scale" | "indicators"> => {
  const mean = new Float32Array(columns.length)
  const scale = new Float32Array(columns.length)
  const indicators: Array<number> = []
  columns.forEach((column, f) => {
    let count = 0
    let sum = 0
    for (const x of column) {
      if (!Number.isFinite(x)) continue
      count++
      sum += x
    }
    const center = count > 0 ? sum / count : 0
    let squares = 0
    let missing = false
    for (const x of column) {
      if (x !== x) missing = true
      if (Number.isFinite(x)) squares += (x - center) ** 2
    }
    mean[f] = center
    const deviation = count > 0 ? Math.sqrt(squares / count) : 0
    scale[f] = deviation > 1e-12 ? 1 / deviation : 0
    if (missing) indicators.push(f)
  })
  return { mean, scale, indicators: Int32Array.from(indicators) }
}

const shuffle = (order: Uint32Array, random: Random): void => {
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const swap = order[i] as number
    order[i] = order[j] as number
    order[j] = swap
  }
}

const train = async (data: MlpData): Promise<void> => {
  const tf = await loadTensorFlow()
  if (tf === undefined) return post({ type: "missing" })
  const { params } = data
  const inputs = standardise(data.columns)
  const width = data.columns.length + inputs.indicators.length
  const random = makeRandom(seedOf(data.seed, 11))
  const sizes = [width, ...Array.from({ length: params.layers }, () => params.units), 1]
  const layers = sizes.slice(1).map((outputs, l) => {
    const fanIn = sizes[l] ?? 1
    // He initialisation (He et al. 2015): the layers are ReLU.
    const deviation = Math.sqrt(2 / fanIn)
    const values = Float32Array.from({ length: fanIn * outputs }, () => random.normal() * deviation)
    return {
      weights: tf.variable(tf.tensor2d(values, [fanIn, outputs])),
      bias: tf.variable(tf.zeros([outputs]) as ReturnType<typeof tf.tensor1d>),
    }
  })
  const forward = (x: ReturnType<typeof tf.tensor2d>) =>
    layers.reduce((value, layer, l) => {
      const dense = tf.add(tf.matMul(value, layer.weights), layer.bias)
      return (l + 1 < layers.length ? tf.relu(dense) : dense) as typeof x
    }, x)
  const optimizer = tf.train.adam(params.learningRate)

  const batchOf = (columns: ReadonlyArray<Float32Array>, rows: Uint32Array) => {
    const out = new Float32Array(rows.length * width)
    for (let i = 0; i < rows.length; i++)
      writeInputs(inputs, columns, rows[i] as number, out, i * width)
    return tf.tensor2d(out, [rows.length, width])
  }
  const evaluate = (columns: ReadonlyArray<Float32Array>, label: Float32Array) => {
    const scores = new Float64Array(label.length)
    for (let from = 0; from < label.length; from += 16_384) {
      const rows = Uint32Array.from(
        { length: Math.min(16_384, label.length - from) },
        (_, i) => from + i,
      )
      const logits = tf.tidy(() => forward(batchOf(columns, rows)).dataSync())
      for (let i = 0; i < rows.length; i++)
        scores[from + i] = 1 / (1 + Math.exp(-(logits[i] as number)))
    }
    return { logloss: logLoss(label, scores), auc: auc(label, scores) }
  }
  const snapshot = (): Mlp => ({
    ...inputs,
    layers: layers.map(({ weights, bias }) => ({
      inputs: weights.shape[0] ?? 0,
      outputs: weights.shape[1] ?? 0,
      weights: Float32Array.from(weights.dataSync()),
      bias: Float32Array.from(bias.dataSync()),
    })),
  })

  const order = Uint32Array.from({ length: data.label.length }, (_, i) => i)
  let best = {
    value: Number.POSITIVE_INFINITY,
    epoch: 0,
    mlp: snapshot(),
    metrics: {} as Record<string, number>,
  }
  for (let epoch = 1; epoch <= params.epochs; epoch++) {
    shuffle(order, makeRandom(seedOf(data.seed, 12, epoch)))
    const seen =
      params.rowsPerEpoch === 0 ? order.length : Math.min(order.length, params.rowsPerEpoch)
    let lossSum = 0
    for (let from = 0; from < seen; from += params.batchSize) {
      const rows = order.subarray(from, Math.min(seen, from + params.batchSize))
      const y = Float32Array.from(rows, (row) => data.label[row] as number)
      const cost = optimizer.minimize(
        () =>
          tf.tidy(() => {
            const logits = forward(batchOf(data.columns, rows))
            const loss = tf.losses.sigmoidCrossEntropy(tf.tensor2d(y, [rows.length, 1]), logits)
            if (params.l2 === 0) return loss as ReturnType<typeof tf.scalar>
            const penalty = tf.addN(layers.map(({ weights }) => tf.sum(tf.square(weights))))
            return tf.add(loss, tf.mul(penalty, params.l2)) as ReturnType<typeof tf.scalar>
          }),
        true,
      )
      lossSum += (cost?.dataSync()[0] ?? 0) * rows.length
      cost?.dispose()
    }
    const trainLoss = lossSum / seen
    if (!Number.isFinite(trainLoss)) return post({ type: "diverged", epoch })
    const metrics = {
      train_logloss: trainLoss,
      ...(data.validation === undefined
        ? {}
        : evaluate(data.validation.columns, data.validation.label)),
    }
    post({ type: "epoch", epoch, metrics })
    const measured = metrics[params.metric as keyof typeof metrics] ?? trainLoss
    const value = params.metric === "auc" && data.validation !== undefined ? -measured : measured
    const keepsBest = params.earlyStoppingRounds > 0 && data.validation !== undefined
    if (!keepsBest || value < best.value) best = { value, epoch, mlp: snapshot(), metrics }
    else if (epoch - best.epoch >= params.earlyStoppingRounds) break
  }
  post({
    type: "done",
    mlp: best.mlp,
    epoch: best.epoch,
    metrics: best.metrics,
    backend: tf.getBackend(),
  })
}

await train(workerData as MlpData)
port.close()
