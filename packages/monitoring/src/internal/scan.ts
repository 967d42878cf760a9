/**
 * Reads stored predictions chunk by chunk, a few megabytes at a time.
 *
 * @module
 */
import { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { MonitoringError } from "../MonitoringError.ts"
import type { Column } from "./column-state.ts"
import { LabelTable } from "./fingerprint.ts"
import { unpack } from "./pack.ts"
import type { Tables } from "./tables.ts"

/** Which predictions. */
export interface Selection {
  readonly model: string
  readonly version?: string | undefined
  /** Microseconds UTC; `to` is exclusive. */
  readonly from?: number | undefined
  readonly to?: number | undefined
}

/** A chunk as listed. */
export type Chunk = Tables["monitoring_chunk"]

/** A database error as one of this package. */
export const toMonitoringError = (cause: unknown): MonitoringError => {
  if (cause instanceof MonitoringError) return cause
  if (cause instanceof Database.DatabaseError) {
    const retry = ["Unavailable", "Timeout", "Conflict", "OutOfSpace"].includes(cause.reason)
    return new MonitoringError({
      reason: retry ? "Unavailable" : "Internal",
      message: cause.message,
      cause,
    })
  }
  return new MonitoringError({
    reason: "Internal",
    message: cause instanceof Error ? cause.message : String(cause),
    cause,
  })
}

/** Runs what may throw. */
export const attempt = <A>(work: () => A): Effect.Effect<A, MonitoringError> =>
  Effect.try({ try: work, catch: toMonitoringError })

const rowsAtOnce = 50_000

/** Reads of one database. */
export const makeScan = (db: Database.Database["Service"]) => {
  const build = db.build<Tables>()

  /** Chunks that may hold such predictions; fails when the model is unknown. */
  const list = Effect.fnUntraced(function* (selection: Selection) {
    let query = build
      .selectFrom("monitoring_chunk")
      .selectAll()
      .where("model", "=", selection.model)
    if (selection.version !== undefined) query = query.where("version", "=", selection.version)
    if (selection.from !== undefined) query = query.where("max_time", ">=", selection.from)
    if (selection.to !== undefined) query = query.where("min_time", "<", selection.to)
    const chunks = yield* db.all(query.orderBy("seq").orderBy("part"))
    if (chunks.length === 0) {
      const known = yield* db.first(
        build.selectFrom("monitoring_model").select("name").where("name", "=", selection.model),
      )
      if (known === undefined) {
        return yield* new MonitoringError({
          reason: "NotFound",
          message: `no predictions of model '${selection.model}' were ever recorded; check its name`,
          field: "model",
        })
      }
    }
    return chunks
  }, Effect.mapError(toMonitoringError))

  /** Visits one kind of data of the chunks, in their order. */
  const each = Effect.fnUntraced(function* (
    chunks: ReadonlyArray<Chunk>,
    kind: "score" | "feature" | "id",
    visit: (chunk: Chunk, data: Uint8Array) => void,
  ) {
    for (let start = 0; start < chunks.length;) {
      let end = start
      let rows = 0
      while (end < chunks.length && (end === start || rows < rowsAtOnce)) {
        rows += chunks[end]?.rows ?? 0
        end++
      }
      const group = chunks.slice(start, end)
      const wanted = new Map(group.map((chunk) => [`${chunk.seq}:${chunk.part}`, chunk]))
      const found = yield* db.all(
        build
          .selectFrom("monitoring_chunk_data")
          .selectAll()
          .where("model", "=", group[0]?.model ?? "")
          .where("kind", "=", kind)
          .where("seq", "in", [...new Set(group.map((chunk) => chunk.seq))])
          .orderBy("seq")
          .orderBy("part"),
      )
      yield* attempt(() => {
        for (const row of found) {
          const chunk = wanted.get(`${row.seq}:${row.part}`)
          if (chunk !== undefined) visit(chunk, row.data)
        }
      })
      start = end
      // Other work of the process gets its turn between groups.
      yield* Effect.yieldNow
    }
  }, Effect.mapError(toMonitoringError))

  let cached:
    | {
        readonly model: string
        seq: number
        readonly labels: LabelTable
        readonly codes: Map<string, number>
      }
    | undefined

  /**
   * The newest label of every prediction of a model. The last model asked for stays in memory, and
   * only its new labels are read, by one caller at a time: of the same time, the last one counts, so
   * the order matters.
   */
  const loadLabels = Effect.fnUntraced(function* (model: string) {
    const state =
      cached?.model === model
        ? cached
        : { model, seq: 0, labels: new LabelTable(), codes: new Map<string, number>() }
    const last = yield* db.first(
      build.selectFrom("monitoring_model").select("labels").where("name", "=", model),
    )
    const to = last?.labels ?? 0
    while (state.seq < to) {
      const upTo = Math.min(to, state.seq + 64)
      const rows = yield* db.all(
        build
          .selectFrom("monitoring_label_chunk")
          .select("data")
          .where("model", "=", model)
          .where("seq", ">", state.seq)
          .where("seq", "<=", upTo)
          .orderBy("seq"),
      )
      yield* attempt(() => {
        for (const { data } of rows) putLabels(unpack(data), state.labels, state.codes)
      })
      state.seq = upTo
      yield* Effect.yieldNow
    }
    cached = state
    return { labels: state.labels, codes: state.codes }
  }, Effect.mapError(toMonitoringError))
  const loading = Semaphore.makeUnsafe(1)
  const labels = (model: string) => Semaphore.withPermit(loading, loadLabels(model))

  return { list, each, labels }
}

/** Reads of one database. */
export type Scan = ReturnType<typeof makeScan>

const putLabels = (
  columns: Map<string, Column>,
  to: LabelTable,
  codes: Map<string, number>,
): void => {
  const a = columns.get("k:a") as Int32Array
  const b = columns.get("k:b") as Int32Array
  const times = columns.get("k:time") as Float64Array
  const values = columns.get("label") ?? []
  const isText = Array.isArray(values)
  for (let i = 0; i < a.length; i++) {
    const value = values[i]
    let number: number
    if (typeof value === "number") number = value
    else if (value === null || value === undefined) number = Number.NaN
    else {
      const known = codes.get(value)
      number = known ?? codes.size
      if (known === undefined) codes.set(value, number)
    }
    to.put(a[i] as number, b[i] as number, times[i] as number, number)
  }
  if (isText && codes.size > 1_000_000) {
    throw new MonitoringError({
      reason: "TooLarge",
      message: "the labels have more than a million different texts; send numbers or classes",
    })
  }
}

/** The numeric output to judge: the one named, the only one, or the usual names. */
export const pickOutput = (
  columns: ReadonlyMap<string, Column>,
  wanted: string | undefined,
): string => {
  const outputs = [...columns.keys()].filter((name) => name.startsWith("o:"))
  const numeric = outputs.filter((name) => !Array.isArray(columns.get(name)))
  const pick =
    wanted !== undefined
      ? numeric.find((name) => name === `o:${wanted}`)
      : numeric.length === 1
        ? numeric[0]
        : ["o:probability", "o:score", "o:prediction"].find((name) => numeric.includes(name))
  if (pick !== undefined) return pick
  throw new MonitoringError({
    reason: "InvalidInput",
    message: `${wanted === undefined ? "which output to judge is not clear" : `there is no numeric output '${wanted}'`}; numeric outputs are ${numeric.map((name) => `'${name.slice(2)}'`).join(", ") || "none"}`,
    field: "output",
  })
}

/** Turns stored labels into 0, 1 or NaN; numbers must be 0 or 1, text is compared with `positive`. */
export const binaryLabel = (
  codes: ReadonlyMap<string, number>,
  positive: string | undefined,
): ((label: number) => number) => {
  if (codes.size === 0) {
    return (label) => {
      if (label === 0 || label === 1 || label !== label) return label
      throw new MonitoringError({
        reason: "InvalidInput",
        message: `a label is ${label}, but this needs 0 or 1; ask with task 'regression'`,
        field: "task",
      })
    }
  }
  const code = positive === undefined ? undefined : codes.get(positive)
  if (code === undefined) {
    throw new MonitoringError({
      reason: "InvalidInput",
      message: `labels are texts (${[...codes.keys()].slice(0, 5).join(", ")}); name the positive one in 'positive'`,
      field: "positive",
    })
  }
  return (label) => (label !== label ? label : label === code ? 1 : 0)
}

/** Labels as amounts; the codes of texts are none. */
export const amount = (codes: ReadonlyMap<string, number>): ((label: number) => number) => {
  if (codes.size === 0) return (label) => label
  throw new MonitoringError({
    reason: "InvalidInput",
    message: `labels are texts (${[...codes.keys()].slice(0, 5).join(", ")}), which have no amounts; ask with task 'binary' and name the 'positive' one`,
    field: "task",
  })
}
