/**
 * Writes one blob to a temporary file: batches small chunks, and hashes one batch while the one
 * before is being written, so that a stream costs little more than its slower half.
 *
 * @module
 */
import { constants } from "node:fs"
import { type FileHandle, open, rm } from "node:fs/promises"
import * as Digest from "../../Digest.ts"
import type { Timestamp } from "../../Timestamp.ts"

const batchBytes = 1 << 20

/** A temporary file being written. */
export interface FileWriter {
  readonly path: string
  /** Takes the chunk; resolves when there is room for the next. */
  readonly write: (chunk: Uint8Array) => Promise<void> | undefined
  /** Waits for what was written; size and digest of it all. */
  readonly flush: () => Promise<{ readonly size: number; readonly digest: Digest.Digest }>
  /** Writes bytes that do not count as content, and syncs the file when asked. */
  readonly seal: (trailer: Uint8Array, sync: boolean) => Promise<void>
  /** When the file was last written. */
  readonly modified: () => Promise<Timestamp>
  /** Closes the file and removes it if it is still there, as far as that works. */
  readonly dispose: () => Promise<void>
}

const writeAll = async (file: FileHandle, buffers: ReadonlyArray<Uint8Array>): Promise<void> => {
  let rest = buffers.filter((buffer) => buffer.length > 0)
  while (rest.length > 0) {
    let { bytesWritten } = await file.writev(rest)
    const next: Array<Uint8Array> = []
    for (const buffer of rest) {
      if (bytesWritten < buffer.length) next.push(buffer.subarray(bytesWritten))
      bytesWritten = Math.max(0, bytesWritten - buffer.length)
    }
    rest = next
  }
}

/** Creates the file; it must not exist. */
export const make = async (path: string): Promise<FileWriter> => {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644)
  const hash = Digest.start()
  let size = 0
  let batch: Array<Uint8Array> = []
  let held = 0
  let inFlight: Promise<void> = Promise.resolve()

  const swap = async (): Promise<void> => {
    const full = batch
    batch = []
    held = 0
    await inFlight
    inFlight = writeAll(file, full)
    // The next await sees a failure; without this it would count as unhandled until then.
    inFlight.catch(() => undefined)
    for (const chunk of full) hash.update(chunk)
  }

  return {
    path,
    write: (chunk) => {
      batch.push(chunk)
      held += chunk.length
      size += chunk.length
      return held < batchBytes ? undefined : swap()
    },
    flush: async () => {
      await swap()
      await inFlight
      return { size, digest: Digest.finish(hash) }
    },
    seal: async (trailer, sync) => {
      await writeAll(file, [trailer])
      if (sync) await file.sync()
    },
    modified: async () => Number((await file.stat({ bigint: true })).mtimeNs / 1000n),
    dispose: async () => {
      await inFlight.catch(() => undefined)
      // What was stored is stored; a file that stays behind goes when the store is opened again.
      await file.close().catch(() => undefined)
      await rm(path, { force: true }).catch(() => undefined)
    },
  }
}
