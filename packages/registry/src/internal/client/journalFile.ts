/**
 * A journal on disk: lines `crc32 json`, appended and synced in groups, read back in order, and a
 * mark beside it of how far they were delivered. A line that was cut off by a crash was never
 * acknowledged and is dropped; any other damage is an error.
 */
import { Id } from "@ashlar/core"
import {
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from "node:fs"
import { type FileHandle, mkdir, open, rename } from "node:fs/promises"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { RegistryError } from "../../RegistryError.ts"

const failed = (message: string, cause?: unknown): RegistryError =>
  new RegistryError({
    reason: "Unavailable",
    message: cause instanceof Error ? `${message}: ${cause.message}` : message,
    ...(cause === undefined ? {} : { cause }),
  })

const lineOf = (record: unknown): string => {
  const json = JSON.stringify(record)
  return `${crc32(json).toString(16).padStart(8, "0")} ${json}\n`
}

/** The record of a line, or undefined when its checksum does not hold. */
const recordOf = (line: string): unknown => {
  const json = line.slice(9)
  if (line.length < 10 || Number.parseInt(line.slice(0, 8), 16) !== crc32(json)) return undefined
  return JSON.parse(json)
}

/** A record as read, with where it ends. */
export interface Entry {
  readonly record: unknown
  /** Unlike that of any other record of any journal. */
  readonly key: string
  readonly end: number
}

/** An open journal. */
export interface JournalFile {
  /** Appends a record; resolves when it is on the disk. */
  readonly append: (record: unknown) => Promise<void>
  /** Records that were not delivered yet, about `bytes` of them. */
  readonly next: (bytes: number) => Promise<ReadonlyArray<Entry>>
  /** Marks what `next` gave as delivered. */
  readonly delivered: (entries: ReadonlyArray<Entry>) => Promise<void>
  /** Undelivered bytes. */
  readonly size: () => number
  /** Undelivered records. */
  readonly pending: () => number
  readonly close: () => Promise<void>
}

/** When a process started, so that another with its number is not taken for it. Linux says. */
const startOf = (pid: number): string => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    return fields.slice(fields.lastIndexOf(")") + 2).split(" ")[19] ?? ""
  } catch {
    return ""
  }
}

const isAlive = (pid: number, start: string): boolean => {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false
  }
  return start === startOf(pid)
}

/** Directories that this process has open. */
const own = new Set<string>()

const ownerIn = (file: string): { readonly pid: number; readonly start: string } => {
  try {
    const [pid = "", start = ""] = readFileSync(file, "utf8").split(" ")
    return { pid: Number.parseInt(pid, 10), start }
  } catch {
    return { pid: 0, start: "" }
  }
}

/** Makes this process the only one that writes; returns what gives that up. */
const lock = (directory: string): (() => void) => {
  const file = join(directory, "lock")
  const name = realpathSync(directory)
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(file, `${process.pid} ${startOf(process.pid)}`, { flag: "wx" })
      own.add(name)
      return () => {
        own.delete(name)
        unlinkSync(file)
      }
    } catch (cause) {
      const { pid, start } = ownerIn(file)
      // In a container a restarted program often has the number of the one that was killed.
      const held = pid === process.pid ? own.has(name) : pid > 0 && isAlive(pid, start)
      if (attempt > 3 || held) {
        throw new RegistryError({
          reason: "Conflict",
          field: "journal",
          message: `the journal ${directory} is in use by process ${pid}: give each process its own directory`,
          cause,
        })
      }
      // Its owner was killed. Moved, not removed: of two that see this one moves it.
      const aside = `${file}.${process.pid}`
      try {
        renameSync(file, aside)
        unlinkSync(aside)
      } catch {
        // The other one did.
      }
    }
  }
}

interface State {
  readonly handle: FileHandle
  readonly id: string
  /** Bytes known to be whole. */
  readonly size: number
}

const damaged = (file: string, at: number): RegistryError =>
  new RegistryError({
    reason: "Corrupt",
    field: "journal",
    message: `${file} is damaged at byte ${at}: move the directory away to start afresh, and keep it for what it still holds`,
  })

const create = async (directory: string, file: string): Promise<State> => {
  const id = Id.make()
  const header = lineOf({ journal: id })
  const fresh = join(directory, "journal.new")
  const handle = await open(fresh, "w+")
  await handle.writeFile(header)
  await handle.sync()
  await rename(fresh, file)
  const folder = await open(directory, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
  return { handle, id, size: header.length }
}

/** The lines of a file from a byte, whole ones only. */
const linesFrom = async (
  handle: FileHandle,
  from: number,
  bytes: number,
): Promise<ReadonlyArray<{ readonly line: string; readonly end: number }>> => {
  for (let length = bytes; ; length *= 2) {
    const buffer = Buffer.alloc(length)
    const { bytesRead } = await handle.read(buffer, 0, length, from)
    const lines: Array<{ line: string; end: number }> = []
    let start = 0
    for (;;) {
      const stop = buffer.indexOf(10, start)
      if (stop < 0 || stop >= bytesRead) break
      lines.push({ line: buffer.toString("utf8", start, stop), end: from + stop + 1 })
      start = stop + 1
    }
    if (lines.length > 0 || bytesRead < length) return lines
  }
}

const idIn = (record: unknown): string | undefined =>
  typeof record === "object" &&
  record !== null &&
  "journal" in record &&
  typeof record.journal === "string"
    ? record.journal
    : undefined

/** Reads a journal through: its id, and where its last whole line ends. */
const scan = async (handle: FileHandle, file: string): Promise<State> => {
  const [first] = await linesFrom(handle, 0, 4096)
  const id = first === undefined ? undefined : idIn(recordOf(first.line))
  if (first === undefined || id === undefined) throw damaged(file, 0)
  let size = first.end
  for (;;) {
    const lines = await linesFrom(handle, size, 1 << 22)
    const last = lines.at(-1)
    if (last === undefined) return { handle, id, size }
    for (const { line, end } of lines) {
      if (recordOf(line) === undefined) {
        throw damaged(file, end - Buffer.byteLength(line) - 1)
      }
    }
    size = last.end
  }
}

const reopen = async (directory: string, file: string): Promise<State> => {
  const handle = await open(file, "r+").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  })
  if (handle === undefined) return create(directory, file)
  try {
    const state = await scan(handle, file)
    // Cut off by a crash, so nobody was told that it is safe.
    await handle.truncate(state.size)
    return state
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Opens a directory's journal, or makes it. Throws a `RegistryError`. */
export const openJournal = async (directory: string, maxBytes: number): Promise<JournalFile> => {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const unlock = lock(directory)
  const file = join(directory, "journal")
  try {
    await mkdir(join(directory, "files"), { recursive: true })
    let state = await reopen(directory, file)
    const mark = await open(join(directory, "delivered"), "a+").then(async (made) => {
      await made.close()
      return open(join(directory, "delivered"), "r+")
    })
    const [journal = "", position = ""] = (await mark.readFile("utf8")).split(" ")
    const start = (await linesFrom(state.handle, 0, 4096))[0]?.end ?? state.size
    let done = journal === state.id ? Math.max(start, Number.parseInt(position, 10) || 0) : start
    let size = state.size
    let pending = 0
    for (let at = done; at < size;) {
      const lines = await linesFrom(state.handle, at, 1 << 22)
      pending += lines.length
      at = lines.at(-1)?.end ?? size
    }

    let waiting: Array<{ text: string; resolve: () => void; reject: (error: unknown) => void }> = []
    let writing: Promise<void> = Promise.resolve()
    let scheduled = false

    const writeMark = async (end: number): Promise<void> => {
      // One short write inside one sector: whole or not there.
      await mark.write(Buffer.from(`${state.id} ${String(end).padStart(20, "0")}`), 0, 57, 0)
      await mark.datasync()
    }

    const writeGroup = async (): Promise<void> => {
      scheduled = false
      const group = waiting
      waiting = []
      const bytes = Buffer.from(group.map(({ text }) => text).join(""))
      try {
        for (let from = 0; from < bytes.length;) {
          const { bytesWritten } = await state.handle.write(
            bytes,
            from,
            bytes.length - from,
            size + from,
          )
          from += bytesWritten
        }
        await state.handle.datasync()
        size += bytes.length
        pending += group.length
        for (const { resolve } of group) resolve()
      } catch (cause) {
        // What was cut off must not run into what comes next.
        await state.handle.truncate(size).catch(() => undefined)
        const error = failed(`cannot write the journal ${file}`, cause)
        for (const { reject } of group) reject(error)
      }
    }

    const exclusive = (work: () => Promise<void>): Promise<void> => {
      const next = writing.then(work, work)
      writing = next.catch(() => undefined)
      return next
    }

    return {
      append: (record) => {
        const text = lineOf(record)
        if (size - done + text.length > maxBytes) {
          return Promise.reject(
            failed(
              `the journal ${directory} holds ${size - done} bytes that could not be delivered, and may hold ${maxBytes}: bring the server back, or raise maxBytes`,
            ),
          )
        }
        return new Promise((resolve, reject) => {
          waiting.push({ text, resolve, reject })
          if (scheduled) return
          scheduled = true
          void exclusive(writeGroup)
        })
      },
      next: async (bytes) => {
        const until = size
        if (done >= until) return []
        const lines = await linesFrom(state.handle, done, bytes)
        return lines.flatMap(({ line, end }) =>
          end > until ? [] : [{ record: recordOf(line), key: `${state.id}:${end}`, end }],
        )
      },
      delivered: async (entries) => {
        const end = entries.at(-1)?.end ?? done
        // Another file than the records': who appends does not wait for it.
        await writeMark(end)
        done = end
        pending -= entries.length
        if (done < size || size < 1 << 20) return
        await exclusive(async () => {
          // Everything was delivered: start a new file before this one grows without end.
          if (done < size || waiting.length > 0) return
          const before = state.handle
          state = await create(directory, file)
          size = state.size
          done = state.size
          await before.close()
        })
      },
      size: () => size - done,
      pending: () => pending,
      close: async () => {
        await writing
        await mark.close()
        await state.handle.close()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error instanceof RegistryError
      ? error
      : failed(`cannot open the journal ${directory}`, error)
  }
}
