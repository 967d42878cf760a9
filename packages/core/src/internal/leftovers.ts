/**
 * Removes what killed processes left behind.
 *
 * @module
 */
import { lstat, readdir, rm } from "node:fs/promises"
import { join } from "node:path"

/** Removes the entries of a directory that nobody has changed for so long. */
export const removeOld = async (directory: string, olderThanMs: number): Promise<void> => {
  const limit = Date.now() - olderThanMs
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const stat = await lstat(path).catch(() => undefined)
    if (stat !== undefined && stat.mtimeMs < limit) await rm(path, { recursive: true, force: true })
  }
}
