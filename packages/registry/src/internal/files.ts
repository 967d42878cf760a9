import { BlobStore, type Database, Digest } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import { lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { RegistryError, invalid } from "../RegistryError.ts"
import type { Store } from "./store.ts"

type Failed = BlobStore.BlobStoreError | Database.DatabaseError | RegistryError

/** A file to store, with its path relative to what was given. */
export interface LocalFile {
  readonly path: string
  readonly file: string
}

const io = <A>(what: string, run: () => Promise<A>): Effect.Effect<A, RegistryError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new RegistryError({
        reason: "Unavailable",
        message: `${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
        cause,
      }),
  })

/** Files below a path; a single file is itself. Symbolic links are refused. */
export const walk = (
  file: string,
  prefix: string,
): Effect.Effect<Array<LocalFile>, RegistryError> =>
  Effect.gen(function* () {
    const stat = yield* io(`cannot read ${file}`, () => lstat(file))
    if (stat.isFile()) return [{ path: prefix, file }]
    if (!stat.isDirectory()) {
      return yield* invalid(
        prefix,
        `${file} is neither a file nor a directory: links are not stored`,
      )
    }
    const names = yield* io(`cannot list ${file}`, () => readdir(file))
    const nested = yield* Effect.forEach(names.sort(), (name) =>
      walk(join(file, name), prefix === "" ? name : `${prefix}/${name}`),
    )
    return nested.flat()
  })

const hashFile = (file: string) =>
  io(`cannot read ${file}`, async () => {
    const hash = Digest.start()
    let size = 0
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
      hash.update(chunk)
      size += chunk.length
    }
    return { digest: Digest.finish(hash), size }
  })

/**
 * Stores a file's content, unless it is there already. A collection spares it for a while; what
 * refers to it later calls `contents.hold` in its transaction.
 */
export const store: (
  store: Pick<Store, "db" | "contents">,
  file: string,
) => Effect.Effect<{ readonly digest: string; readonly size: number }, Failed> = Effect.fnUntraced(
  function* ({ db, contents }, file) {
    const hashed = yield* hashFile(file)
    const known = yield* contents.find(hashed.digest)
    if (known !== undefined) return hashed
    const content = Stream.fromAsyncIterable<Uint8Array, BlobStore.BlobStoreError>(
      createReadStream(file, { highWaterMark: 1 << 20 }),
      (cause) =>
        new BlobStore.BlobStoreError({
          reason: "Unavailable",
          message: `cannot read ${file}`,
          cause,
        }),
    )
    const stored = yield* contents.write(content, { digest: hashed.digest })
    const key = yield* db.transaction(contents.adopt(stored))
    yield* contents.settle(stored, key)
    return hashed
  },
)

/** A staging directory of a process that has not touched it for so long was killed. */
const abandonedMs = 3600_000

/** Removes what killed processes left half-written beside the packages of a cache. */
const sweep = (cache: string) =>
  Effect.promise(async () => {
    const names = await readdir(cache).catch(() => [])
    for (const name of names) {
      if (!/\.\d+\.\d+\.part$/.test(name)) continue
      const path = join(cache, name)
      const stat = await lstat(path).catch(() => undefined)
      if (stat === undefined || Date.now() - stat.mtimeMs < abandonedMs) continue
      await rm(path, { recursive: true, force: true }).catch(() => {})
    }
  })

/**
 * Writes stored files into a directory: all of them, checked against their digests, or nothing.
 * A directory that is there already was written so before.
 */
export const materialise = (
  { contents }: Pick<Store, "contents">,
  files: ReadonlyArray<{ readonly path: string; readonly digest: string; readonly size: number }>,
  directory: string,
): Effect.Effect<void, Failed> =>
  Effect.gen(function* () {
    const there = yield* Effect.option(io("", () => lstat(directory)))
    if (there._tag === "Some") return
    yield* sweep(dirname(directory))
    const staging = `${directory}.${process.pid}.${Date.now()}.part`
    const write = Effect.gen(function* () {
      for (const file of files) {
        const target = join(staging, ...file.path.split("/"))
        yield* io(`cannot make ${dirname(target)}`, () =>
          mkdir(dirname(target), { recursive: true }),
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const handle = yield* Effect.acquireRelease(
              io(`cannot write ${target}`, () => open(target, "wx")),
              (opened) => Effect.promise(() => opened.close()),
            )
            yield* Stream.runForEach(contents.read(file), (chunk) =>
              io(`cannot write ${target}`, () => handle.writeFile(chunk)),
            )
            yield* io(`cannot write ${target}`, () => handle.sync())
          }),
        )
      }
      // Another process may have won the race: its content is the same.
      yield* Effect.catch(
        io(`cannot move ${staging}`, () => rename(staging, directory)),
        (error) =>
          Effect.flatMap(Effect.option(io("", () => lstat(directory))), (found) =>
            found._tag === "Some" ? Effect.void : Effect.fail(error),
          ),
      )
    })
    yield* Effect.ensuring(
      write,
      Effect.promise(() => rm(staging, { recursive: true, force: true })),
    )
  })
