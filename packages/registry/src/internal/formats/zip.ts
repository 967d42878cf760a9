/** The listing of a zip archive, from its central directory; with zip64. APPNOTE 6.3 */
import { inflateRawSync } from "node:zlib"
import { viewOf } from "../wire.ts"
import { Fault, type Source, text } from "./source.ts"

/** A file in an archive. */
export interface ZipEntry {
  readonly name: string
  readonly size: number
  readonly compressed: number
  readonly method: number
  readonly offset: number
}

const maxEntries = 100_000
const maxDirectory = 32 << 20

const wide = (view: DataView, at: number, field: string): number => {
  const value = Number(view.getBigUint64(at, true))
  if (!Number.isSafeInteger(value)) throw new Fault(field, "holds a number beyond 2^53")
  return value
}

/** Where the central directory lies. */
const locate = async (source: Source): Promise<{ start: number; size: number; count: number }> => {
  const tailSize = Math.min(source.size, 65_557)
  const tailStart = source.size - tailSize
  const tail = Buffer.from(await source.bytes(tailStart, tailSize, "zip"))
  const at = tail.lastIndexOf("PK\u0005\u0006", undefined, "latin1")
  if (at < 0 || at + 22 > tail.length) {
    throw new Fault("zip", "has no end of central directory: the file is cut short")
  }
  const view = viewOf(tail)
  const found = {
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    start: view.getUint32(at + 16, true),
  }
  if (found.count !== 0xffff && found.size !== 0xffffffff && found.start !== 0xffffffff)
    return found
  const locator = at - 20
  if (locator < 0 || view.getUint32(locator, true) !== 0x07064b50) return found
  const record = wide(view, locator + 8, "zip64 locator")
  const end = viewOf(await source.bytes(record, 56, "zip64 record"))
  if (end.getUint32(0, true) !== 0x06064b50) throw new Fault("zip64 record", "has no signature")
  return {
    count: wide(end, 32, "zip64 record"),
    size: wide(end, 40, "zip64 record"),
    start: wide(end, 48, "zip64 record"),
  }
}

/** Sizes and offset of an entry, where they say 'see the zip64 field'. */
const extended = (extra: Uint8Array, values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const view = viewOf(extra)
  for (let at = 0; at + 4 <= extra.length;) {
    const length = view.getUint16(at + 2, true)
    if (view.getUint16(at, true) === 1) {
      let next = at + 4
      return values.map((value) => {
        if (value !== 0xffffffff) return value
        if (next + 8 > Math.min(at + 4 + length, extra.length)) {
          throw new Fault("zip64 field", "is cut short")
        }
        next += 8
        return wide(view, next - 8, "zip64 field")
      })
    }
    at += 4 + length
  }
  return values
}

/** The files of an archive; names that leave it, and encrypted files, are refused. */
export const list = async (source: Source): Promise<ReadonlyArray<ZipEntry>> => {
  const { start, size, count } = await locate(source)
  if (count > maxEntries || size > maxDirectory) {
    throw new Fault("central directory", `has ${count} files in ${size} bytes`, "TooLarge")
  }
  const bytes = await source.bytes(start, size, "central directory")
  const view = viewOf(bytes)
  const entries: Array<ZipEntry> = []
  for (let at = 0, i = 0; i < count; i++) {
    const field = `central directory[${i}]`
    if (at + 46 > size || view.getUint32(at, true) !== 0x02014b50) {
      throw new Fault(field, "is cut short or has no signature")
    }
    const lengths = [28, 30, 32].map((offset) => view.getUint16(at + offset, true))
    const [nameLength = 0, extraLength = 0, commentLength = 0] = lengths
    const end = at + 46 + nameLength + extraLength
    if (end + commentLength > size) throw new Fault(field, "is cut short")
    if ((view.getUint16(at + 8, true) & 1) === 1) throw new Fault(field, "is encrypted")
    const name = text(bytes.subarray(at + 46, at + 46 + nameLength), `${field}.name`)
    if (/^\/|\\|^[A-Za-z]:/.test(name) || /(^|\/)\.\.(\/|$)/.test(name) || name.includes("\0")) {
      throw new Fault(`${field}.name`, `${JSON.stringify(name.slice(0, 100))} leaves the archive`)
    }
    const [full = 0, compressed = 0, offset = 0] = extended(
      bytes.subarray(at + 46 + nameLength, end),
      [24, 20, 42].map((position) => view.getUint32(at + position, true)),
    )
    if (offset + compressed > source.size) {
      throw new Fault(field, `ends beyond the file's ${source.size} bytes`)
    }
    entries.push({ name, size: full, compressed, method: view.getUint16(at + 10, true), offset })
    at = end + commentLength
  }
  const names = new Set(entries.map(({ name }) => name))
  if (names.size !== entries.length) {
    throw new Fault("central directory", "names a file twice, so that readers may disagree on it")
  }
  return entries
}

/** The content of an entry of at most `limit` bytes. */
export const readEntry = async (
  source: Source,
  entry: ZipEntry,
  limit: number,
): Promise<Uint8Array> => {
  if (entry.size > limit || entry.compressed > limit) {
    throw new Fault(entry.name, `has ${entry.size} bytes, at most ${limit} are read`, "TooLarge")
  }
  const head = viewOf(await source.bytes(entry.offset, 30, entry.name))
  if (head.getUint32(0, true) !== 0x04034b50) throw new Fault(entry.name, "has no local header")
  const start = entry.offset + 30 + head.getUint16(26, true) + head.getUint16(28, true)
  const bytes = await source.bytes(start, entry.compressed, entry.name)
  if (entry.method === 0) return bytes
  if (entry.method !== 8) throw new Fault(entry.name, `is compressed by method ${entry.method}`)
  try {
    return inflateRawSync(bytes, { maxOutputLength: limit })
  } catch (cause) {
    throw new Fault(entry.name, `cannot be inflated: ${String(cause)}`)
  }
}
