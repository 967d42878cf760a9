import { execFileSync } from "node:child_process"
import { mkdir } from "node:fs/promises"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Options } from "./options.ts"

/** Where this run keeps its files, and how it was started. */
export class Workspace extends Context.Service<
  Workspace,
  {
    readonly rows: number
    /** Commit of the code, with `-dirty` when files were changed since; recorded with every run. */
    readonly codeVersion: string
    readonly directory: string
    /** Path of a file in the workspace. */
    readonly path: (...parts: ReadonlyArray<string>) => string
    /** Its `file:` URL. */
    readonly url: (...parts: ReadonlyArray<string>) => string
  }
>()("example/Workspace") {}

const codeVersion = (): string => {
  const git = (...args: ReadonlyArray<string>) =>
    execFileSync("git", args, {
      cwd: import.meta.dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim()
  try {
    return `${git("rev-parse", "HEAD")}${git("status", "--porcelain") === "" ? "" : "-dirty"}`
  } catch {
    return "unversioned"
  }
}

/** Makes the workspace's folders. */
export const layer = (options: Options): Layer.Layer<Workspace> =>
  Layer.effect(
    Workspace,
    Effect.promise(async () => {
      const directory = resolve(options.directory)
      for (const folder of ["frames", "blobs", "cache", "models"]) {
        await mkdir(join(directory, folder), { recursive: true })
      }
      const path = (...parts: ReadonlyArray<string>) => join(directory, ...parts)
      return {
        rows: options.rows,
        codeVersion: codeVersion(),
        directory,
        path,
        url: (...parts: ReadonlyArray<string>) => pathToFileURL(path(...parts)).href,
      }
    }),
  )
