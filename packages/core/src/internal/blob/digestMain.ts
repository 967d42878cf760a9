/**
 * The thread that digests long streams: a message is the next piece of one of them, in shared
 * memory that is not written again before the answer.
 *
 * @module
 */
import type { Hash } from "node:crypto"
import { parentPort } from "node:worker_threads"
import * as Digest from "../../Digest.ts"

/** What the thread is told: the next piece, the end, or that nobody wants the digest any more. */
export type ToDigester =
  | { readonly stream: number; readonly piece: Uint8Array }
  | { readonly stream: number; readonly end: "finish" | "drop" }

/** What it answers: that it runs, that a piece is taken, or the digest. */
export type FromDigester =
  | { readonly ready: true }
  | { readonly stream: number; readonly digest?: Digest.Digest }

const hashes = new Map<number, Hash>()

parentPort?.on("message", (message: ToDigester) => {
  const { stream } = message
  const hash = hashes.get(stream) ?? Digest.start()
  let answer: FromDigester = { stream }
  if ("piece" in message) {
    hashes.set(stream, hash)
    hash.update(message.piece)
  } else {
    hashes.delete(stream)
    if (message.end === "drop") return
    answer = { stream, digest: Digest.finish(hash) }
  }
  parentPort?.postMessage(answer)
})
parentPort?.postMessage({ ready: true } satisfies FromDigester)
