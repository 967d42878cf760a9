/** Writes untracked files from somebody else's archive below a directory, and nowhere else. */
import { Digest } from "@ashlar/core"
import { constants } from "node:fs"
import { lstat, mkdir, open, readdir, readlink, symlink } from "node:fs/promises"
import { join } from "node:path"
import { RegistryError } from "../../RegistryError.ts"
import { staysInside } from "./collect.ts"
import type { Source } from "./source.ts"
import { readTar, type TarEntry } from "./tar.ts"

const refused = (path: string, why: string): RegistryError =>
  new RegistryError({
    reason: "PermissionDenied",
    field: "ashlar/untracked.tar",
    message: `${JSON.stringify(path.slice(0, 300))} is refused: ${why}`,
  })

/** Throws for a path that leads elsewhere, or that git or the system would read as something else. */
export const checkPath = (path: string): void => {
  const parts = path.split("/")
  if (path.length === 0 || path.length > 4096)
    throw refused(path, "a path has 1 to 4096 characters")
  if (
    path.startsWith("/") ||
    /^[A-Za-z]:/.test(path) ||
    path.includes("\0") ||
    path.includes("\\")
  ) {
    throw refused(path, "a path is relative, with '/' between names")
  }
  for (const part of parts) {
    if (part === "" || part === "." || part === "..") {
      throw refused(path, "a path has no empty parts, '.' and '..'")
    }
    // Also as file systems that fold case, ignore some letters or shorten names read it.
    const folded = part
      .normalize("NFKC")
      .replaceAll(/[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g, "")
    if (/^(?:\.git[ .]*|git~\d+)$/i.test(folded)) throw refused(path, "it is git's own")
  }
}

const makeFolder = async (root: string, path: string): Promise<void> => {
  let folder = root
  for (const part of path.split("/").slice(0, -1)) {
    folder = join(folder, part)
    await mkdir(folder).catch(async () => {
      const stat = await lstat(folder).catch(() => undefined)
      if (stat?.isDirectory() !== true)
        throw refused(path, "a folder on its way is none, or is a link")
    })
  }
}

const writeEntry = async (root: string, { path, mode, content }: TarEntry): Promise<void> => {
  await makeFolder(root, path)
  const target = join(root, path)
  if (mode === "120000") return symlink(Buffer.from(content).toString("utf8"), target)
  const handle = await open(
    target,
    // Never through a link, never over a file.
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0),
    mode === "100755" ? 0o755 : 0o644,
  ).catch((cause: unknown) => {
    throw refused(path, cause instanceof Error ? cause.message : String(cause))
  })
  try {
    await handle.writeFile(content)
  } finally {
    await handle.close()
  }
}

/** Unpacks the archive, which must hold exactly the files that the source lists as stored. */
export const unpack = async (
  root: string,
  archive: Buffer,
  listed: Source["untracked"],
): Promise<ReadonlyArray<string>> => {
  const expected = new Map(listed.flatMap((file) => (file.stored ? [[file.path, file]] : [])))
  const entries = readTar(archive, expected.size)
  for (const { path, mode, content } of entries) {
    checkPath(path)
    const file = expected.get(path)
    expected.delete(path)
    if (file === undefined || file.mode !== mode || file.digest !== Digest.of(content)) {
      throw refused(path, "the run's record does not list this file so, or twice")
    }
    if (mode === "120000" && !staysInside(path, Buffer.from(content).toString("utf8"))) {
      throw refused(path, "a link that leaves the tree")
    }
  }
  const [missing] = expected.keys()
  if (missing !== undefined) throw refused(missing, "it is listed and not in the archive")
  const isLink = ({ mode }: TarEntry) => mode === "120000"
  // Links last: nothing is written through one.
  for (const entry of entries.filter((one) => !isLink(one))) await writeEntry(root, entry)
  for (const entry of entries.filter(isLink)) await writeEntry(root, entry)
  return entries.map(({ path }) => path)
}

/** Symbolic links below a directory, git's own files left out. */
export const linksIn = async (root: string, below = ""): Promise<ReadonlyMap<string, string>> => {
  const found = new Map<string, string>()
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`
    if (path === ".git") continue
    if (entry.isSymbolicLink()) found.set(path, await readlink(join(root, path)))
    else if (entry.isDirectory()) {
      for (const [inner, target] of await linksIn(root, path)) found.set(inner, target)
    }
  }
  return found
}
