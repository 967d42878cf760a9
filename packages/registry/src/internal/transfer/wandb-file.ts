/**
 * The file in which W&B's client keeps a run, `run-<id>.wandb`: records of protocol buffers in the
 * log format of LevelDB (blocks of 32 KiB, CRC-32 of each piece). Field numbers are those of
 * `wandb_internal.proto`.
 *
 * @module
 */
import { crc32 } from "node:zlib"
import { RegistryError } from "../../RegistryError.ts"
import { bytesOf, message, numberOf } from "../wire.ts"

const headerBytes = 7
const blockBytes = 32_768

/** Numbers of a metric. Times are Unix milliseconds. */
export interface WandbPoint {
  readonly step: number
  readonly time: number
  readonly value: number
}

/** What a run's file tells. */
export interface WandbRun {
  id: string
  project: string
  name: string
  notes: string
  group: string
  jobType: string
  host: string
  commit: string
  started: number
  ended: number
  /** Undefined when the run never said that it ended. */
  exitCode: number | undefined
  tags: Array<string>
  config: Map<string, string>
  summary: Map<string, string>
  history: Map<string, Array<WandbPoint>>
}

const corrupt = (path: string, message: string) =>
  new RegistryError({ reason: "Corrupt", field: path, message: `${path}: ${message}` })

/** Whole records, one after the other; a last one that was cut, as by a crash, is left out. */
function* records(bytes: Buffer, path: string): Generator<Buffer> {
  if (bytes.length < headerBytes || bytes.toString("latin1", 0, 4) !== ":W&B") {
    throw corrupt(path, "this is no file of W&B's client")
  }
  if (bytes.readUInt16LE(4) !== 0xbee1 || bytes[6] !== 0) {
    throw corrupt(path, "the file is of a version that is not known here")
  }
  let parts: Array<Buffer> = []
  for (let at = headerBytes; at < bytes.length;) {
    const left = blockBytes - (at % blockBytes)
    if (left < headerBytes) {
      at += left
      continue
    }
    if (at + headerBytes > bytes.length) return
    const length = bytes.readUInt16LE(at + 4)
    const end = at + headerBytes + length
    if (end > bytes.length) return
    const kind = bytes[at + 6] ?? 0
    // The kind is part of what is summed up.
    if (crc32(bytes.subarray(at + 6, end)) !== bytes.readUInt32LE(at)) {
      throw corrupt(path, `the record at byte ${at} does not have its checksum`)
    }
    const piece = bytes.subarray(at + headerBytes, end)
    at = end
    if (kind === 1 || kind === 2) parts = []
    if (kind < 1 || kind > 4) throw corrupt(path, `a record has the unknown kind ${kind}`)
    parts.push(piece)
    if (kind === 1 || kind === 4) yield Buffer.concat(parts)
  }
}

const textOf = (value: number | Uint8Array, path: string): string =>
  Buffer.from(bytesOf(value, path)).toString("utf8")

/** A key with its parts, and the JSON of its value. */
const itemOf = (bytes: Uint8Array, path: string): readonly [string, string] => {
  const parts: Array<string> = []
  let json = ""
  for (const [number, value] of message(bytes, path)) {
    if (number === 1 || number === 2) parts.push(textOf(value, path))
    else if (number === 16) json = textOf(value, path)
  }
  return [parts.join("."), json]
}

const items = (bytes: Uint8Array, path: string): ReadonlyArray<readonly [string, string]> => {
  const found: Array<readonly [string, string]> = []
  for (const [number, value] of message(bytes, path)) {
    if (number === 1) found.push(itemOf(bytesOf(value, path), path))
  }
  return found
}

/** A number of JSON; W&B's client writes NaN and infinities as they are. */
export const numberOfJson = (json: string): number | undefined => {
  switch (json) {
    case "NaN":
      return Number.NaN
    case "Infinity":
      return Number.POSITIVE_INFINITY
    case "-Infinity":
      return Number.NEGATIVE_INFINITY
    case "true":
      return 1
    case "false":
      return 0
    default:
      return /^-?\d/.test(json) && Number.isFinite(Number(json)) ? Number(json) : undefined
  }
}

const readHistory = (run: WandbRun, bytes: Uint8Array, path: string): void => {
  const values = new Map(items(bytes, path))
  let step: number | undefined
  for (const [number, value] of message(bytes, path)) {
    if (number !== 2) continue
    step = 0
    for (const [inner, count] of message(bytesOf(value, path), path)) {
      if (inner === 1) step = numberOf(count, path)
    }
  }
  step ??= Number(values.get("_step") ?? 0)
  const seconds = Number(values.get("_timestamp") ?? Number.NaN)
  const time = Number.isFinite(seconds) ? Math.round(seconds * 1000) : run.started
  run.ended = Math.max(run.ended, time)
  for (const [key, json] of values) {
    if (key.startsWith("_")) continue
    const value = numberOfJson(json)
    if (value === undefined) continue
    const series = run.history.get(key)
    if (series === undefined) run.history.set(key, [{ step, time, value }])
    else series.push({ step, time, value })
  }
}

const readConfig = (run: WandbRun, bytes: Uint8Array, path: string): void => {
  for (const [key, json] of items(bytes, path)) {
    if (!key.startsWith("_wandb")) run.config.set(key, json)
  }
}

const readRun = (run: WandbRun, bytes: Uint8Array, path: string): void => {
  for (const [number, value] of message(bytes, path)) {
    if (number === 1) run.id = textOf(value, path)
    else if (number === 3) run.project = textOf(value, path)
    else if (number === 4) readConfig(run, bytesOf(value, path), path)
    else if (number === 6) run.group = textOf(value, path)
    else if (number === 7) run.jobType = textOf(value, path)
    else if (number === 8) run.name = textOf(value, path)
    else if (number === 9) run.notes = textOf(value, path)
    else if (number === 10) run.tags.push(textOf(value, path))
    else if (number === 13) run.host = textOf(value, path)
    else if (number === 17) {
      for (const [inner, count] of message(bytesOf(value, path), path)) {
        if (inner === 1) run.started += numberOf(count, path) * 1000
        else if (inner === 2) run.started += Math.floor(numberOf(count, path) / 1e6)
      }
    } else if (number === 21) {
      for (const [inner, text] of message(bytesOf(value, path), path)) {
        if (inner === 2) run.commit = textOf(text, path)
      }
    }
  }
}

const readExit = (run: WandbRun, bytes: Uint8Array, path: string): void => {
  run.exitCode = 0
  for (const [number, value] of message(bytes, path)) {
    if (number === 1) run.exitCode = numberOf(value, path)
  }
}

/** Reads a run's file; throws a `RegistryError` of reason `Corrupt` when it is damaged. */
export const readWandb = (bytes: Buffer, path: string): WandbRun => {
  const run: WandbRun = {
    id: "",
    project: "",
    name: "",
    notes: "",
    group: "",
    jobType: "",
    host: "",
    commit: "",
    started: 0,
    ended: 0,
    exitCode: undefined,
    tags: [],
    config: new Map(),
    summary: new Map(),
    history: new Map(),
  }
  try {
    for (const record of records(bytes, path)) {
      for (const [number, value] of message(record, path)) {
        if (number === 2) readHistory(run, bytesOf(value, path), path)
        else if (number === 5) readConfig(run, bytesOf(value, path), path)
        else if (number === 17) readRun(run, bytesOf(value, path), path)
        else if (number === 18) readExit(run, bytesOf(value, path), path)
        else if (number === 3) {
          for (const [key, json] of items(bytesOf(value, path), path)) {
            if (!key.startsWith("_")) run.summary.set(key, json)
          }
        }
      }
    }
  } catch (cause) {
    if (cause instanceof RegistryError) throw cause
    throw corrupt(path, cause instanceof Error ? cause.message : String(cause))
  }
  if (run.id === "") throw corrupt(path, "the file tells of no run")
  return run
}
