/**
 * The program a `Call` runs in as a child process: gets the call over IPC, answers over IPC, aborts
 * the function's signal on SIGTERM.
 *
 * @module
 */
import { type Invocation, invoke } from "./invoke.ts"

process.once("message", (message) => {
  const controller = new AbortController()
  process.on("SIGTERM", () => controller.abort(new Error("the job was asked to stop")))
  void invoke(message as Invocation, {
    signal: controller.signal,
    log: (line) => process.stdout.write(`${line}\n`),
  }).then((reply) => {
    // Without a supervisor there is nobody to answer to.
    if (process.send === undefined || !process.connected) process.exit(1)
    process.send(reply, () => {
      process.exitCode = reply.ok ? 0 : 1
      // Flushes what was printed; exit() would cut it off.
      process.disconnect()
      setTimeout(() => process.exit(), 1000).unref()
    })
  })
})
