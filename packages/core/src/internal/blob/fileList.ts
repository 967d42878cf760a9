/**
 * Walks an fs store's directories in key order, so that a page reads only what it shows.
 *
 * @module
 */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { isCode } from "./fsError.ts"
import { utf8Order } from "./input.ts"
import { keyPart } from "./layout.ts"

interface Child {
  readonly path: string
  /** The key so far, as UTF-8 bytes. */
  readonly key: string
  readonly isDirectory: boolean
}

const children = async (directory: string, parent: string): Promise<Array<Child>> => {
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    // Removed since its parent was read.
    if (isCode(cause, "ENOENT", "ENOTDIR")) return []
    throw cause
  })
  const list: Array<Child> = []
  for (const entry of entries) {
    const isDirectory = entry.isDirectory()
    // Symbolic links are neither: what they point at is not ours to show.
    if (!isDirectory && !entry.isFile()) continue
    const part = keyPart(entry.name, isDirectory)
    if (part === undefined) continue
    list.push({ path: join(directory, entry.name), key: parent + part, isDirectory })
  }
  return list.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.isDirectory ? 1 : -1))
}

/** Keys that start with the prefix and come after the given one, in UTF-8 order. */
export async function* walk(
  blobs: string,
  prefix: string,
  after: string | undefined,
): AsyncGenerator<string> {
  const start = utf8Order(prefix)
  const from = after === undefined ? undefined : utf8Order(after)

  /** Whether keys that start with `key` can be wanted. */
  const isOpen = (key: string) =>
    (key.length < start.length ? start.startsWith(key) : key.startsWith(start)) &&
    (from === undefined || key > from || from.startsWith(key))

  const visit = async function* (directory: string, parent: string): AsyncGenerator<string> {
    for (const child of await children(directory, parent)) {
      if (child.isDirectory) {
        if (isOpen(child.key)) yield* visit(child.path, child.key)
      } else if (child.key.startsWith(start) && (from === undefined || child.key > from)) {
        yield Buffer.from(child.key, "latin1").toString("utf8")
      }
    }
  }
  yield* visit(blobs, "")
}
