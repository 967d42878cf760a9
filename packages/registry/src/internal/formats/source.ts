/** Bounded random access to a file, and the fault every format reader throws. */
import * as fs from "node:fs/promises"
import * as path from "node:path"

/** A file that breaks a rule of its format: where, which rule, and what kind of failure it is. */
export class Fault extends Error {
  readonly field: string
  readonly reason: "InvalidInput" | "TooLarge"

  constructor(field: string, rule: string, reason: Fault["reason"] = "InvalidInput") {
    super(rule)
    this.field = field === "" ? "file" : field
    this.reason = reason
  }
}

/** Largest piece held in memory at once, and most bytes read of one file. */
export const limits = { piece: 64 << 20, total: 256 << 20, text: 4096 } as const

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** UTF-8 text of at most `limit` bytes. */
export const text = (bytes: Uint8Array, field: string, limit: number = limits.text): string => {
  if (bytes.length > limit) {
    throw new Fault(field, `has ${bytes.length} bytes, at most ${limit} are read`, "TooLarge")
  }
  try {
    return utf8.decode(bytes)
  } catch {
    throw new Fault(field, "is not UTF-8")
  }
}

/** A file, read through a window. */
export class Source {
  readonly file: string
  readonly size: number
  readonly #handle: fs.FileHandle
  #window = new Uint8Array(0)
  #at = 0
  #total = 0

  constructor(file: string, size: number, handle: fs.FileHandle) {
    this.file = file
    this.size = size
    this.#handle = handle
  }

  /** `length` bytes from `start`; valid also after later reads. */
  async bytes(start: number, length: number, field: string): Promise<Uint8Array> {
    if (start + length > this.size) {
      throw new Fault(
        field,
        `ends at byte ${start + length}, the file has ${this.size}: it is cut short or not of this format`,
      )
    }
    const from = start - this.#at
    if (from >= 0 && from + length <= this.#window.length) {
      return this.#window.subarray(from, from + length)
    }
    if (length > limits.piece) {
      throw new Fault(field, `has ${length} bytes, at most ${limits.piece} are read`, "TooLarge")
    }
    // Sequential readers get large windows; after a jump little is read, the next jump may follow.
    const ahead = from >= 0 && from <= this.#window.length ? 64 << 10 : 4 << 10
    const wanted = Math.min(Math.max(length, ahead), this.size - start)
    this.#total += wanted
    if (this.#total > limits.total) {
      throw new Fault(field, `lies beyond the ${limits.total} bytes read of a header`, "TooLarge")
    }
    const window = new Uint8Array(wanted)
    for (let done = 0; done < wanted;) {
      const { bytesRead } = await this.#handle.read(window, done, wanted - done, start + done)
      if (bytesRead === 0) throw new Fault(field, "ends early: the file was cut while it was read")
      done += bytesRead
    }
    this.#window = window
    this.#at = start
    return window.subarray(0, length)
  }

  /** The first bytes, fewer when the file is shorter. */
  head(length: number): Promise<Uint8Array> {
    return this.bytes(0, Math.min(length, this.size), "file")
  }
}

/** Opens a regular file, following no pipe or device, and closes it after `use`. */
export const withFile = async <A>(
  file: string,
  use: (source: Source) => Promise<A>,
): Promise<A> => {
  const stat = await fs.stat(file)
  if (!stat.isFile()) throw new Fault("file", "is no regular file; give a file or a directory")
  const handle = await fs.open(file, "r")
  try {
    return await use(new Source(file, (await handle.stat()).size, handle))
  } finally {
    await handle.close()
  }
}

/** Why a path that a model names is refused; `undefined` when it stays inside the directory. */
export const pathFault = (name: string): string | undefined => {
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  if (name === "" || name.length > 1024 || /[\\\u0000-\u001f\u007f]/.test(name)) {
    return "is no path of 1 to 1024 characters without backslash and control characters"
  }
  if (/^[A-Za-z]:|^\//.test(name)) return "is absolute; a model names files relative to itself"
  return name.split("/").some((part) => part === "" || part === "..")
    ? "leaves the model's directory, or has an empty part"
    : undefined
}

/** The size of a file that a model names, which must lie inside the model's directory. */
export const sizeInside = async (
  directory: string,
  name: string,
  field: string,
): Promise<number | undefined> => {
  const fault = pathFault(name)
  if (fault !== undefined) {
    throw new Fault(field, `${JSON.stringify(name.slice(0, 200))} ${fault}`)
  }
  const root = await fs.realpath(directory)
  const real = await fs.realpath(path.join(root, name)).catch(() => undefined)
  if (real === undefined) return undefined
  if (!real.startsWith(root.endsWith(path.sep) ? root : root + path.sep)) {
    throw new Fault(field, `${JSON.stringify(name)} is a link that leaves the model's directory`)
  }
  const stat = await fs.stat(real)
  if (!stat.isFile()) throw new Fault(field, `${JSON.stringify(name)} is no regular file`)
  return stat.size
}
