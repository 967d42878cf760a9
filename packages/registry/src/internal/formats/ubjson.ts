/** Universal Binary JSON, read selectively: members nobody asks for are skipped. https://ubjson.org */
import { viewOf } from "../wire.ts"
import { Fault, type Source, text } from "./source.ts"

const widths: Readonly<Record<string, number>> = {
  Z: 0,
  N: 0,
  T: 0,
  F: 0,
  i: 1,
  U: 1,
  C: 1,
  I: 2,
  l: 4,
  d: 4,
  L: 8,
  D: 8,
}

const maxValues = 4_000_000
const maxDepth = 64

/** A parser over a file; `keep` says by path which members are wanted. */
class Parser {
  readonly #source: Source
  readonly #skip: (path: string) => boolean
  #at = 0
  #values = 0

  constructor(source: Source, skip: (path: string) => boolean) {
    this.#source = source
    this.#skip = skip
  }

  async value(path: string, depth: number): Promise<unknown> {
    return this.#typed(await this.#marker(path), path, depth)
  }

  async #marker(path: string): Promise<string> {
    const [byte = 0] = await this.#take(1, path)
    return String.fromCharCode(byte)
  }

  async #take(length: number, path: string): Promise<Uint8Array> {
    const bytes = await this.#source.bytes(this.#at, length, path)
    this.#at += length
    return bytes
  }

  async #scalar(marker: string, path: string): Promise<unknown> {
    const bytes = await this.#take(widths[marker] ?? 0, path)
    const view = viewOf(bytes)
    switch (marker) {
      case "Z":
      case "N":
        return null
      case "T":
        return true
      case "F":
        return false
      case "i":
        return view.getInt8(0)
      case "U":
        return view.getUint8(0)
      case "C":
        return String.fromCharCode(view.getUint8(0))
      case "I":
        return view.getInt16(0)
      case "l":
        return view.getInt32(0)
      case "d":
        return view.getFloat32(0)
      case "D":
        return view.getFloat64(0)
      default: {
        const value = Number(view.getBigInt64(0))
        if (!Number.isSafeInteger(value)) throw new Fault(path, "holds a number beyond 2^53")
        return value
      }
    }
  }

  async #count(path: string): Promise<number> {
    const marker = await this.#marker(path)
    const value = "iUIlL".includes(marker) ? await this.#scalar(marker, path) : undefined
    if (typeof value === "number" && value >= 0) return value
    throw new Fault(path, `has a length of the type ${JSON.stringify(marker)}, or a negative one`)
  }

  async #key(path: string): Promise<string> {
    const length = await this.#count(path)
    if (length > 4096) throw new Fault(path, "has a key of over 4096 bytes", "TooLarge")
    return text(await this.#take(length, path), path)
  }

  async #typed(marker: string, path: string, depth: number): Promise<unknown> {
    if (++this.#values > maxValues) {
      throw new Fault(path, `lies beyond the first ${maxValues} values`, "TooLarge")
    }
    if (depth > maxDepth) throw new Fault(path, `nests deeper than ${maxDepth} levels`, "TooLarge")
    const skip = this.#skip(path)
    if (marker === "S" || marker === "H") {
      const length = await this.#count(path)
      if (!skip) return text(await this.#take(length, path), path, 1 << 20)
      return this.#jump(length, path)
    }
    if (marker === "{" || marker === "[") return this.#container(marker, path, depth)
    if (Object.hasOwn(widths, marker)) return this.#scalar(marker, path)
    throw new Fault(path, `has the type ${JSON.stringify(marker)}, which UBJSON does not know`)
  }

  #jump(length: number, path: string): undefined {
    if (this.#at + length > this.#source.size) {
      throw new Fault(path, `ends at byte ${this.#at + length}, the file has ${this.#source.size}`)
    }
    this.#at += length
    return undefined
  }

  async #container(open: "{" | "[", path: string, depth: number): Promise<unknown> {
    const skip = this.#skip(path)
    const close = open === "{" ? "}" : "]"
    let type: string | undefined
    let count: number | undefined
    let next = await this.#marker(path)
    if (next === "$") {
      type = await this.#marker(path)
      next = await this.#marker(path)
      if (next !== "#") throw new Fault(path, "gives a type without a count")
    }
    if (next === "#") count = await this.#count(path)
    else this.#at -= 1
    const width = type === undefined ? undefined : widths[type]
    if (open === "[" && width !== undefined && count !== undefined && skip) {
      return this.#jump(width * count, path)
    }
    const entries: Array<readonly [string, unknown]> = []
    const items: Array<unknown> = []
    for (let i = 0; count === undefined || i < count; i++) {
      if (count === undefined) {
        const marker = await this.#marker(path)
        if (marker === close) break
        if (marker === "N") continue
        this.#at -= 1
      }
      if (open === "{") {
        const name = await this.#key(path)
        const where = path === "" ? name : `${path}.${name}`
        const value = await this.#typed(type ?? (await this.#marker(where)), where, depth + 1)
        if (!skip) entries.push([name, value])
      } else {
        const value = await this.#typed(type ?? (await this.#marker(path)), path, depth + 1)
        if (!skip) items.push(value)
      }
    }
    if (skip) return undefined
    return open === "[" ? items : Object.fromEntries(entries)
  }
}

/** Reads a document; what `skip` says yes to becomes `undefined`. */
export const read = (source: Source, skip: (path: string) => boolean): Promise<unknown> =>
  new Parser(source, skip).value("", 0)
