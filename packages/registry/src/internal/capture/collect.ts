/** What differs from a commit: the patch, and the files that git does not track. */
import { Digest } from "@ashlar/core"
import { lstat, readFile, readlink } from "node:fs/promises"
import { dirname, isAbsolute, join, normalize } from "node:path"
import { RegistryError } from "../../RegistryError.ts"
import { git, gitOrThrow, pathsIn } from "./git.ts"
import { isSecretFile, type Secrets } from "./secrets.ts"
import type { Source } from "./source.ts"
import { type TarEntry, writeTar } from "./tar.ts"
import { digestOf, filesAt, treeDigest, type TreeFile } from "./tree.ts"

/** How much is kept. */
export interface CaptureLimits {
  /** Most bytes of the patch; default 64 MiB. */
  readonly patchBytes?: number
  /** Most bytes of one untracked file; default 8 MiB. */
  readonly fileBytes?: number
  /** Most bytes of all untracked files; default 64 MiB. */
  readonly totalBytes?: number
  /** Most untracked files; default 10000. */
  readonly files?: number
}

/** A tree as it is kept. */
export interface Collected {
  readonly git?: NonNullable<Source["git"]>
  readonly patch?: Buffer
  readonly archive?: Buffer
  readonly untracked: Source["untracked"]
  readonly withheld: Source["withheld"]
  readonly tree: Source["tree"]
}

type Untracked = Source["untracked"][number]

/** True for a link's target that stays below the root. */
export const staysInside = (path: string, target: string): boolean => {
  if (isAbsolute(target) || target.includes("\0")) return false
  const end = normalize(join(dirname(path), target))
  return end !== ".." && !end.startsWith(`..${"/"}`) && !end.startsWith("..\\")
}

interface Gathered {
  readonly untracked: ReadonlyArray<Untracked>
  readonly withheld: ReadonlyArray<{ readonly path: string; readonly reason: string }>
  readonly entries: ReadonlyArray<TarEntry>
}

/** Reads untracked files, as far as the limits go. */
const gather = async (
  root: string,
  paths: ReadonlyArray<string>,
  secrets: Secrets,
  limits: CaptureLimits,
): Promise<Gathered> => {
  const { fileBytes = 8 << 20, totalBytes = 64 << 20, files = 10_000 } = limits
  const untracked: Array<Untracked> = []
  const withheld: Array<{ path: string; reason: string }> = []
  const entries: Array<TarEntry> = []
  let total = 0
  const add = (path: string, mode: Untracked["mode"], content: Uint8Array) => {
    total += content.length
    entries.push({ path, mode, content })
    const digest = Digest.of(content)
    untracked.push({ path, mode, size: content.length, digest, stored: true })
  }
  for (const path of paths.toSorted((a, b) => (a < b ? -1 : 1))) {
    const file = join(root, path)
    const stat = await lstat(file).catch(() => undefined)
    if (stat === undefined) continue
    const refuse = (reason: string) => withheld.push({ path, reason })
    if (untracked.length + withheld.length >= files) {
      withheld.push({ path, reason: `more than ${files} untracked files: this and the rest` })
      break
    }
    if (stat.isSymbolicLink()) {
      const target = await readlink(file)
      if (staysInside(path, target)) add(path, "120000", Buffer.from(target))
      else refuse("a link that leaves the tree")
    } else if (!stat.isFile()) refuse("neither a file nor a link")
    else if (isSecretFile(path)) refuse("its name is that of a file with secrets")
    else {
      const mode = (stat.mode & 0o100) === 0 ? "100644" : "100755"
      if (stat.size > fileBytes || total + stat.size > totalBytes) {
        const digest = await digestOf(file)
        untracked.push({ path, mode, size: stat.size, digest, stored: false })
        continue
      }
      const content = await readFile(file)
      if (secrets.isIn(content)) refuse("it holds what looks like a secret")
      else add(path, mode, content)
    }
  }
  return { untracked, withheld, entries }
}

const diff = [
  "diff",
  "--binary",
  "--full-index",
  "--no-ext-diff",
  "--no-textconv",
  "--no-renames",
  "--no-color",
  "--src-prefix=a/",
  "--dst-prefix=b/",
  "HEAD",
]

/** Changes of tracked files, without those that hold secrets. */
const changes = async (root: string, secrets: Secrets, limit: number) => {
  const names = pathsIn(
    await gitOrThrow(["diff", "--name-only", "-z", "--no-ext-diff", "--no-renames", "HEAD"], {
      directory: root,
    }),
  )
  if (names.length === 0) return { names, patch: Buffer.alloc(0), withheld: [] }
  const withheld: Array<{ path: string; reason: string }> = []
  const patchOf = (paths: ReadonlyArray<string>) =>
    git([...diff, "--", ...paths], { directory: root, limit })
  const without = (paths: ReadonlyArray<string>) =>
    patchOf(
      paths.length === 0 ? [] : [".", ...paths.map((path) => `:(exclude,top,literal)${path}`)],
    )
  for (const path of names) {
    if (isSecretFile(path)) {
      withheld.push({ path, reason: "its name is that of a file with secrets" })
      continue
    }
    // A binary patch does not show what it holds.
    const content = await readFile(join(root, path)).catch(() => Buffer.alloc(0))
    if (secrets.isIn(content)) withheld.push({ path, reason: "it holds what looks like a secret" })
  }
  let result = await without(withheld.map(({ path }) => path))
  if (!result.cut && secrets.isIn(result.out)) {
    // In a line that was removed, say.
    for (const path of names) {
      if (withheld.some((one) => one.path === path)) continue
      const { out } = await patchOf([`:(top,literal)${path}`])
      if (secrets.isIn(out)) {
        withheld.push({ path, reason: "its change holds what looks like a secret" })
      }
    }
    result = await without(withheld.map(({ path }) => path))
  }
  if (result.cut) {
    const reason = `the patch has more than ${limit} bytes`
    return { names, patch: Buffer.alloc(0), withheld: names.map((path) => ({ path, reason })) }
  }
  if (result.code !== 0) {
    throw new RegistryError({
      reason: "Unavailable",
      message: `git diff failed: ${result.error.slice(0, 1000)}`,
    })
  }
  return { names, patch: result.out, withheld }
}

const finish = (
  { untracked, withheld, entries }: Gathered,
  tracked: ReadonlyArray<TreeFile>,
): Pick<Collected, "untracked" | "withheld" | "tree" | "archive"> => {
  const stored = untracked.filter((file) => file.stored)
  const files = [...tracked, ...stored]
  return {
    untracked,
    withheld,
    tree: {
      digest: treeDigest(files),
      files: files.length,
      complete: withheld.length === 0 && stored.length === untracked.length,
    },
    ...(entries.length === 0 ? {} : { archive: writeTar(entries) }),
  }
}

/** Files that stand alone, where there is no git. */
export const collectFiles = async (
  root: string,
  paths: ReadonlyArray<string>,
  secrets: Secrets,
  limits: CaptureLimits,
): Promise<Collected> => finish(await gather(root, paths, secrets, limits), [])

const line = (result: { readonly code: number; readonly out: Buffer }): string | undefined => {
  const text = result.out.toString("utf8").trim()
  return result.code === 0 && text !== "" ? text : undefined
}

/** The root of the work tree a directory is in, if it is in one and git is there. */
export const rootOf = async (directory: string): Promise<string | undefined> => {
  const asked = git(["rev-parse", "--show-toplevel"], { directory })
  return line(await asked.catch(() => ({ code: 1, out: Buffer.alloc(0) })))
}

/** A work tree. Its files may be written to meanwhile: it is read until two readings agree. */
export const collectTree = async (
  root: string,
  secrets: Secrets,
  limits: CaptureLimits,
): Promise<Collected> => {
  const options = { directory: root }
  const limit = limits.patchBytes ?? 64 << 20
  const commit = line(await git(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], options))
  const others = async () =>
    pathsIn(await gitOrThrow(["ls-files", "-z", "--others", "--exclude-standard"], options))
  if (commit === undefined) {
    const staged = pathsIn(await gitOrThrow(["ls-files", "-z", "--cached"], options))
    return collectFiles(root, [...staged, ...(await others())], secrets, limits)
  }
  const branch = line(await git(["symbolic-ref", "--quiet", "--short", "HEAD"], options))
  const remote = line(await git(["config", "--get", "remote.origin.url"], options))
  for (let attempt = 0; attempt < 3; attempt++) {
    const { names, patch, withheld } = await changes(root, secrets, limit)
    const tracked = pathsIn(await gitOrThrow(["ls-files", "-z", "--cached"], options))
    const found = await filesAt(root, tracked)
    const gathered = await gather(root, await others(), secrets, limits)
    const again = await changes(root, secrets, limit)
    if (!again.patch.equals(patch)) continue
    const left = new Set(withheld.map(({ path }) => path))
    const files: Array<TreeFile> = []
    const modules: Array<{ path: string; reason: string }> = []
    for (const [path, file] of found) {
      if (file === "other") modules.push({ path, reason: "a submodule" })
      else if (!left.has(path)) files.push(file)
    }
    const all = { ...gathered, withheld: [...gathered.withheld, ...withheld, ...modules] }
    return {
      git: {
        commit,
        ...(branch === undefined ? {} : { branch }),
        ...(remote === undefined ? {} : { remote: withoutUser(remote) }),
        dirty: names.length > 0 || gathered.untracked.length + gathered.withheld.length > 0,
      },
      ...(patch.length === 0 ? {} : { patch }),
      ...finish(all, files),
    }
  }
  throw new RegistryError({
    reason: "Conflict",
    field: "directory",
    message: `${root} changes faster than it can be read: stop what writes to it, or have git ignore it`,
  })
}

/** A remote's address without user, password or token. */
export const withoutUser = (remote: string): string => {
  const url = URL.parse(remote)
  if (url === null || !/^[a-z+]+:\/\//i.test(remote)) return remote
  url.username = ""
  url.password = ""
  url.search = ""
  url.hash = ""
  return url.toString()
}
