/**
 * Worker threads that are used again; one that had to be stopped by force is replaced.
 *
 * @module
 */
import { Worker } from "node:worker_threads"
import type { Invocation, Reply } from "./invoke.ts"
import { base, conditions, program } from "./environment.ts"
import { lineSplitter } from "./LogFile.ts"
import type { FromWorker, ToWorker } from "./workerMain.ts"

/** A call in a thread. */
export interface Task {
  /** The reply, or how the thread ended instead. */
  readonly done: Promise<Reply | { readonly exitCode: number; readonly message: string }>
  /** Aborts the function's signal. */
  readonly abort: (reason: string) => void
  /** Ends the thread. */
  readonly kill: () => void
}

/** Threads. */
export interface WorkerPool {
  readonly run: (call: Invocation, log: (stream: "stdout" | "stderr", line: string) => void) => Task
  readonly close: () => Promise<void>
}

interface Thread {
  readonly worker: Worker
  log: ((stream: "stdout" | "stderr", line: string) => void) | undefined
  settle: ((end: Awaited<Task["done"]>) => void) | undefined
}

/** Keeps up to so many idle threads. */
export const make = (keep: number): WorkerPool => {
  const idle: Array<Thread> = []
  const all = new Set<Thread>()

  const post = (thread: Thread, message: ToWorker) => thread.worker.postMessage(message)

  const finish = (thread: Thread, end: Awaited<Task["done"]>) => {
    const { settle } = thread
    thread.settle = undefined
    settle?.(end)
  }

  /** Its last printed lines may reach their listener a turn after the reply. */
  const rest = (thread: Thread, reply: Reply) => {
    setImmediate(() => {
      if (!all.has(thread)) return
      thread.log = undefined
      finish(thread, reply)
      if (idle.length < keep) {
        thread.worker.unref()
        idle.push(thread)
      } else {
        all.delete(thread)
        void thread.worker.terminate()
      }
    })
  }

  const start = (): Thread => {
    const worker = new Worker(program("workerMain"), {
      env: base(),
      execArgv: conditions(),
      stdout: true,
      stderr: true,
    })
    const thread: Thread = { worker, log: undefined, settle: undefined }
    all.add(thread)
    for (const stream of ["stdout", "stderr"] as const) {
      const split = lineSplitter((line) => thread.log?.(stream, line))
      worker[stream].on("data", split)
    }
    let crash: string | undefined
    worker.on("message", (message: FromWorker) => {
      if (message._tag === "Log") thread.log?.("stdout", message.line)
      else rest(thread, message.reply)
    })
    worker.on("error", (error: unknown) => {
      crash = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
    })
    worker.on("exit", (exitCode) => {
      all.delete(thread)
      const at = idle.indexOf(thread)
      if (at >= 0) idle.splice(at, 1)
      finish(thread, {
        exitCode,
        message:
          crash === undefined
            ? `the thread ended with code ${exitCode} before the function returned`
            : `the thread crashed: ${crash}`,
      })
    })
    return thread
  }

  return {
    run: (call, log) => {
      const thread = idle.pop() ?? start()
      const { promise, resolve } = Promise.withResolvers<Awaited<Task["done"]>>()
      thread.log = log
      thread.settle = resolve
      thread.worker.ref()
      post(thread, { _tag: "Run", call })
      return {
        done: promise,
        abort: (reason) => post(thread, { _tag: "Abort", reason }),
        // A thread that already serves another job is not this one's to kill.
        kill: () => void (thread.settle === resolve && thread.worker.terminate()),
      }
    },
    close: async () => {
      await Promise.all(Array.from(all, ({ worker }) => worker.terminate()))
    },
  }
}
