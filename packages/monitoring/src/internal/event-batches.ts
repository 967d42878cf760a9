/**
 * Events as they come in JSON, as batches by column.
 *
 * @module
 */
import { PredictionEvent, Timestamp } from "@ashlar/core"
import * as Schema from "effect/Schema"
import { MonitoringError } from "../MonitoringError.ts"
import type { Column } from "./column-state.ts"

/** ISO 8601 in JSON. */
export const Instant = Schema.String.check(
  Schema.makeFilter(
    (text: string) =>
      Timestamp.fromIso(text) !== undefined || "an instant is ISO 8601, e.g. 2001-06-01T00:00:00Z",
  ),
)

/** Predictions of one request. */
export const Predictions = Schema.Struct({
  predictions: Schema.Array(
    Schema.Struct({ ...PredictionEvent.PredictionEvent.fields, time: Instant }),
  ),
})

/** Labels of one request. */
export const Labels = Schema.Struct({
  labels: Schema.Array(Schema.Struct({ ...PredictionEvent.LabelEvent.fields, time: Instant })),
})

type Value = typeof PredictionEvent.Value.Type

const toColumn = (values: ReadonlyArray<Value>, field: string): Column => {
  const isText = values.some((value) => typeof value === "string")
  if (!isText)
    return Float64Array.from(values, (value) => (value === null ? Number.NaN : Number(value)))
  return values.map((value) => {
    if (value === null || typeof value === "string") return value
    throw new MonitoringError({
      reason: "InvalidInput",
      message: `${field} holds texts and numbers; give it one type`,
      field,
    })
  })
}

/** Rows of names to values, by column; a name that a row lacks is null there. */
const columns = (
  rows: ReadonlyArray<Readonly<Record<string, Value>>>,
  field: string,
): Record<string, Column> => {
  const names = new Set(rows.flatMap((row) => Object.keys(row)))
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      toColumn(
        rows.map((row) => (Object.hasOwn(row, name) ? (row[name] ?? null) : null)),
        `${field}.${name}`,
      ),
    ]),
  )
}

const groups = <A>(
  items: ReadonlyArray<A>,
  key: (item: A) => string,
): ReadonlyArray<ReadonlyArray<A>> => {
  const out = new Map<string, Array<A>>()
  for (const item of items) {
    const name = key(item)
    const group = out.get(name)
    if (group === undefined) out.set(name, [item])
    else group.push(item)
  }
  return [...out.values()]
}

const times = (events: ReadonlyArray<{ readonly time: string }>): Float64Array =>
  Float64Array.from(events, ({ time }) => Timestamp.fromIso(time) ?? Number.NaN)

/** One batch for each model and version. Throws `MonitoringError`. */
export const predictionBatches = (
  body: typeof Predictions.Type,
): ReadonlyArray<PredictionEvent.PredictionBatch> =>
  groups(body.predictions, (event) => JSON.stringify([event.model, event.version])).map(
    (events) => {
      const names = new Set(events.flatMap((event) => Object.keys(event.segments ?? {})))
      return {
        model: events[0]?.model ?? "",
        version: events[0]?.version ?? "",
        predictionIds: events.map((event) => event.predictionId),
        times: times(events),
        features: columns(
          events.map((event) => event.features),
          "features",
        ),
        outputs: columns(
          events.map((event) => event.outputs),
          "outputs",
        ),
        segments: Object.fromEntries(
          [...names].map((name) => [name, events.map((event) => event.segments?.[name] ?? "")]),
        ),
      }
    },
  )

/** One batch for each model. Throws `MonitoringError`. */
export const labelBatches = (body: typeof Labels.Type): ReadonlyArray<PredictionEvent.LabelBatch> =>
  groups(body.labels, (event) => event.model).map((events) => ({
    model: events[0]?.model ?? "",
    predictionIds: events.map((event) => event.predictionId),
    times: times(events),
    labels: toColumn(
      events.map((event) => event.label),
      "label",
    ),
  }))
