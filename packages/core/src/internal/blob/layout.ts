/**
 * How keys become paths. Each segment of a key is a directory and the last a file whose name starts
 * with `@`, so that `a` and `a/b` can both exist. Names keep `a-z 0-9 _ - .`; every other byte, and
 * so every upper-case letter, is written `%xx`: two keys never meet on a file system that folds case
 * or normalises Unicode. A segment too long for a name is cut, and the pieces nest in directories
 * that end in `+`.
 *
 * @module
 */
import { utf8Order } from "./input.ts"

const plain = /^[a-z0-9_.-]$/
const reserved = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/
/** 80 bytes are at most 240 encoded; file systems take names of 255. */
const pieceBytes = 80

const escapeByte = (char: string) => `%${char.charCodeAt(0).toString(16).padStart(2, "0")}`

/** The encoded units (one a byte) of a segment. */
const units = (segment: string): Array<string> => {
  const list = Array.from(utf8Order(segment), (char) =>
    plain.test(char) ? char : escapeByte(char),
  )
  const first = list[0]
  // Windows refuses device names and names that end in a dot.
  if (first !== undefined && first.length === 1 && reserved.test(segment)) {
    list[0] = escapeByte(first)
  }
  const last = list.at(-1)
  if (last === ".") list[list.length - 1] = escapeByte(last)
  return list
}

/** Pieces of one segment as names: all but the last are `...+` directories. */
const pieces = (segment: string): Array<string> => {
  const bytes = units(segment)
  const names: Array<string> = []
  // Cut after a fixed count of bytes, so that all keys which share those bytes share the directory
  // and a walk still meets them in order; the last piece may therefore be empty.
  let at = 0
  for (; bytes.length - at >= pieceBytes; at += pieceBytes) {
    names.push(`${bytes.slice(at, at + pieceBytes).join("")}+`)
  }
  return [...names, bytes.slice(at).join("")]
}

/** Path of a key's file, relative to the blobs' directory, as its segments. */
export const pathOf = (key: string): Array<string> => {
  const segments = key.split("/")
  return segments.flatMap((segment, index) => {
    const names = pieces(segment)
    const last = names.pop() ?? ""
    const isFile = index === segments.length - 1
    return [...names, isFile ? `@${last}` : last === "" ? "%" : last]
  })
}

const encoded = /^(?:[a-z0-9_.-]|%[0-9a-f]{2})*$/

const unescape = (name: string): string | undefined =>
  encoded.test(name)
    ? name.replaceAll(/%([0-9a-f]{2})/g, (_, hex: string) =>
        String.fromCharCode(Number.parseInt(hex, 16)),
      )
    : undefined

/**
 * What a name in a blobs' directory adds to the key of its parent, as a string of UTF-8 bytes;
 * `undefined` for names this library did not make.
 */
export const keyPart = (name: string, isDirectory: boolean): string | undefined => {
  if (!isDirectory) return name.startsWith("@") ? unescape(name.slice(1)) : undefined
  if (name === "%") return "/"
  if (name.endsWith("+")) return unescape(name.slice(0, -1))
  const part = unescape(name)
  return part === undefined ? undefined : `${part}/`
}
