// Runs one model. A session's load and run block their thread, so they happen here and never on
// the event loop that answers requests.
import { parentPort, workerData } from "node:worker_threads"
import type { DataType } from "@ashlar/core"
import type { Open, RunMessage, WorkerData, WorkerMessage } from "./protocol.ts"

const data: WorkerData = workerData
const send = (message: WorkerMessage, transfer: Array<ArrayBuffer> = []): void =>
  parentPort?.postMessage(message, transfer)

const describe = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** Buffers of outputs that nobody else holds, to move instead of copy. */
const buffersOf = (outputs: Readonly<Record<string, DataType.Tensor>>): Array<ArrayBuffer> => {
  const buffers = new Set<ArrayBuffer>()
  for (const { data: values } of Object.values(outputs)) {
    if (ArrayBuffer.isView(values) && values.buffer instanceof ArrayBuffer) {
      buffers.add(values.buffer)
    }
  }
  return [...buffers]
}

try {
  const backend: { readonly open: Open } = await import(data.backend)
  const model = await backend.open(data.file, data.options)
  parentPort?.on("message", (message: RunMessage) => {
    const start = performance.now()
    model.run(message.inputs, message.outputs).then(
      (outputs) => {
        const micros = (performance.now() - start) * 1000
        send({ type: "done", id: message.id, outputs, micros }, buffersOf(outputs))
      },
      (error) => send({ type: "failed", id: message.id, message: describe(error) }),
    )
  })
  send({ type: "opened" })
} catch (error) {
  send({ type: "refused", message: describe(error) })
}
