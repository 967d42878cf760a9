/* oxlint-disable typescript/no-non-null-assertion -- every index here is computed from lengths */
/** Text columns as dictionary codes, without making a string for every row. */
import * as Arrow from "apache-arrow"
import { isVarWidth, make, offsets32, tooMuchText, validity } from "./arrowData.ts"
import { invalid } from "./datasetError.ts"

/** Codes by row, -1 for null, and the distinct values in order of first appearance. */
export interface Codes {
  readonly codes: Int32Array
  readonly values: ReadonlyArray<string>
}

/** True for strings in any layout, also behind a dictionary. */
export const isText = (type: Arrow.DataType): boolean =>
  Arrow.DataType.isUtf8(type) ||
  Arrow.DataType.isLargeUtf8(type) ||
  Arrow.DataType.isUtf8View(type) ||
  (Arrow.DataType.isDictionary(type) && isText(type.dictionary))

/** Distinct byte strings in an open-addressing table; the bytes live in one growing pool. */
class Interner {
  private slots = new Int32Array(1024).fill(-1)
  private hashes = new Int32Array(512)
  private ends = new Int32Array(513)
  private pool = Buffer.alloc(8192)
  private count = 0

  /** The code of the bytes, new or known. */
  intern(bytes: Uint8Array, from: number, to: number): number {
    let hash = 0x811c9dc5 | 0
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
    hash ^= hash >>> 15
    const mask = this.slots.length - 1
    let slot = hash & mask
    for (;;) {
      const code = this.slots[slot]!
      if (code < 0) break
      if (this.hashes[code] === hash && this.same(code, bytes, from, to)) return code
      slot = (slot + 1) & mask
    }
    return this.add(hash, slot, bytes, from, to)
  }

  private same(code: number, bytes: Uint8Array, from: number, to: number): boolean {
    const start = this.ends[code]!
    if (this.ends[code + 1]! - start !== to - from) return false
    for (let i = from, k = start; i < to; i++, k++) if (this.pool[k] !== bytes[i]) return false
    return true
  }

  private add(hash: number, slot: number, bytes: Uint8Array, from: number, to: number): number {
    const code = this.count++
    const start = this.ends[code]!
    if (start + to - from > this.pool.length) {
      const grown = Buffer.alloc(Math.max(this.pool.length * 2, start + to - from))
      grown.set(this.pool)
      this.pool = grown
    }
    this.pool.set(bytes.subarray(from, to), start)
    this.ends[code + 1] = start + to - from
    this.hashes[code] = hash
    this.slots[slot] = code
    // Grown while there still is a free place: the next entry writes before it looks.
    if (this.count * 2 >= this.slots.length) this.grow()
    return code
  }

  private grow(): void {
    const size = this.slots.length * 2
    const hashes = new Int32Array(size / 2)
    const ends = new Int32Array(size / 2 + 1)
    hashes.set(this.hashes.subarray(0, this.count))
    ends.set(this.ends.subarray(0, this.count + 1))
    this.hashes = hashes
    this.ends = ends
    this.slots = new Int32Array(size).fill(-1)
    for (let code = 0; code < this.count; code++) {
      let slot = hashes[code]! & (size - 1)
      while (this.slots[slot]! >= 0) slot = (slot + 1) & (size - 1)
      this.slots[slot] = code
    }
  }

  values(): Array<string> {
    return Array.from({ length: this.count }, (_, i) =>
      this.pool.toString("utf8", this.ends[i], this.ends[i + 1]),
    )
  }
}

/** The chunk as offsets and bytes, whatever its layout. */
const asUtf8 = (data: Arrow.Data): Arrow.Data => {
  if (isVarWidth(data.type)) return data
  const vector = Arrow.makeVector(data)
  const rows = Array.from({ length: data.length }, (_, i): string | null => vector.get(i))
  return fromStrings(rows)
}

/** Dictionary codes of a text column. Unused entries of a stored dictionary are left out. */
export const encode = (chunks: ReadonlyArray<Arrow.Data>): Codes => {
  const codes = new Int32Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  const table = new Interner()
  let row = 0
  for (const chunk of chunks) {
    const valid = validity(chunk)
    if (Arrow.DataType.isDictionary(chunk.type)) {
      const entries = (chunk.dictionary?.data ?? []).map(asUtf8)
      const size = entries.reduce((sum, entry) => sum + entry.length, 0)
      const map = new Int32Array(size).fill(-2)
      for (let i = 0; i < chunk.length; i++) {
        if (valid !== undefined && valid[i] === 0) {
          codes[row++] = -1
          continue
        }
        const local = Number(chunk.values[i])
        let code = map[local] ?? -2
        if (code === -2) {
          code = internEntry(table, entries, local)
          map[local] = code
        }
        codes[row++] = code
      }
    } else {
      const text = asUtf8(chunk)
      const bytes: Uint8Array = text.values
      const offsets = offsets32(text)
      for (let i = 0; i < chunk.length; i++) {
        codes[row++] =
          valid !== undefined && valid[i] === 0
            ? -1
            : table.intern(bytes, offsets[i]!, offsets[i + 1]!)
      }
    }
  }
  return { codes, values: table.values() }
}

const internEntry = (
  table: Interner,
  entries: ReadonlyArray<Arrow.Data>,
  index: number,
): number => {
  let local = index
  for (const entry of entries) {
    if (local < entry.length) {
      const offsets = offsets32(entry)
      return table.intern(entry.values, offsets[local]!, offsets[local + 1]!)
    }
    local -= entry.length
  }
  throw invalid("codes", `dictionary code ${index} has no value; the column is damaged`)
}

/** A `Utf8` column; `null` is a null. */
export const fromStrings = (rows: ReadonlyArray<string | null | undefined>): Arrow.Data => {
  const offsets = new Int32Array(rows.length + 1)
  const valid = new Uint8Array(rows.length)
  let bytes = Buffer.allocUnsafe(Math.max(64, rows.length * 8))
  let at = 0
  for (let i = 0; i < rows.length; i++) {
    const value = rows[i]
    if (typeof value === "string") {
      valid[i] = 1
      if (at + value.length * 3 > bytes.length) {
        const grown = Buffer.allocUnsafe(bytes.length * 2 + value.length * 3)
        bytes.copy(grown, 0, 0, at)
        bytes = grown
      }
      at += bytes.write(value, at)
      // Offsets have 32 bits: past them the rows after would silently point elsewhere.
      if (at > 0x7fffffff) throw tooMuchText()
    } else if (value !== null && value !== undefined) {
      throw invalid(`[${i}]`, `row ${i} is a ${typeof value}, not a string; use null for no value`)
    }
    offsets[i + 1] = at
  }
  return make(new Arrow.Utf8(), rows.length, { values: bytes.subarray(0, at), offsets, valid })
}

/** `LargeUtf8` as `Utf8`; other data as it is. */
export const narrow = (data: Arrow.Data): Arrow.Data =>
  Arrow.DataType.isLargeUtf8(data.type)
    ? make(new Arrow.Utf8(), data.length, {
        values: data.values,
        offsets: offsets32(data),
        valid: validity(data),
      })
    : data
