/** The digest of a tree of files: paths, kinds and contents. */
import { Digest } from "@ashlar/core"
import { createReadStream } from "node:fs"
import { lstat, readlink } from "node:fs/promises"
import { join } from "node:path"

/** A file as the digest sees it. */
export interface TreeFile {
  readonly path: string
  readonly mode: "100644" | "100755" | "120000"
  readonly digest: string
}

/** The SHA-256 of a file, read in pieces. */
export const digestOf = async (file: string): Promise<string> => {
  const hash = Digest.start()
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk)
  return Digest.finish(hash)
}

/** A file of the tree; undefined when it is not there, `other` for what git cannot hold. */
export const fileAt = async (
  root: string,
  path: string,
): Promise<TreeFile | "other" | undefined> => {
  const file = join(root, path)
  const stat = await lstat(file).catch(() => undefined)
  if (stat === undefined) return undefined
  if (stat.isSymbolicLink()) {
    return { path, mode: "120000", digest: Digest.of(await readlink(file)) }
  }
  if (!stat.isFile()) return "other"
  const mode = (stat.mode & 0o100) === 0 ? "100644" : "100755"
  return { path, mode, digest: await digestOf(file) }
}

/** The digest over files in any order. */
export const treeDigest = (files: ReadonlyArray<TreeFile>): string => {
  const hash = Digest.start()
  const sorted = files.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
  for (const { path, mode, digest } of sorted) hash.update(`${mode} ${digest} ${path}\0`)
  return Digest.finish(hash)
}

/** Reads files of a tree, some at a time. */
export const filesAt = async (
  root: string,
  paths: ReadonlyArray<string>,
): Promise<ReadonlyMap<string, TreeFile | "other">> => {
  const found = new Map<string, TreeFile | "other">()
  const left = [...paths]
  const worker = async (): Promise<void> => {
    for (let path = left.pop(); path !== undefined; path = left.pop()) {
      const file = await fileAt(root, path)
      if (file !== undefined) found.set(path, file)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return found
}
