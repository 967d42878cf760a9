/** Where Parquet bytes come from: a file, a buffer, or anything that can read a range. */
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DatasetError, invalid } from "./datasetError.ts"

/** Reads ranges of something that does not change. */
export interface RangeReader {
  /** For messages. */
  readonly name: string
  /** Size in bytes. */
  readonly size: number
  /** Bytes `start` (inclusive) to `end` (exclusive). */
  readonly read: (start: number, end: number) => Effect.Effect<Uint8Array, DatasetError>
}

/** A failed file operation, saying what to do. */
export const ioError = (file: string, cause: unknown): DatasetError => {
  const code = typeof cause === "object" && cause !== null && "code" in cause ? cause.code : ""
  const of = (reason: DatasetError["reason"], message: string) =>
    new DatasetError({ reason, message, cause })
  if (code === "ENOENT") return of("NotFound", `no file or folder '${file}'; check the path`)
  if (code === "EISDIR") return of("InvalidInput", `'${file}' is a folder; give a file`)
  if (code === "ENOTDIR" || code === "ENAMETOOLONG" || code === "ERR_INVALID_ARG_VALUE") {
    return of("InvalidInput", `no file can have the path '${file.slice(0, 200)}'; check it`)
  }
  if (code === "EFBIG") {
    return of("OutOfSpace", `'${file}' grew past the size this process may write; raise the limit`)
  }
  if (code === "ENOSPC" || code === "EDQUOT") {
    return of("OutOfSpace", `no space left to write '${file}'; free some and write again`)
  }
  return of("Unavailable", `'${file}' cannot be accessed: ${String(cause)}`)
}

/** The path of a file name or `file:` URL. */
export const pathOf = (file: string | URL): Effect.Effect<string, DatasetError> =>
  file instanceof URL
    ? Effect.try({
        try: () => fileURLToPath(file),
        catch: () => invalid("file", `${file.protocol} URLs name no local file; give a file: URL`),
      })
    : Effect.succeed(file)

// Opening a named pipe to read waits for a writer, in a thread that nobody can interrupt.
const readOnly = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

const fileReader = Effect.fnUntraced(function* (
  source: string | URL,
): Effect.fn.Return<RangeReader, DatasetError, Scope.Scope> {
  const file = yield* pathOf(source)
  const failed = (cause: unknown) => ioError(file, cause)
  const handle = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => fs.open(file, readOnly), catch: failed }),
    (opened) => Effect.promise(() => opened.close().catch(() => undefined)),
  )
  const stat = yield* Effect.tryPromise({ try: () => handle.stat(), catch: failed })
  if (stat.isDirectory()) return yield* ioError(file, { code: "EISDIR" })
  if (!stat.isFile()) return yield* invalid("file", `'${file}' is no regular file; give a file`)
  return {
    name: `'${file}'`,
    size: stat.size,
    read: (start, end) =>
      Effect.tryPromise({
        try: async () => {
          const bytes = Buffer.allocUnsafe(end - start)
          for (let at = 0; at < bytes.length;) {
            const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at)
            if (bytesRead === 0) {
              throw new DatasetError({
                reason: "Corrupt",
                message: `'${file}' became shorter while it was read; read it again`,
              })
            }
            at += bytesRead
          }
          return bytes
        },
        catch: (cause) => (cause instanceof DatasetError ? cause : failed(cause)),
      }),
  }
})

/** Opens a source for as long as the scope lives. */
export const open = (
  source: string | URL | Uint8Array | RangeReader,
): Effect.Effect<RangeReader, DatasetError, Scope.Scope> => {
  if (source instanceof Uint8Array) {
    return Effect.succeed({
      name: "the data",
      size: source.length,
      read: (start, end) => Effect.sync(() => source.subarray(start, end)),
    })
  }
  return typeof source === "string" || source instanceof URL
    ? fileReader(source)
    : Effect.succeed(source)
}
