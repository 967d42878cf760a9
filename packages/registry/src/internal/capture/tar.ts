/** Tar archives (POSIX.1-2001, pax) of files and links below one directory. */
import { RegistryError } from "../../RegistryError.ts"

/** A file or a link of an archive. */
export interface TarEntry {
  readonly path: string
  readonly mode: "100644" | "100755" | "120000"
  /** Bytes, or a link's target. */
  readonly content: Uint8Array
}

const block = 512

const octal = (value: number, length: number): string =>
  `${value.toString(8).padStart(length - 1, "0")}\0`

const headerOf = (name: Buffer, type: string, mode: number, size: number, link: Buffer): Buffer => {
  const header = Buffer.alloc(block)
  name.copy(header, 0, 0, 100)
  header.write(octal(mode, 8), 100)
  header.write(octal(0, 8), 108)
  header.write(octal(0, 8), 116)
  header.write(octal(size, 12), 124)
  // No times: equal trees give equal archives.
  header.write(octal(0, 12), 136)
  header.write("        ", 148)
  header.write(type, 156)
  link.copy(header, 157, 0, 100)
  header.write("ustar\x0000", 257)
  let sum = 0
  for (const byte of header) sum += byte
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return header
}

const padded = (content: Uint8Array): ReadonlyArray<Uint8Array> => [
  content,
  Buffer.alloc((block - (content.length % block)) % block),
]

const paxRecord = (key: string, value: string): string => {
  const rest = ` ${key}=${value}\n`
  const bytes = Buffer.byteLength(rest)
  let length = bytes + 1
  while (String(length).length + bytes !== length) length = String(length).length + bytes
  return `${length}${rest}`
}

// oxlint-disable-next-line no-control-regex -- what a ustar header can hold
const isPlain = (text: Buffer): boolean =>
  text.length <= 100 && /^[\x20-\x7e]*$/.test(text.toString())

/** The archive of entries, in their order. */
export const writeTar = (entries: ReadonlyArray<TarEntry>): Buffer => {
  const parts: Array<Uint8Array> = []
  const none = Buffer.alloc(0)
  for (const { path, mode, content } of entries) {
    const name = Buffer.from(path)
    const link = mode === "120000" ? Buffer.from(content) : none
    if (!isPlain(name) || !isPlain(link)) {
      const pax = Buffer.from(
        paxRecord("path", path) + (link.length === 0 ? "" : paxRecord("linkpath", link.toString())),
      )
      parts.push(headerOf(Buffer.from("pax"), "x", 0o644, pax.length, none), ...padded(pax))
    }
    if (mode === "120000") parts.push(headerOf(name, "2", 0o777, 0, link))
    else {
      const bits = mode === "100755" ? 0o755 : 0o644
      parts.push(headerOf(name, "0", bits, content.length, none), ...padded(content))
    }
  }
  parts.push(Buffer.alloc(2 * block))
  return Buffer.concat(parts)
}

const corrupt = (at: number, why: string): RegistryError =>
  new RegistryError({
    reason: "Corrupt",
    field: "ashlar/untracked.tar",
    message: `the archive of untracked files, at byte ${at}: ${why}`,
  })

const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0)
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("utf8")
}

const paxOf = (content: Buffer, at: number): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (let from = 0; from < content.length;) {
    const space = content.indexOf(32, from)
    const length = space < 0 ? 0 : Number(content.toString("ascii", from, space))
    if (!(length > space - from && from + length <= content.length)) {
      throw corrupt(at, "a pax header is malformed")
    }
    const record = content.toString("utf8", space + 1, from + length - 1)
    const equals = record.indexOf("=")
    found.set(record.slice(0, equals), record.slice(equals + 1))
    from += length
  }
  return found
}

/** The files and links of an archive; throws for anything else in it, and for damage. */
export const readTar = (archive: Buffer, maxEntries: number): ReadonlyArray<TarEntry> => {
  const entries: Array<TarEntry> = []
  let pax: ReadonlyMap<string, string> = new Map()
  for (let at = 0; at + block <= archive.length;) {
    const header = archive.subarray(at, at + block)
    if (header.every((byte) => byte === 0)) return entries
    let sum = 8 * 32
    for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 0 : byte
    const stated = Number.parseInt(text(header.subarray(148, 156)).trim(), 8)
    if (stated !== sum) throw corrupt(at, "a header's checksum does not hold")
    const sizeText = text(header.subarray(124, 136)).trim()
    const size = Number.parseInt(sizeText, 8)
    const end = at + block + size
    if (!/^[0-7]{1,11}$/.test(sizeText) || end > archive.length) {
      throw corrupt(at, "a file is longer than the archive")
    }
    const content = archive.subarray(at + block, end)
    const type = String.fromCharCode(header[156] ?? 0)
    const next = end + ((block - (size % block)) % block)
    if (type === "x") {
      pax = paxOf(content, at)
      if (pax.has("size")) throw corrupt(at, "a file has more than 8 GiB")
      at = next
      continue
    }
    const prefix = text(header.subarray(345, 500))
    const name = text(header.subarray(0, 100))
    const path = pax.get("path") ?? (prefix === "" ? name : `${prefix}/${name}`)
    if (type === "2") {
      const link = pax.get("linkpath") ?? text(header.subarray(157, 257))
      entries.push({ path, mode: "120000", content: Buffer.from(link) })
    } else if (type === "0" || type === "\0") {
      const bits = Number.parseInt(text(header.subarray(100, 108)).trim(), 8)
      entries.push({ path, mode: (bits & 0o100) === 0 ? "100644" : "100755", content })
    } else {
      throw corrupt(
        at,
        `${JSON.stringify(path.slice(0, 200))} is neither a file nor a symbolic link`,
      )
    }
    if (entries.length > maxEntries) throw corrupt(at, `more than ${maxEntries} files`)
    pax = new Map()
    at = next
  }
  throw corrupt(archive.length, "it ends without its end mark")
}
