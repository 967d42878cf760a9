/** Files and directories that appear whole or not at all: written beside, synced, renamed. */
import { randomUUID } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import * as Effect from "effect/Effect"

/** A path beside the target for what is being written. */
export const stagedPath = (target: string): string =>
  path.join(path.dirname(target), `.${path.basename(target)}.${randomUUID()}.tmp`)

/** Makes a rename in the directory durable. */
export const syncDirectory = async (directory: string): Promise<void> => {
  // Windows has no way to open a directory; its renames are journaled.
  if (process.platform === "win32") return
  const handle = await fs.open(directory, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Runs `body` with a new file beside the target; renames it to the target when `body` succeeds,
 * removes it when it fails or is interrupted.
 */
export const writeAtomically = <A, E, E2>(
  target: string,
  onError: (cause: unknown) => E2,
  body: (handle: fs.FileHandle) => Effect.Effect<A, E>,
): Effect.Effect<A, E | E2> => {
  const staged = stagedPath(target)
  return Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => fs.open(staged, "wx"), catch: onError }),
    (handle) =>
      body(handle).pipe(
        Effect.tap(() =>
          Effect.tryPromise({
            try: async () => {
              await handle.sync()
              await handle.close()
              await fs.rename(staged, target)
              await syncDirectory(path.dirname(target))
            },
            catch: onError,
          }),
        ),
      ),
    (handle) =>
      Effect.promise(async () => {
        await handle.close().catch(() => undefined)
        await fs.rm(staged, { force: true })
      }),
  )
}
