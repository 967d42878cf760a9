/**
 * A run's output on disk: one JSON object a line in `log`; when that reaches half of the limit it
 * becomes `log.old`, so that the newest lines are kept.
 *
 * @module
 */
import { closeSync, openSync, renameSync, writeSync } from "node:fs"
import { type FileHandle, open, stat } from "node:fs/promises"
import { join } from "node:path"
import { StringDecoder } from "node:string_decoder"
import type { LogLine } from "../../Job.ts"

/** Longer lines are cut into several. */
const maxLine = 64 * 1024

/** Cuts bytes into lines; returns what to call with each chunk, and with nothing at the end. */
export const lineSplitter = (emit: (line: string) => void): ((chunk?: Uint8Array) => void) => {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  return (chunk) => {
    rest += chunk === undefined ? decoder.end() : decoder.write(Buffer.from(chunk))
    const lines = rest.split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) emit(line.endsWith("\r") ? line.slice(0, -1) : line)
    for (; rest.length >= maxLine; rest = rest.slice(maxLine)) emit(rest.slice(0, maxLine))
    if (chunk === undefined && rest !== "") emit(rest)
  }
}

/** Appends lines. */
export const makeWriter = (directory: string, limitBytes: number) => {
  const path = join(directory, "log")
  let file = openSync(path, "a", 0o600)
  let size = 0
  return {
    /** Never throws: a full disk must not stop the job, its later lines are lost. */
    append: (stream: "stdout" | "stderr", line: string): void => {
      const bytes = Buffer.from(`${JSON.stringify([Date.now() * 1000, stream, line])}\n`)
      try {
        if (size > 0 && size + bytes.length > limitBytes / 2) {
          closeSync(file)
          renameSync(path, `${path}.old`)
          file = openSync(path, "a", 0o600)
          size = 0
        }
        writeSync(file, bytes)
        size += bytes.length
      } catch {
        // Counted as written, so that rotation still frees space.
        size += bytes.length
      }
    },
    close: () => closeSync(file),
  }
}

const parse = (text: string, attempt: number): LogLine | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    if (!Array.isArray(value)) return undefined
    const [time, stream, line]: ReadonlyArray<unknown> = value
    const isLine =
      typeof time === "number" &&
      (stream === "stdout" || stream === "stderr") &&
      typeof line === "string"
    return isLine ? { time, stream, line, attempt } : undefined
  } catch {
    // The writer was killed in the middle of the line.
    return undefined
  }
}

const exists = (path: string) =>
  stat(path).then(
    ({ ino }) => ino,
    () => undefined,
  )

const openIf = (path: string): Promise<FileHandle | undefined> =>
  open(path, "r").catch(() => undefined)

/** Reads lines; `ended` says whether no more will be written, and is asked before each end of file. */
export async function* readLines(
  directory: string,
  attempt: number,
  ended: () => Promise<boolean>,
): AsyncGenerator<LogLine> {
  const path = join(directory, "log")
  const buffer = Buffer.allocUnsafe(64 * 1024)
  let file = (await openIf(`${path}.old`)) ?? (await openIf(path))
  let rest: Buffer = Buffer.alloc(0)
  try {
    for (;;) {
      // Asked before the read: lines written until then are still in the file.
      const isLast = await ended()
      let bytesRead = 0
      while (file !== undefined && (bytesRead = (await file.read(buffer)).bytesRead) > 0) {
        rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)])
        for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
          const line = parse(rest.toString("utf8", 0, end), attempt)
          rest = rest.subarray(end + 1)
          if (line !== undefined) yield line
        }
      }
      const current = await exists(path)
      if (current !== undefined && current !== (await file?.stat())?.ino) {
        // Rotated while it was read.
        await file?.close()
        file = await openIf(path)
        rest = Buffer.alloc(0)
        continue
      }
      if (isLast) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  } finally {
    await file?.close()
  }
}
