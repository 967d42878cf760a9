/** ASCII letters in lower case; others stay, so that every database agrees. */
export const folded = (text: string): string =>
  text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())

/**
 * SQL's LIKE: `%` is any text, `_` any one character, nothing escapes them. Case matters. Takes at
 * most the product of both lengths.
 */
export const like = (text: string, pattern: string): boolean => {
  const chars = [...text]
  const parts = [...pattern]
  let at = 0
  let part = 0
  let retry = -1
  let from = 0
  while (at < chars.length) {
    if (parts[part] === "%") {
      retry = part
      from = at
      part += 1
    } else if (part < parts.length && (parts[part] === "_" || parts[part] === chars[at])) {
      at += 1
      part += 1
    } else if (retry !== -1) {
      from += 1
      at = from
      part = retry + 1
    } else return false
  }
  while (parts[part] === "%") part += 1
  return part === parts.length
}

/** A LIKE pattern as a GLOB pattern, which minds the case on SQLite. */
export const glob = (pattern: string): string =>
  pattern.replace(/[%_*?[]/g, (char) => (char === "%" ? "*" : char === "_" ? "?" : `[${char}]`))
