/** Event files read record by record, also while they are written. */
import { Failure, type Timestamp } from "@ashlar/core"
import * as Schema from "effect/Schema"
import * as fs from "node:fs/promises"
import * as EventFile from "./eventFile.ts"
import { Fault } from "./formats/source.ts"
import { viewOf } from "./wire.ts"

/** An event file cannot be read or written; `field` says where. */
export class TensorBoardError extends Schema.TaggedError<TensorBoardError>()(
  "TensorBoardError",
  Failure.fields(["InvalidInput", "NotFound", "TooLarge", "Corrupt", "OutOfSpace", "Unavailable"]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** An event of a file; what is neither a scalar nor of the hparams plugin is left out. */
export interface Event {
  readonly time: Timestamp.Timestamp
  readonly step: number
  readonly fileVersion?: string
  readonly scalars: ReadonlyArray<EventFile.Scalar>
  readonly hparams?: EventFile.Hparams
  /** Byte after the event: reading goes on from here when the file has grown. */
  readonly end: number
}

/** Largest record held in memory. Longer ones (images, graphs) are skipped. */
const maxRecord = 16 << 20

const chunkSize = 256 << 10

/** The error of a failed read or write. */
export const toError = (file: string, cause: unknown): TensorBoardError => {
  if (cause instanceof TensorBoardError) return cause
  if (cause instanceof Fault) {
    return new TensorBoardError({
      reason: cause.reason === "TooLarge" ? "TooLarge" : "Corrupt",
      message: `'${file}': ${cause.field} ${cause.message}. Import the file up to here, or write it again`,
      field: cause.field,
    })
  }
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : ""
  const reason =
    code === "ENOENT"
      ? "NotFound"
      : code === "ENOSPC" || code === "EDQUOT"
        ? "OutOfSpace"
        : "Unavailable"
  const message = `'${file}' cannot be accessed: ${String(cause)}`
  return new TensorBoardError({ reason, message, cause })
}

/** The events of a file from a byte, one record in memory at a time. */
export async function* events(file: string, from: number): AsyncGenerator<Event> {
  if (!(await fs.stat(file)).isFile()) throw new Fault("file", "is no regular file")
  const handle = await fs.open(file, "r")
  try {
    const decoder = new EventFile.Decoder()
    let buffer: Uint8Array = new Uint8Array(0)
    let at = from
    /** Bytes from `at`; fewer than asked for at the end of what is written. */
    const peek = async (length: number): Promise<Uint8Array> => {
      if (buffer.length >= length) return buffer
      const grown = new Uint8Array(Math.max(length, chunkSize))
      grown.set(buffer)
      let filled = buffer.length
      while (filled < grown.length) {
        const { bytesRead } = await handle.read(grown, filled, grown.length - filled, at + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      buffer = grown.subarray(0, filled)
      return buffer
    }
    for (;;) {
      const head = await peek(12)
      if (head.length < 12) return
      const where = `record at byte ${at}`
      const view = viewOf(head)
      if (view.getUint32(8, true) !== EventFile.maskedCrc(head.subarray(0, 8))) {
        throw new Fault(where, "has a length whose CRC does not fit")
      }
      const length = Number(view.getBigUint64(0, true))
      if (!Number.isSafeInteger(at + length + 16))
        throw new Fault(where, "is longer than 2^53 bytes")
      if (length > maxRecord) {
        if ((await handle.stat()).size < at + length + 16) return
        at += length + 16
        buffer = new Uint8Array(0)
        continue
      }
      const record = await peek(length + 16)
      if (record.length < length + 16) return
      const body = record.subarray(12, length + 12)
      if (viewOf(record).getUint32(length + 12, true) !== EventFile.maskedCrc(body)) {
        throw new Fault(where, "has bytes whose CRC does not fit")
      }
      const { wallTime, ...event } = decoder.decode(body)
      at += length + 16
      buffer = buffer.subarray(length + 16)
      yield { ...event, time: Math.round(wallTime * 1e6), end: at }
    }
  } finally {
    await handle.close()
  }
}
