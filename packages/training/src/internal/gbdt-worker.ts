/**
 * Entry of the learner's threads: one coordinator, which the caller starts, and its helpers.
 *
 * @module
 */
import { once } from "node:events"
import { parentPort, Worker, workerData } from "node:worker_threads"
import type { Binning } from "./binning.ts"
import { binColumn, boost, writeBins } from "./gbdt-fit.ts"
import type { Fit } from "./gbdt-fit.ts"
import { layOut } from "./gbdt-memory.ts"
import { makeRun, op, runHelper } from "./gbdt-pool.ts"
import type {
  ColumnMessage,
  CoordinatorData,
  CoordinatorMessage,
  HelperData,
} from "./gbdt-protocol.ts"
import { instantiateKernel } from "./kernel.ts"
import { wasm } from "./wasm.ts"
import type { WasmMemory } from "./wasm.ts"

const port = parentPort
if (port === null)
  throw new Error("gbdt-worker is started as a worker thread by GradientBoosting.fit")

const post = (message: CoordinatorMessage): void => port.postMessage(message)

const columnOf = async (set: "train" | "validation", index: number): Promise<Float32Array> => {
  post({ type: "want", set, index })
  const [message] = (await once(port, "message")) as [ColumnMessage]
  return message.values
}

const startHelpers = async (
  data: CoordinatorData,
  memory: WasmMemory,
): Promise<ReadonlyArray<Worker>> => {
  const helpers = Array.from({ length: data.threads - 1 }, (_, i) => {
    const helper: HelperData = { role: "helper", module: data.module, memory, thread: i + 1 }
    return new Worker(new URL(import.meta.url), { workerData: helper })
  })
  // A helper says it is ready before it first sleeps; only then may this thread block.
  await Promise.all(helpers.map((helper) => once(helper, "message")))
  return helpers
}

/** The memory, or undefined when the machine has not as much. */
const allocate = (pages: number): WasmMemory | undefined => {
  try {
    return new wasm.Memory({ initial: pages, maximum: pages, shared: true })
  } catch (cause) {
    if (cause instanceof RangeError) return undefined
    throw cause
  }
}

const coordinate = async (data: CoordinatorData): Promise<void> => {
  const map = layOut({
    rows: data.rows,
    validationRows: data.validationRows,
    features: data.features.length,
    leaves: data.settings.maxLeaves,
    threads: data.threads,
  })
  if ("tooLarge" in map) return post({ type: "tooLarge", bytes: map.tooLarge })
  const pages = Math.ceil(map.bytes / 65_536)
  const memory = allocate(pages)
  if (memory === undefined) return post({ type: "tooLarge", bytes: map.bytes })
  const kernel = instantiateKernel(data.module, memory)
  const helpers = await startHelpers(data, memory)
  const run = makeRun(kernel, memory, data.threads)
  const fit: Fit = { data, kernel, memory, map, run }
  /** Without it the helpers sleep for ever, and keep the process alive with them. */
  const stop = async (): Promise<void> => {
    run(op.stop, [])
    await Promise.all(helpers.map((helper) => helper.terminate()))
  }

  new Float32Array(memory.buffer, map.label, data.rows).set(await columnOf("train", -1))
  if (data.validationRows > 0) {
    new Float32Array(memory.buffer, map.validationLabel, data.validationRows).set(
      await columnOf("validation", -1),
    )
  }
  const binnings: Array<Binning> = []
  for (const [index, name] of data.features.entries()) {
    const binning = binColumn(fit, index, await columnOf("train", index))
    if (typeof binning === "string") {
      await stop()
      return post({ type: "invalid", field: name, message: `Feature ${name} ${binning}.` })
    }
    binnings.push(binning)
    if (data.validationRows === 0) continue
    writeBins(
      fit,
      binning,
      await columnOf("validation", index),
      map.validationBins + index,
      map.stride,
    )
  }
  const result = boost(fit, binnings, (iteration) => post({ type: "iteration", iteration }))
  await stop()
  post({ type: "done", ...result })
}

const data = workerData as CoordinatorData | HelperData
if (data.role === "helper") {
  const kernel = instantiateKernel(data.module, data.memory)
  port.postMessage("ready")
  runHelper(kernel, data.memory, data.thread)
  process.exit(0)
} else {
  await coordinate(data)
  // Unlisten, so that the thread ends.
  port.close()
}
