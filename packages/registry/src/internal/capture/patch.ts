/** What a patch from somebody else would do, before git does it. */
import { inflateSync, constants } from "node:zlib"
import { RegistryError } from "../../RegistryError.ts"

const refused = (why: string): RegistryError =>
  new RegistryError({
    reason: "PermissionDenied",
    field: "ashlar/source.patch",
    message: `the patch is refused: ${why}`,
  })

const alphabet =
  "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"

/** The bytes of a line of git's base 85: a length, then groups of five. */
const decodeLine = (line: string): Buffer => {
  const first = line.charCodeAt(0)
  const length = first >= 97 ? first - 97 + 27 : first - 65 + 1
  const bytes: Array<number> = []
  for (let at = 1; at + 5 <= line.length; at += 5) {
    let value = 0
    for (const letter of line.slice(at, at + 5)) value = value * 85 + alphabet.indexOf(letter)
    bytes.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255)
  }
  return Buffer.from(bytes.slice(0, Math.max(0, length)))
}

/** The size of what a delta makes: its second number. */
const resultSize = (lines: ReadonlyArray<string>): number => {
  const packed = Buffer.concat(lines.map(decodeLine))
  const delta = inflateSync(packed, {
    finishFlush: constants.Z_SYNC_FLUSH,
    maxOutputLength: 1 << 20,
  })
  let at = 0
  const number = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = delta[at++]
      if (byte === undefined || scale > 2 ** 49) throw refused("a binary change is malformed")
      value += (byte & 127) * scale
      if (byte < 128) return value
    }
  }
  number()
  return number()
}

/**
 * Refuses a patch that makes more bytes than a limit (a small binary change can make very many), or
 * copies and renames, which captured patches do not. Where files may lie git checks itself.
 */
export const inspectPatch = (patch: Buffer, limit: number): void => {
  let made = patch.length
  const lines = patch.toString("latin1").split("\n")
  for (const [index, line] of lines.entries()) {
    if (/^(?:copy|rename) (?:from|to) /.test(line)) throw refused("it copies or renames files")
    const [, kind, size = ""] = /^(literal|delta) (\d{1,15})$/.exec(line) ?? []
    if (kind === undefined) continue
    try {
      // A delta's numbers are in the first bytes of its data.
      made +=
        kind === "literal"
          ? Number(size)
          : resultSize(
              lines
                .slice(index + 1, index + 21)
                .filter((text) => /^[A-Za-z](?:[^\s]{5})+$/.test(text)),
            )
    } catch (error) {
      throw error instanceof RegistryError ? error : refused("a binary change is malformed")
    }
    if (made > limit) throw refused(`it makes more than ${limit} bytes`)
  }
}
