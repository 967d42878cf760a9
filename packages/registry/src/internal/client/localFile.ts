import { openAsBlob } from "node:fs"
import { open, rename, rm, stat } from "node:fs/promises"
import { RegistryError, invalid } from "../../RegistryError.ts"

const failed = (what: string, cause: unknown): RegistryError =>
  new RegistryError({
    reason: "Internal",
    message: `${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause,
  })

/** A file as a request's body, read while it is sent. */
export const uploadOf = (file: string): Promise<Blob> =>
  openAsBlob(file).catch((cause: unknown) => {
    throw failed(`cannot read ${file}`, cause)
  })

/**
 * Writes bytes to a new file, which is there whole or not at all. Rejects when there are more than
 * `limit`, or a file is there already.
 */
export const localFile = async (
  file: string,
  path: string,
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  limit = Number.POSITIVE_INFINITY,
): Promise<void> => {
  const there = await stat(file).then(
    () => true,
    () => false,
  )
  if (there) throw invalid("file", `${file} is there already: choose another name, or remove it`)
  const part = `${file}.${process.pid}.${Date.now()}.part`
  const handle = await open(part, "wx").catch((cause: unknown) => {
    throw failed(`cannot write ${part}`, cause)
  })
  try {
    let size = 0
    for await (const chunk of bytes) {
      size += chunk.length
      if (size > limit) {
        throw invalid("path", `${path} has more than ${limit} bytes, which is the limit here`)
      }
      await handle.writeFile(chunk).catch((cause: unknown) => {
        throw failed(`cannot write ${part}`, cause)
      })
    }
    await handle.close()
    await rename(part, file)
  } catch (cause) {
    await handle.close().catch(() => undefined)
    await rm(part, { force: true })
    throw cause
  }
}
