import { Dataset, FeatureSource } from "@ashlar/core"
import * as Parquet from "@ashlar/core/parquet"
import { FeatureStore } from "@ashlar/feature-store"
import { Labeling } from "@ashlar/labeling"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { refreshBefore, type Span } from "./calendar.ts"
import * as Features from "./features.ts"
import * as Flights from "./flights.ts"
import * as Plausibility from "./plausibility.ts"
import { Workspace } from "./Workspace.ts"

/** What the cleaning step found. */
export const Cleaned = Schema.Struct({
  read: Schema.Number,
  kept: Schema.Number,
  dropped: Schema.Number,
  digest: Schema.String,
  /** Dropped rows by the rules that voted against them. */
  reasons: Schema.Record(Schema.String, Schema.Number),
  /** Accuracy of each rule as the label model estimates it. */
  rules: Schema.Record(Schema.String, Schema.Number),
})

const columns = ["time", "created", "delay", "distance", "origin", "destination"] as const

/** Reads the flights, drops what cannot be true, and writes both parts as Parquet. */
export const clean = Effect.gen(function* () {
  const workspace = yield* Workspace
  const labeling = yield* Labeling.Labeling
  const { kept, dropped, model } = yield* labeling.separate({
    dataset: yield* Flights.read(workspace.rows),
    classes: Plausibility.classes,
    functions: Plausibility.rules,
    keep: "plausible",
  })
  const clean = yield* Parquet.write(kept, workspace.path("flights.parquet"))
  yield* Parquet.write(dropped, workspace.path("dropped.parquet"))
  const reasons: Record<string, number> = {}
  for (const reason of yield* Dataset.strings(yield* Dataset.table(dropped), "reasons")) {
    reasons[reason ?? ""] = (reasons[reason ?? ""] ?? 0) + 1
  }
  const droppedRows = dropped.rows ?? 0
  return {
    read: clean.rows + droppedRows,
    kept: clean.rows,
    dropped: droppedRows,
    digest: clean.digest,
    reasons,
    // A rule that never voted has no accuracy.
    rules: Object.fromEntries(
      Object.entries(model.accuracy).filter(([, accuracy]) => Number.isFinite(accuracy)),
    ),
  }
})

/** The clean flights. */
export const flights = Effect.gen(function* () {
  const workspace = yield* Workspace
  return yield* Parquet.read(workspace.path("flights.parquet"), { columns })
})

/** Defines the features and takes the flights into the offline store. */
export const ingest = (digest: string) =>
  Effect.gen(function* () {
    const store = yield* FeatureStore.FeatureStore
    const { rows } = yield* store.ingest(Features.flights, yield* flights, {
      // An ingest key is a name, and a name has no colon.
      key: digest.replace(":", "-"),
    })
    return rows
  })

/**
 * Flights that departed in a span, with what a request for a prediction knows, and the truth.
 * `asof` is the last refresh of the online store before the departure: features are joined as of
 * then, so that a model learns from exactly what it will be served.
 */
export const labels = Effect.fnUntraced(function* (span: Span) {
  const table = yield* Dataset.table(yield* flights)
  const time = yield* Dataset.micros(table, "time")
  const mask = Uint8Array.from(time, (t) => (t >= span.from && t < span.to ? 1 : 0))
  const rows = yield* Dataset.filter(Dataset.fromTable(table), mask)
  const kept = yield* Dataset.table(rows)
  const delay = yield* Dataset.float64(kept, "delay")
  const departure = yield* Dataset.micros(kept, "time")
  const known = yield* Dataset.select(rows, ["time", "distance", "origin", "destination"])
  return yield* Dataset.withColumns(known, {
    asof: { micros: departure.map(refreshBefore) },
    late: Float32Array.from(delay, (minutes) => (minutes > Features.lateAfter ? 1 : 0)),
  })
})

/** A stored training frame. */
export const Frame = Schema.Struct({
  ...Dataset.DatasetRef.fields,
  rows: Schema.Number,
  late: Schema.Number,
})

/** Joins the features known at each departure to the flights of a span, and stores the frame. */
export const frame = Effect.fnUntraced(function* (name: string, span: Span) {
  const workspace = yield* Workspace
  const source = yield* FeatureSource.FeatureSource
  const joined = yield* source.trainingFrame({
    service: Features.flightRisk.name,
    labels: yield* labels(span),
    timestamp: "asof",
  })
  const wanted = yield* Dataset.select(joined, ["time", "late", ...Features.flightRisk.features])
  const written = yield* Parquet.write(wanted, workspace.path("frames", `${name}.parquet`))
  const late = yield* Dataset.float32(yield* Dataset.table(wanted), "late")
  return {
    name,
    uri: workspace.url("frames", `${name}.parquet`),
    digest: written.digest,
    rows: written.rows,
    late: late.reduce((sum, value) => sum + value, 0) / Math.max(1, late.length),
  }
})
