/** Directories that somebody else wrote: regular files below one root, links refused. */
import { createHash } from "node:crypto"
import { createReadStream, createWriteStream } from "node:fs"
import { lstat, mkdir, readdir, readFile, realpath } from "node:fs/promises"
import { dirname, join } from "node:path"
import { createInterface } from "node:readline"
import { pipeline } from "node:stream/promises"
import * as Effect from "effect/Effect"
import { parse } from "yaml"
import { invalid, RegistryError } from "../../RegistryError.ts"
import type { LocalCopy } from "./records.ts"

const longestText = 16 * 2 ** 20
const deepest = 50

/** Runs a read of the disk; what it throws becomes an error that names the file. */
export const attempt = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, RegistryError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      cause instanceof RegistryError
        ? cause
        : new RegistryError({
            reason: "Corrupt",
            field: what,
            message: `${what} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
            cause,
          }),
  })

/** The directory itself, once links on the way to it are resolved. */
export const rootOf = (directory: string): Effect.Effect<string, RegistryError> =>
  Effect.tryPromise({
    try: async () => {
      const root = await realpath(directory)
      if (!(await lstat(root)).isDirectory()) throw new Error("it is no directory")
      return root
    },
    catch: (cause) =>
      invalid(
        "directory",
        `${directory} cannot be read: ${cause instanceof Error ? cause.message : "unknown"}`,
      ),
  })

const kindOf = async (path: string): Promise<"file" | "directory" | "other" | "none"> => {
  const stat = await lstat(path).catch(() => undefined)
  if (stat === undefined) return "none"
  if (stat.isFile()) return "file"
  return stat.isDirectory() ? "directory" : "other"
}

/** Names in a directory, sorted, links left out; none when it is not there. */
export const names = async (
  directory: string,
  kind: "file" | "directory",
): Promise<ReadonlyArray<string>> => {
  if ((await kindOf(directory)) !== "directory") return []
  const found: Array<string> = []
  for (const name of (await readdir(directory)).sort()) {
    if ((await kindOf(join(directory, name))) === kind) found.push(name)
  }
  return found
}

/** Paths of all files below a directory, with `/` between names; a link is refused. */
export const walk = async (directory: string, depth = 0): Promise<ReadonlyArray<string>> => {
  if (depth > deepest) throw invalid("path", `${directory} lies more than ${deepest} deep`)
  for (const name of (await kindOf(directory)) === "directory" ? await readdir(directory) : []) {
    if ((await kindOf(join(directory, name))) !== "other") continue
    throw invalid(
      "path",
      `${join(directory, name)} is neither a file nor a directory: links are not followed`,
    )
  }
  const found: Array<string> = [...(await names(directory, "file"))]
  for (const name of await names(directory, "directory")) {
    for (const path of await walk(join(directory, name), depth + 1)) found.push(`${name}/${path}`)
  }
  return found.sort()
}

/** A small file as text; undefined when it is not there. */
export const text = async (path: string): Promise<string | undefined> => {
  if ((await kindOf(path)) !== "file") return undefined
  const { size } = await lstat(path)
  if (size > longestText) {
    throw invalid("path", `${path} has ${size} bytes; ${longestText} are read at most`)
  }
  return readFile(path, "utf8")
}

/** A YAML file's value; undefined when the file is not there. */
export const yaml = async (path: string): Promise<unknown> => {
  const found = await text(path)
  // Aliases may multiply a small file into a very long one.
  try {
    return found === undefined ? undefined : parse(found, { maxAliasCount: 100 })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw invalid("path", `${path} cannot be read as YAML: ${why.slice(0, 500)}`)
  }
}

/** All files below a directory as a record of their texts: how params and tags are kept. */
export const texts = async (directory: string): Promise<Readonly<Record<string, string>>> => {
  const found: Array<readonly [string, string]> = []
  for (const path of await walk(directory)) {
    found.push([path, (await text(join(directory, ...path.split("/")))) ?? ""])
  }
  return Object.fromEntries(found)
}

/** Lines of a file of any length. */
export const lines = async function* (path: string): AsyncGenerator<string> {
  if ((await kindOf(path)) !== "file") return
  yield* createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })
}

/** Copies a file and digests it. */
export const copyFile = async (from: string, to: string): Promise<LocalCopy> => {
  if ((await kindOf(from)) !== "file") throw invalid("path", `${from} is not there`)
  await mkdir(dirname(to), { recursive: true })
  const hash = createHash("sha256")
  let size = 0
  await pipeline(
    createReadStream(from),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk)
        size += chunk.length
        yield chunk
      }
    },
    createWriteStream(to),
  )
  return { file: to, size, digest: `sha256:${hash.digest("hex")}` }
}
