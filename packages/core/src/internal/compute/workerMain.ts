/**
 * The program of a worker thread: runs one call after another.
 *
 * @module
 */
import { parentPort } from "node:worker_threads"
import { type Invocation, invoke, type Reply } from "./invoke.ts"

/** What the pool tells a worker. */
export type ToWorker =
  | { readonly _tag: "Run"; readonly call: Invocation }
  | { readonly _tag: "Abort"; readonly reason: string }

/** What a worker tells the pool. */
export type FromWorker =
  | { readonly _tag: "Log"; readonly line: string }
  | { readonly _tag: "Done"; readonly reply: Reply }

/** Printed lines travel on another channel: they must be there before the reply. */
const flush = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.writableLength === 0) resolve()
    else stream.write("", () => resolve())
  })

let controller = new AbortController()

const answer = (message: FromWorker) => parentPort?.postMessage(message)

parentPort?.on("message", (message: ToWorker) => {
  if (message._tag === "Abort") {
    controller.abort(new Error(message.reason))
    return
  }
  controller = new AbortController()
  void invoke(message.call, {
    signal: controller.signal,
    log: (line) => answer({ _tag: "Log", line: String(line) }),
  }).then(async (reply) => {
    await flush(process.stdout)
    await flush(process.stderr)
    answer({ _tag: "Done", reply })
  })
})
