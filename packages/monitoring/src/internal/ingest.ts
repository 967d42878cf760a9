/**
 * Writes predictions and labels: checked, without the ones already there, packed by column,
 * committed in groups.
 *
 * @module
 */
import { Database, Digest, PredictionSink, type PredictionEvent } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { checkLabels, checkPredictions } from "./batch-check.ts"
import type { Column } from "./column-state.ts"
import { type Fingerprints, fingerprints } from "./fingerprint.ts"
import { groupCommit } from "./group-commit.ts"
import { type IngestOptions, makeModels, type ModelState } from "./model-states.ts"
import { concat, gather, pack } from "./pack.ts"
import type { Tables } from "./tables.ts"

const SinkError = PredictionSink.PredictionSinkError
type SinkError = PredictionSink.PredictionSinkError

const predictionCounter = Metric.counter("ashlar_monitoring_predictions_total", {
  description: "Predictions recorded, without those that were there already.",
  incremental: true,
})

const labelCounter = Metric.counter("ashlar_monitoring_labels_total", {
  description: "Labels received.",
  incremental: true,
})

const count = (counter: typeof predictionCounter, model: string, rows: number) =>
  Metric.update(Metric.withAttributes(counter, { model }), rows)

/** Rows of one transaction, and so at most of one chunk (unless one call brings more). */
const groupRows = 65_536

interface Predictions {
  readonly rows: number
  readonly batch: PredictionEvent.PredictionBatch
}

interface Labels {
  readonly rows: number
  readonly batch: PredictionEvent.LabelBatch
}

const failed = (cause: unknown): SinkError => {
  if (cause instanceof SinkError) return cause
  const database = cause instanceof Database.DatabaseError ? cause : undefined
  const retry =
    database !== undefined &&
    ["Unavailable", "Timeout", "Conflict", "OutOfSpace"].includes(database.reason)
  return new SinkError({
    reason: retry ? "Unavailable" : "Internal",
    message: `nothing of this batch was recorded: ${database?.message ?? String(cause)}. Sending it again is safe.`,
    cause,
  })
}

/** Columns of a chunk, prefixed by what they are. */
const scoreColumns = (
  batch: PredictionEvent.PredictionBatch,
  keys: Fingerprints,
): Array<readonly [string, Column]> => [
  ["k:a", keys.a],
  ["k:b", keys.b],
  ["k:time", batch.times],
  ...Object.entries(batch.outputs).map(([name, column]) => [`o:${name}`, column] as const),
  ...Object.entries(batch.segments ?? {}).map(([name, column]) => [`s:${name}`, column] as const),
]

const layoutOf = (batch: PredictionEvent.PredictionBatch): string =>
  JSON.stringify([
    batch.version,
    ...[batch.features, batch.outputs, batch.segments ?? {}].map((group) =>
      Object.entries(group).map(([name, column]) => [
        name,
        Array.isArray(column) ? "text" : column.constructor.name,
      ]),
    ),
  ])

interface Kept {
  readonly batch: PredictionEvent.PredictionBatch
  readonly keys: Fingerprints
  /** Rows that were new; undefined when all were. */
  readonly rows: Int32Array | undefined
}

const pickRows = (column: Column, kept: Kept): Column =>
  kept.rows === undefined ? column : gather(column, kept.rows)

/** One chunk from batches of the same layout. */
const chunkOf = (kept: ReadonlyArray<Kept>) => {
  const merge = (columns: (each: Kept) => ReadonlyArray<readonly [string, Column]>) => {
    const parts = kept.map((each) =>
      columns(each).map(([name, c]) => [name, pickRows(c, each)] as const),
    )
    return (parts[0] ?? []).map(
      ([name], i) => [name, concat(parts.map((part) => part[i]?.[1] ?? []))] as const,
    )
  }
  const score = merge((each) => scoreColumns(each.batch, each.keys))
  const times = score[2]?.[1] as Float64Array
  let min = Infinity
  let max = -Infinity
  for (const time of times) {
    if (time < min) min = time
    if (time > max) max = time
  }
  const ids = kept.flatMap((each) =>
    each.rows === undefined
      ? each.batch.predictionIds
      : Array.from(each.rows, (row) => each.batch.predictionIds[row] as string),
  )
  return {
    rows: times.length,
    min_time: min,
    max_time: max,
    parts: {
      score: pack(score),
      feature: pack(merge((each) => Object.entries(each.batch.features))),
      // One flat text: cheaper to write than any per-string layout, and seldom read.
      id: Buffer.from(JSON.stringify(ids)),
    },
  }
}

/** Rows whose ids were not seen before; undefined when none is new, `null` rows when all are. */
const newRows = (state: ModelState, keys: Fingerprints): Int32Array | "all" | "none" => {
  const n = keys.a.length
  const rows = new Int32Array(n)
  let count = 0
  for (let i = 0; i < n; i++) {
    if (state.recent.add(keys.a[i] as number, keys.b[i] as number)) rows[count++] = i
  }
  return count === n ? "all" : count === 0 ? "none" : rows.subarray(0, count)
}

/** The writer of one database. */
export const makeIngest = (
  db: Database.Database["Service"],
  options: IngestOptions,
): PredictionSink.PredictionSink["Service"] => {
  const build = db.build<Tables>()
  const models = makeModels(db, options)

  /** Takes the model's write lock and the next chunk number. */
  const nextSeq = Effect.fnUntraced(function* (model: string, column: "predictions" | "labels") {
    yield* db.run(
      build
        .updateTable("monitoring_model")
        .set((eb) => ({ [column]: eb(column, "+", 1) }))
        .where("name", "=", model),
    )
    const row = yield* db.first(
      build.selectFrom("monitoring_model").selectAll().where("name", "=", model),
    )
    if (row !== undefined) return row
    return yield* new SinkError({
      reason: "Internal",
      message: `model '${model}' was stored and is gone; was its row deleted?`,
    })
  })

  const writeModel = Effect.fnUntraced(function* (
    model: string,
    state: ModelState,
    items: ReadonlyArray<Predictions>,
  ) {
    const { predictions: seq } = yield* nextSeq(model, "predictions")
    yield* models.catchUp(model, state, seq - 1)
    const layouts = new Map<string, Array<Kept>>()
    for (const { batch } of items) {
      const keys = fingerprints(batch.predictionIds, state.salt)
      const rows = newRows(state, keys)
      if (rows === "none") continue
      const layout = layoutOf(batch)
      const group = layouts.get(layout) ?? []
      group.push({ batch, keys, rows: rows === "all" ? undefined : rows })
      layouts.set(layout, group)
    }
    state.seq = seq
    const chunks: Array<Tables["monitoring_chunk"]> = []
    const data: Array<Tables["monitoring_chunk_data"]> = []
    for (const group of layouts.values()) {
      const { parts, ...meta } = chunkOf(group)
      const part = chunks.length
      const version = group[0]?.batch.version ?? ""
      chunks.push({ model, seq, part, version, ...meta })
      for (const [kind, bytes] of Object.entries(parts)) {
        data.push({ model, seq, part, kind, data: bytes })
      }
    }
    yield* db.insertMany(
      "monitoring_chunk",
      chunks.map((row) => ({ ...row })),
    )
    yield* db.insertMany(
      "monitoring_chunk_data",
      data.map((row) => ({ ...row })),
    )
    const recorded = chunks.reduce((sum, chunk) => sum + chunk.rows, 0)
    yield* db.onCommit(count(predictionCounter, model, recorded))
  })

  const byModel = <Item extends { readonly batch: { readonly model: string } }>(
    items: ReadonlyArray<Item>,
  ): ReadonlyArray<readonly [string, ReadonlyArray<Item>]> => {
    const groups = new Map<string, Array<Item>>()
    for (const item of items) {
      const group = groups.get(item.batch.model)
      if (group === undefined) groups.set(item.batch.model, [item])
      else group.push(item)
    }
    // One order for everybody, so that two writers never wait for each other.
    return [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** Writes each model's items, all in one transaction. */
  const committed = <Item extends { readonly batch: { readonly model: string } }>(
    items: ReadonlyArray<Item>,
    write: (
      model: string,
      state: ModelState,
      items: ReadonlyArray<Item>,
    ) => Effect.Effect<void, SinkError | Database.DatabaseError>,
  ): Effect.Effect<void, SinkError> => {
    const groups = byModel(items)
    return Effect.forEach(groups, ([model, group]) =>
      Effect.map(models.get(model), (state) => write(model, state, group)),
    ).pipe(
      Effect.flatMap((writes) => db.transaction(Effect.all(writes, { discard: true }))),
      Effect.catchDefect((defect) => Effect.fail(failed(defect))),
      Effect.mapError(failed),
      // What the memory of ids learnt was rolled back: forget it, and learn it again.
      Effect.onError(() => Effect.sync(() => groups.forEach(([model]) => models.forget(model)))),
    )
  }

  const submitPredictions = groupCommit<Predictions, SinkError>(
    (items) => committed(items, writeModel),
    groupRows,
  )

  const writeLabels = Effect.fnUntraced(function* (
    model: string,
    state: ModelState,
    items: ReadonlyArray<Labels>,
  ) {
    for (const { batch } of items) {
      const keys = fingerprints(batch.predictionIds, state.salt)
      const data = pack([
        ["k:a", keys.a],
        ["k:b", keys.b],
        ["k:time", batch.times],
        ["label", batch.labels],
      ])
      const digest = Digest.of(data)
      const row = yield* nextSeq(model, "labels")
      const kind = Array.isArray(batch.labels) ? "text" : "number"
      if (row.label_kind !== null && row.label_kind !== kind) {
        return yield* new SinkError({
          reason: "InvalidInput",
          message: `labels of model '${model}' are ${row.label_kind}s so far, these are ${kind}s; keep to one kind`,
          field: "labels",
        })
      }
      if (row.label_kind === null) {
        yield* db.run(
          build.updateTable("monitoring_model").set({ label_kind: kind }).where("name", "=", model),
        )
      }
      // The same batch again changes nothing.
      yield* db.insertMany(
        "monitoring_label_chunk",
        [{ model, seq: row.labels, rows: batch.predictionIds.length, digest, data }],
        { onConflict: "ignore" },
      )
      yield* db.onCommit(count(labelCounter, model, batch.predictionIds.length))
    }
  })

  const submitLabels = groupCommit<Labels, SinkError>(
    (items) => committed(items, writeLabels),
    groupRows,
  )

  const checked =
    <B extends { readonly predictionIds: ReadonlyArray<string> }>(
      check: (batch: B) => void,
      submit: (item: {
        readonly rows: number
        readonly batch: B
      }) => Effect.Effect<void, SinkError>,
    ) =>
    (batch: B): Effect.Effect<void, SinkError> =>
      Effect.suspend(() => {
        try {
          check(batch)
        } catch (cause) {
          return Effect.fail(failed(cause))
        }
        const rows = batch.predictionIds.length
        return rows === 0 ? Effect.void : submit({ rows, batch })
      })

  return {
    predictions: checked(checkPredictions, submitPredictions),
    labels: checked(checkLabels, submitLabels),
  }
}
