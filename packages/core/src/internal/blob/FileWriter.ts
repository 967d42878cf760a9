/**
 * Writes one blob to a temporary file. A stream of more than one slot is copied into a few slots of
 * shared memory, each written by this process while another thread digests it, so that it costs
 * little more than a plain copy, in memory that does not grow.
 *
 * @module
 */
import { constants } from "node:fs"
import { type FileHandle, open, rm } from "node:fs/promises"
import * as Digest from "../../Digest.ts"
import type { Timestamp } from "../../Timestamp.ts"
import * as Digester from "./Digester.ts"

const slotBytes = 1 << 20
const slotCount = 4

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

interface Slot {
  readonly bytes: Uint8Array
  /** Settles when the slot may be filled again. */
  free: Promise<unknown>
}

/** The slots of a long stream, filled in turn. */
const ring = async (file: FileHandle) => {
  const digester = await Digester.make()
  const slots = Array.from({ length: slotCount }, (): Slot => ({
    bytes: new Uint8Array(new SharedArrayBuffer(slotBytes)),
    free: Promise.resolve(),
  }))
  let written: Promise<void> = Promise.resolve()
  let at = 0
  let filled = 0

  const send = () => {
    const slot = slots[at % slotCount]
    if (slot === undefined || filled === 0) return
    const piece = slot.bytes.subarray(0, filled)
    written = written.then(() => writeAll(file, [piece]))
    slot.free = Promise.all([written, digester.update(piece)])
    // The next await sees a failure; without this it would count as unhandled until then.
    slot.free.catch(() => undefined)
    at++
    filled = 0
  }

  return {
    take: async (chunk: Uint8Array) => {
      for (let from = 0; from < chunk.length;) {
        const slot = slots[at % slotCount]
        if (slot === undefined) return
        if (filled === 0) await slot.free
        const part = chunk.subarray(from, from + slotBytes - filled)
        slot.bytes.set(part, filled)
        filled += part.length
        from += part.length
        if (filled === slotBytes) send()
      }
    },
    finish: async () => {
      send()
      await Promise.all(slots.map(({ free }) => free))
      return digester.finish()
    },
    /** After it nothing is being written. */
    dispose: async () => {
      digester.drop()
      await written.catch(() => undefined)
    },
  }
}

/** Creates the file; it must not exist. */
export const make = async (path: string): Promise<FileWriter> => {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644)
  let size = 0
  let held: Array<Uint8Array> = []
  let heldBytes = 0
  let long: Awaited<ReturnType<typeof ring>> | undefined

  /** Gives what is held to the slots. */
  const swap = async () => {
    const chunks = held
    held = []
    heldBytes = 0
    long ??= await ring(file)
    for (const chunk of chunks) await long.take(chunk)
  }

  return {
    path,
    write: (chunk) => {
      held.push(chunk)
      heldBytes += chunk.length
      size += chunk.length
      return heldBytes < slotBytes ? undefined : swap()
    },
    flush: async () => {
      if (long !== undefined) {
        await swap()
        return { size, digest: await long.finish() }
      }
      const hash = Digest.start()
      for (const chunk of held) hash.update(chunk)
      await writeAll(file, held)
      return { size, digest: Digest.finish(hash) }
    },
    seal: async (trailer, sync) => {
      await writeAll(file, [trailer])
      if (sync) await file.sync()
    },
    modified: async () => Number((await file.stat({ bigint: true })).mtimeNs / 1000n),
    dispose: async () => {
      await long?.dispose()
      // What was stored is stored; a file that stays behind goes when the store is opened again.
      await file.close().catch(() => undefined)
      await rm(path, { force: true }).catch(() => undefined)
    },
  }
}
