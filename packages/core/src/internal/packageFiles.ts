/** Files of a model package: paths that stay inside, digests, staged copies. */
import { createReadStream } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Digest from "../Digest.ts"
import * as Failure from "../Failure.ts"

/** A model package could not be written or read, or is not what its digests say. */
export class ModelPackageError extends Schema.TaggedError<ModelPackageError>()(
  "ModelPackageError",
  Failure.fields([
    "InvalidInput",
    "NotFound",
    "AlreadyExists",
    "TooLarge",
    "Corrupt",
    "OutOfSpace",
    "Unavailable",
  ]),
) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

/** Names of the two files that describe the others. */
export const descriptors = ["MLmodel", "ashlar.json"] as const

/** An error of the package. */
export const failure = (
  reason: ModelPackageError["reason"],
  message: string,
  rest: { readonly field?: string; readonly cause?: unknown } = {},
): ModelPackageError => new ModelPackageError({ reason, message, ...rest })

/** A failed file operation, saying what to do. */
export const ioFailure = (what: string, cause: unknown): ModelPackageError => {
  if (cause instanceof ModelPackageError) return cause
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : ""
  if (code === "ERR_INVALID_ARG_VALUE" || code === "ENAMETOOLONG" || code === "ENOTDIR") {
    return failure("InvalidInput", `no path can be '${what.slice(0, 200)}'; check it`, { cause })
  }
  if (code === "EFBIG") {
    const message = `'${what}' grew past the size this process may write; raise the limit`
    return failure("OutOfSpace", message, { cause })
  }
  if (code === "ENOENT") return failure("NotFound", `no '${what}'; check the path`, { cause })
  if (code === "ENOSPC" || code === "EDQUOT") {
    return failure("OutOfSpace", `no space left for '${what}'; free some and try again`, { cause })
  }
  if (code === "ENOTEMPTY" || code === "EEXIST") {
    return failure("AlreadyExists", `'${what}' exists; write to a new directory`, { cause })
  }
  return failure("Unavailable", `'${what}' cannot be accessed: ${String(cause)}`, { cause })
}

/** Why a relative path of a package is refused; `undefined` when it is fine. */
export const pathFault = (file: string): string | undefined => {
  if (file === "" || Buffer.byteLength(file) > 1024) return "a path has 1 to 1024 bytes"
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  if (/[\\\u0000-\u001f\u007f]/.test(file)) {
    return "a path has no backslash and no control characters"
  }
  if (/^[A-Za-z]:/.test(file)) return "a path is relative to the package"
  return file.split("/").some((part) => part === "" || part === "." || part === "..")
    ? "a path is relative and has no empty, '.' or '..' part"
    : undefined
}

/** Size and digest of a file. */
export const digestFile = async (
  file: string,
): Promise<{ readonly size: number; readonly digest: Digest.Digest }> => {
  // Opening a named pipe waits for a writer, and a device may never end.
  if (!(await fs.stat(file)).isFile()) {
    throw failure("InvalidInput", `'${file}' is no regular file; packages hold files alone`)
  }
  const hash = Digest.start()
  let size = 0
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    const bytes: Uint8Array = chunk
    hash.update(bytes)
    size += bytes.length
  }
  return { size, digest: Digest.finish(hash) }
}

/** Writes bytes or copies a file; the result is on the disk. */
export const place = async (target: string, content: Uint8Array | string): Promise<void> => {
  await fs.mkdir(path.dirname(target), { recursive: true })
  if (typeof content === "string") {
    await fs.copyFile(content, target)
    await fs.chmod(target, 0o644)
  } else await fs.writeFile(target, content, { flag: "wx" })
  const handle = await fs.open(target, "r+")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The real path of a file of the package; a link that leads out of it is refused. */
export const resolveInside = async (directory: string, file: string): Promise<string> => {
  const fault = pathFault(file)
  if (fault !== undefined) {
    throw failure("InvalidInput", `the package names the file '${file}': ${fault}`, { field: file })
  }
  const root = await fs.realpath(directory)
  const real = await fs.realpath(path.join(root, file))
  if (!real.startsWith(root + path.sep)) {
    throw failure(
      "InvalidInput",
      `'${file}' is a link that leads out of the package; replace it with the file itself`,
      { field: file },
    )
  }
  return real
}

/** Every file of a directory except the descriptors, sorted, with `/` as separator. */
export const listFiles = async (directory: string): Promise<ReadonlyArray<string>> => {
  const entries = await fs.readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .map((file) => file.split(path.sep).join("/"))
    .filter((file) => !descriptors.some((name) => name === file))
    .sort()
}

/** Reads a descriptor of at most `limit` bytes. */
export const readDescriptor = Effect.fnUntraced(function* (
  directory: string,
  name: (typeof descriptors)[number],
  limit: number,
): Effect.fn.Return<string, ModelPackageError> {
  const text = yield* Effect.tryPromise({
    try: async () => {
      const file = await resolveInside(directory, name)
      const stat = await fs.stat(file)
      if (!stat.isFile()) throw failure("InvalidInput", `'${file}' is no regular file`)
      const { size } = stat
      if (size > limit) {
        throw failure(
          "TooLarge",
          `${name} in '${directory}' has ${size} bytes, the limit is ${limit}; a manifest is small, check what wrote it`,
        )
      }
      return fs.readFile(file, "utf8")
    },
    catch: (cause) => ioFailure(path.join(directory, name), cause),
  })
  return text
})
