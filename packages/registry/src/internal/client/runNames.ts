import { type FileHandle, open } from "node:fs/promises"
import { join } from "node:path"

/** Which run of the store a run started offline became. */
export interface RunNames {
  /** The store's id of a run; undefined while it has none. */
  readonly get: (run: string) => string | undefined
  /** Remembers it, on the disk. */
  readonly set: (run: string, id: string) => Promise<void>
  readonly close: () => Promise<void>
}

const prefix = "local-"

/** The id of a run that the store does not know yet. */
export const localName = (id: string): string => `${prefix}${id}`

/** True for the id of a run that was started offline. */
export const isLocal = (run: string): boolean => run.startsWith(prefix)

/** Opens the names kept in a journal's directory. */
export const openNames = async (directory: string): Promise<RunNames> => {
  const handle: FileHandle = await open(join(directory, "runs"), "a+")
  const names = new Map<string, string>()
  for (const line of (await handle.readFile("utf8")).split("\n")) {
    const [run = "", id = ""] = line.split(" ")
    // A line cut off by a crash names a run that is started again under the same key.
    if (run !== "" && id !== "" && line.endsWith(" .")) names.set(run, id)
  }
  return {
    get: (run) => (isLocal(run) ? names.get(run) : run),
    set: async (run, id) => {
      await handle.appendFile(`\n${run} ${id} .`)
      await handle.datasync()
      names.set(run, id)
    },
    close: () => handle.close(),
  }
}
