/**
 * Small JSON files that are there whole or not at all.
 *
 * @module
 */
import { link, open, readFile, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { randomUUID } from "node:crypto"

const hasCode = (cause: unknown, code: string): boolean =>
  cause instanceof Error && "code" in cause && cause.code === code

const syncDirectory = async (path: string): Promise<void> => {
  const directory = await open(path, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const writeTemporary = async (path: string, value: unknown): Promise<string> => {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`)
  const file = await open(temporary, "wx", 0o600)
  try {
    await file.writeFile(JSON.stringify(value))
    await file.sync()
    return temporary
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cause
  } finally {
    await file.close()
  }
}

/** Writes or replaces the file; on disk when it resolves. */
export const writeJson = async (path: string, value: unknown): Promise<void> => {
  await rename(await writeTemporary(path, value), path)
  await syncDirectory(dirname(path))
}

/** Writes the file unless it exists; false when it does. */
export const createJson = async (path: string, value: unknown): Promise<boolean> => {
  const temporary = await writeTemporary(path, value)
  try {
    await link(temporary, path)
    await syncDirectory(dirname(path))
    return true
  } catch (cause) {
    if (hasCode(cause, "EEXIST")) return false
    throw cause
  } finally {
    await rm(temporary, { force: true })
  }
}

/** The value in the file; `undefined` when there is none. */
export const readJson = async (path: string): Promise<unknown> => {
  try {
    return JSON.parse(await readFile(path, "utf8"))
  } catch (cause) {
    if (hasCode(cause, "ENOENT")) return undefined
    throw cause
  }
}
