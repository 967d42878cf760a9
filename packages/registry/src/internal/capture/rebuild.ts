/** Builds a captured tree again, from a repository that has the commit and what the run stored. */
import { existsSync } from "node:fs"
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import { RegistryError, invalid } from "../../RegistryError.ts"
import { staysInside } from "./collect.ts"
import { gitOrThrow, pathsIn } from "./git.ts"
import { inspectPatch } from "./patch.ts"
import type { Source } from "./source.ts"
import { filesAt, treeDigest } from "./tree.ts"
import { linksIn, unpack } from "./unpack.ts"

/** A captured tree, with its bytes. */
export interface Given {
  readonly source: Source
  readonly patch?: Buffer
  readonly archive?: Buffer
}

/** Where it comes from and goes to. */
export interface RebuildOptions {
  /** A directory that is not there yet, or is empty. */
  readonly into: string
  /**
   * The repository that has the commit: a local path or a URL (`https:`, `ssh:`, `file:`). Default
   * the one of the working directory. A run's own `remote` is never asked: whoever recorded the run
   * chose it.
   */
  readonly repository?: string
  /** Most bytes that the patch may make; default 1 GiB. */
  readonly maxBytes?: number
}

const urlForm = /^(?:https|ssh|file):\/\//

const refused = (field: string, message: string): RegistryError =>
  new RegistryError({ reason: "PermissionDenied", field, message })

/** Fetches one commit into a new repository and checks it out. */
const checkout = async (folder: string, commit: string, repository: string): Promise<void> => {
  const directory = folder
  const isUrl = urlForm.test(repository)
  if (!isUrl && (/^[a-z][a-z0-9+.-]*::?/i.test(repository) || !existsSync(repository))) {
    throw invalid("repository", `repository is a local path, or a URL with https:, ssh: or file:`)
  }
  const from = isUrl ? repository : resolve(repository)
  const format = commit.length === 64 ? ["--object-format=sha256"] : []
  await gitOrThrow(["init", "--quiet", "--template=", ...format, "."], { directory })
  // A commit that no branch has any more is found as well.
  const serve = "git -c uploadpack.allowAnySHA1InWant=true upload-pack"
  await gitOrThrow(
    [
      "fetch",
      "--quiet",
      "--no-tags",
      "--no-recurse-submodules",
      "--depth=1",
      ...(isUrl ? [] : [`--upload-pack=${serve}`]),
      "--",
      from,
      commit,
    ],
    { directory, timeoutMs: 600_000 },
  ).catch((cause: unknown) => {
    throw new RegistryError({
      reason: "NotFound",
      field: "repository",
      message: `${repository} did not give commit ${commit}: name the repository that has it (${cause instanceof Error ? cause.message : String(cause)})`,
      cause,
    })
  })
  await gitOrThrow(["-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", commit], {
    directory,
    timeoutMs: 600_000,
  })
}

const build = async (
  folder: string,
  { source, patch, archive }: Given,
  { repository, maxBytes = 2 ** 30 }: RebuildOptions,
): Promise<void> => {
  const directory = folder
  const tracked: Array<string> = []
  if (source.git !== undefined) {
    await checkout(folder, source.git.commit, repository ?? process.cwd())
    const links = await linksIn(folder)
    if (patch !== undefined) {
      inspectPatch(patch, maxBytes)
      await gitOrThrow(["apply", "--index", "--binary", "--whitespace=nowarn", "-p1", "-"], {
        directory,
        input: patch,
        timeoutMs: 600_000,
      }).catch((cause: unknown) => {
        throw new RegistryError({
          reason: "Corrupt",
          field: "ashlar/source.patch",
          message: `the patch does not apply: ${cause instanceof Error ? cause.message : String(cause)}`,
          cause,
        })
      })
    }
    for (const [path, target] of await linksIn(folder)) {
      if (links.get(path) !== target && !staysInside(path, target)) {
        throw refused("ashlar/source.patch", `the patch makes a link that leaves the tree: ${path}`)
      }
    }
    tracked.push(...pathsIn(await gitOrThrow(["ls-files", "-z", "--cached"], { directory })))
  } else if (patch !== undefined) throw refused("ashlar/source.patch", "a patch without a commit")
  const unpacked = archive === undefined ? [] : await unpack(folder, archive, source.untracked)

  const left = new Set(source.withheld.map(({ path }) => path))
  const found = await filesAt(
    folder,
    [...tracked, ...unpacked].filter((path) => !left.has(path)),
  )
  const files = [...found.values()].flatMap((file) => (file === "other" ? [] : [file]))
  const digest = treeDigest(files)
  if (digest === source.tree.digest) return
  throw new RegistryError({
    reason: "PreconditionFailed",
    field: "tree",
    message: `the tree that was built (${files.length} files, ${digest}) is not the one that was captured (${source.tree.files} files, ${source.tree.digest}): git's settings for line ends or filters may differ here, or the record was changed`,
  })
}

/** Builds the tree and checks its digest: it is there whole, or not at all. */
export const rebuild = async (given: Given, options: RebuildOptions): Promise<string> => {
  const into = resolve(options.into)
  const there = await readdir(into).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw invalid("into", `${into} is not a directory: name one that is not there yet`)
  })
  if (there !== undefined && there.length > 0) {
    throw invalid("into", `${into} is not empty: name a directory that is not there yet`)
  }
  const folder = join(dirname(into), `.${basename(into)}.${process.pid}.${Date.now()}.part`)
  await mkdir(folder, { recursive: true })
  try {
    await build(folder, given, options)
    if (there !== undefined) await rmdir(into)
    await rename(folder, into)
    return into
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}
