/**
 * Digests of long streams, computed in one thread that all of a process share: SHA-256 is slower
 * than a good disk, and on the caller's thread it would hold up the stream's next read.
 *
 * @module
 */
import { Worker } from "node:worker_threads"
import * as Digest from "../../Digest.ts"
import type { FromDigester, ToDigester } from "./digestMain.ts"

/** The digest of one stream. */
export interface Digester {
  /** Resolves when the bytes, which must be shared memory, may be written again. */
  readonly update: (piece: Uint8Array) => Promise<unknown>
  readonly finish: () => Promise<Digest.Digest>
  /** Forgets a stream that will not be finished. */
  readonly drop: () => void
}

type Waiting = PromiseWithResolvers<Digest.Digest | undefined>

interface Thread {
  readonly worker: Worker
  /** Answers still to come, by stream, in the order of the questions. */
  readonly waiting: Map<number, Array<Waiting>>
}

let thread: Promise<Thread | undefined> | undefined
let streams = 0

const start = (): Promise<Thread | undefined> =>
  new Promise((resolve) => {
    const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"
    const worker = new Worker(new URL(`./digestMain.${extension}`, import.meta.url))
    const waiting: Thread["waiting"] = new Map()
    let ready = false
    const gone = (cause: unknown) => {
      // One that never ran is missing, as in a bundle of one file: the caller's thread does the work.
      if (ready) thread = undefined
      resolve(undefined)
      for (const answers of waiting.values()) for (const { reject } of answers) reject(cause)
      waiting.clear()
    }
    worker.on("message", (message: FromDigester) => {
      if ("ready" in message) {
        ready = true
        worker.unref()
        resolve({ worker, waiting })
      } else {
        waiting.get(message.stream)?.shift()?.resolve(message.digest)
      }
    })
    worker.on("error", gone)
    worker.on("exit", (code) => gone(new Error(`the digest thread ended with code ${code}`)))
  })

const inThread = ({ worker, waiting }: Thread): Digester => {
  const stream = streams++
  waiting.set(stream, [])
  const ask = (message: ToDigester) => {
    const answers = waiting.get(stream)
    if (answers === undefined) return Promise.reject(new Error("the digest thread ended"))
    const answer: Waiting = Promise.withResolvers()
    answers.push(answer)
    worker.postMessage(message)
    return answer.promise
  }
  const close = () => {
    for (const { resolve } of waiting.get(stream) ?? []) resolve(undefined)
    waiting.delete(stream)
    if (waiting.size === 0) worker.unref()
  }
  worker.ref()
  return {
    update: (piece) => ask({ stream, piece }),
    finish: async () => {
      const digest = await ask({ stream, end: "finish" })
      close()
      if (digest === undefined) throw new Error("the digest thread gave no digest")
      return digest
    },
    drop: () => {
      if (!waiting.has(stream)) return
      worker.postMessage({ stream, end: "drop" } satisfies ToDigester)
      close()
    },
  }
}

const here = (): Digester => {
  const hash = Digest.start()
  return {
    update: async (piece) => hash.update(piece),
    finish: async () => Digest.finish(hash),
    drop: () => undefined,
  }
}

/** Starts the digest of a long stream. */
export const make = async (): Promise<Digester> => {
  const started = await (thread ??= start())
  return started === undefined ? here() : inThread(started)
}
