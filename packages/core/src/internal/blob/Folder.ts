/**
 * The directories of an fs store, and how a finished file becomes a blob in them.
 *
 * @module
 */
import { constants } from "node:fs"
import { link, mkdir, open, realpath, rename, rm, rmdir, type FileHandle } from "node:fs/promises"
import { dirname, join, relative, sep } from "node:path"
import { BlobStoreError } from "../../BlobStore.ts"
import * as Id from "../../Id.ts"
import { removeOld } from "../leftovers.ts"
import { alreadyExists, notFound } from "./failure.ts"
import { isCode, wrap } from "./fsError.ts"
import { pathOf } from "./layout.ts"

/** An open store directory. */
export interface Folder {
  readonly root: string
  readonly blobs: string
  readonly uploads: string
  readonly sync: boolean
  /** A new path for a temporary file. */
  readonly temporary: () => string
  /** Moves a finished temporary file to its key. */
  readonly publish: (temporary: string, key: string, ifAbsent: boolean) => Promise<void>
  /** Opens a blob's file for reading. */
  readonly open: (key: string) => Promise<FileHandle>
  /** Removes a blob, and directories that it leaves empty. */
  readonly remove: (key: string) => Promise<void>
}

// Following no link; a named pipe in the store must not hold a thread until somebody writes to it.
const readFlags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

const syncDirectory = async (path: string): Promise<void> => {
  // Windows cannot open directories; its renames are journalled.
  if (process.platform === "win32") return
  const directory = await open(path, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Makes a directory and syncs the ones that got a new entry. */
export const makeDirectory = async (path: string, sync: boolean): Promise<void> => {
  const first = await mkdir(path, { recursive: true })
  if (first === undefined || !sync) return
  for (let at = path; at.length >= first.length; at = dirname(at)) await syncDirectory(dirname(at))
}

const escaped = (key: string, path: string) =>
  new BlobStoreError({
    reason: "PermissionDenied",
    message: `The directory of '${key}' is a symbolic link to ${path}; this store follows no links. Remove the link.`,
    field: "key",
  })

/** Opens the directory, making it when absent, and removes what killed writers left behind. */
export const make = async (options: {
  readonly directory: string
  readonly fsync: boolean
  readonly leftoverAgeMs: number
  readonly uploadAgeMs: number
}): Promise<Folder> => {
  const sync = options.fsync
  await makeDirectory(options.directory, sync)
  const root = await realpath(options.directory)
  const blobs = join(root, "blobs")
  const uploads = join(root, "uploads")
  const temporaries = join(root, "tmp")
  for (const path of [blobs, uploads, temporaries]) {
    await makeDirectory(path, sync)
    if ((await realpath(path)) !== path) throw escaped(relative(root, path), await realpath(path))
  }
  await removeOld(temporaries, options.leftoverAgeMs)
  await removeOld(uploads, options.uploadAgeMs)

  const fileOf = (key: string) => join(blobs, ...pathOf(key))

  /** Refuses a path that leaves the root over a symbolic link. */
  const checkParent = async (key: string, path: string): Promise<void> => {
    const parent = dirname(path)
    const real = await realpath(parent)
    if (real !== parent) throw escaped(key, real)
  }

  const place = async (temporary: string, key: string, path: string, ifAbsent: boolean) => {
    await checkParent(key, path)
    if (!ifAbsent) return await rename(temporary, path)
    try {
      await link(temporary, path)
    } catch (cause) {
      throw isCode(cause, "EEXIST") ? alreadyExists(key) : cause
    }
  }

  return {
    root,
    blobs,
    uploads,
    sync,
    temporary: () => join(temporaries, Id.make()),
    publish: async (temporary, key, ifAbsent) => {
      const path = fileOf(key)
      for (let attempt = 1; ; attempt++) {
        await makeDirectory(dirname(path), sync)
        try {
          await place(temporary, key, path, ifAbsent)
          break
        } catch (cause) {
          // A concurrent remove may take the directory away between these two steps.
          if (!isCode(cause, "ENOENT") || attempt === 20) throw cause
        }
      }
      if (sync) await syncDirectory(dirname(path))
    },
    open: async (key) => {
      const path = fileOf(key)
      try {
        await checkParent(key, path)
        return await open(path, readFlags)
      } catch (cause) {
        if (isCode(cause, "ENOENT", "ENOTDIR", "ELOOP")) throw notFound(key)
        throw wrap(cause)
      }
    },
    remove: async (key) => {
      const path = fileOf(key)
      try {
        await checkParent(key, path)
        await rm(path)
      } catch (cause) {
        if (isCode(cause, "ENOENT", "ENOTDIR")) return
        throw wrap(cause)
      }
      if (sync) await syncDirectory(dirname(path))
      for (let at = dirname(path); at.startsWith(`${blobs}${sep}`); at = dirname(at)) {
        try {
          await rmdir(at)
        } catch {
          break
        }
      }
    },
  }
}
