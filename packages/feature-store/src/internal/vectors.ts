/** Feature vectors from the online store. */
import type { FeatureSource } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { FeatureService, Precision } from "../FeatureService.ts"
import { FeatureStoreError } from "../FeatureStoreError.ts"
import type { FeatureView } from "../FeatureView.ts"
import type { OnlineRow, OnlineStore } from "../OnlineStore.ts"
import { fromCause, invalid, notFound } from "./failures.ts"
import { problemOf, textOf } from "./keys.ts"
import { computeRequest, decodeColumn, type RequestColumn, type Sent } from "./requestColumns.ts"
import { isText, tableOf, textsOf } from "./rows.ts"
import { ageStatus } from "./viewState.ts"

type Entities = FeatureSource.VectorRequest["entities"]
type Status = FeatureSource.FeatureStatus

/** One feature of all requested rows. */
interface Served {
  readonly values: Float64Array | Float32Array | ReadonlyArray<string | null>
  readonly statuses: ReadonlyArray<Status>
}

/** Vectors with the event time of each value, NaN where there is none. */
export interface TimedVectors extends FeatureSource.FeatureVectors {
  /** One per feature; microseconds. */
  readonly events: ReadonlyArray<Float64Array>
}

const sentColumn = (entities: Entities, name: string, needer: string): Sent => {
  const column = Object.hasOwn(entities, name) ? entities[name] : undefined
  if (column === undefined) {
    throw notFound(`entities.${name}`, `the request has no column '${name}', which ${needer} needs`)
  }
  return column
}

/** Online keys of each row; undefined where a part is missing. */
const keysOf = (view: FeatureView, entities: Entities, rows: number) => {
  const keys = Array.from<string | undefined>({ length: rows }).fill("")
  for (const [name, type] of Object.entries(view.entity.joinKeys)) {
    const column = sentColumn(entities, name, `view '${view.name}'`)
    for (let row = 0; row < rows; row++) {
      const value = column[row]
      const problem = problemOf(value, type)
      if (problem !== undefined) {
        throw invalid(`entities.${name}[${row}]`, `'${name}' row ${row} ${problem}`)
      }
      const isMissing = value === null || value === undefined || Number.isNaN(value)
      const before = keys[row]
      keys[row] = isMissing || before === undefined ? undefined : before + textOf(value)
    }
  }
  return keys
}

const serveView = Effect.fnUntraced(function* (
  view: FeatureView,
  entities: Entities,
  rows: number,
  now: number,
  precision: Precision,
  online: OnlineStore["Service"],
) {
  const keys = yield* Effect.try({ try: () => keysOf(view, entities, rows), catch: fromCause })
  const wanted: Array<string> = []
  const slots = new Int32Array(rows).fill(-1)
  for (let row = 0; row < rows; row++) {
    const key = keys[row]
    if (key !== undefined) slots[row] = wanted.push(key) - 1
  }
  const found: ReadonlyArray<OnlineRow | undefined> = yield* online.read(tableOf(view), wanted)

  const text = isText(view)
  const values = text.map((is) =>
    is
      ? new Array<string | null>(rows).fill(null)
      : precision === "float32"
        ? new Float32Array(rows).fill(Number.NaN)
        : new Float64Array(rows).fill(Number.NaN),
  )
  const statuses = text.map(() => new Array<Status>(rows).fill("PRESENT"))
  const events = new Float64Array(rows).fill(Number.NaN)
  const numeric = text.flatMap((is, f) => (is ? [] : [f]))
  const worded = text.flatMap((is, f) => (is ? [f] : []))
  const into = numeric.map((f) => values[f] as Float64Array | Float32Array)
  const numericStatuses = numeric.map((f) => statuses[f] as Array<Status>)
  // One copy of a row's numbers for all rows: a view for each would be most of the work.
  const numbers = new Float64Array(numeric.length)
  const bytes = new Uint8Array(numbers.buffer)
  for (let row = 0; row < rows; row++) {
    const slot = slots[row] as number
    const stored = slot < 0 ? undefined : found[slot]
    const age = ageStatus(stored?.event, now, view.ttl)
    if (stored === undefined || age !== "PRESENT") {
      for (const column of statuses) column[row] = age
      if (stored !== undefined) events[row] = stored.event
      continue
    }
    events[row] = stored.event
    const { payload } = stored
    const isWhole =
      worded.length === 0 ? payload.length === bytes.length : payload.length > bytes.length
    if (!isWhole) {
      return yield* new FeatureStoreError({
        reason: "Corrupt",
        field: view.name,
        message: `a stored row of view '${view.name}' has ${payload.length} bytes, which is not its layout; materialise the view again, after removing the row`,
      })
    }
    bytes.set(worded.length === 0 ? payload : payload.subarray(0, bytes.length))
    for (let i = 0; i < numbers.length; i++) {
      const value = numbers[i] as number
      if (value !== value) (numericStatuses[i] as Array<Status>)[row] = "NULL_VALUE"
      else (into[i] as Float64Array)[row] = value
    }
    if (worded.length === 0) continue
    const texts = textsOf(payload, numbers.length)
    worded.forEach((f, i) => {
      const value = texts[i] ?? null
      ;(values[f] as Array<string | null>)[row] = value
      if (value === null) (statuses[f] as Array<Status>)[row] = "NULL_VALUE"
    })
  }
  return view.features.map((_, f): Served & { readonly events: Float64Array } => ({
    values: values[f] as Served["values"],
    statuses: statuses[f] as ReadonlyArray<Status>,
    events,
  }))
})

const rowsOf = (entities: Entities): number => {
  const columns = Object.entries(entities)
  const first = columns[0]
  if (first === undefined)
    throw invalid("entities", "the request has no columns; send the join keys")
  for (const [name, column] of columns) {
    if (column.length !== first[1].length) {
      throw invalid(
        `entities.${name}`,
        `'${name}' has ${column.length} rows and '${first[0]}' has ${first[1].length}; all columns need the same number`,
      )
    }
  }
  return first[1].length
}

/** Vectors of a service for the rows of a request, as of `now`. */
export const vectors: (
  service: FeatureService,
  entities: Entities,
  now: number,
  online: OnlineStore["Service"],
) => Effect.Effect<TimedVectors, FeatureStoreError> = Effect.fnUntraced(function* (
  service,
  entities,
  now,
  online,
) {
  const rows = yield* Effect.try({ try: () => rowsOf(entities), catch: fromCause })
  const values: Array<Served["values"]> = []
  const statuses: Array<ReadonlyArray<Status>> = []
  const events: Array<Float64Array> = []
  for (const view of service.views) {
    if (view.kind === "view") {
      const served = yield* serveView(view, entities, rows, now, service.precision, online)
      for (const feature of served) {
        values.push(feature.values)
        statuses.push(feature.statuses)
        events.push(feature.events)
      }
      continue
    }
    const inputs = yield* Effect.try({
      try: () => {
        const columns: Record<string, RequestColumn> = {}
        for (const [name, type] of Object.entries(view.inputs)) {
          columns[name] = decodeColumn(
            name,
            type,
            sentColumn(entities, name, `view '${view.name}'`),
          )
        }
        return columns
      },
      catch: fromCause,
    })
    for (const column of yield* computeRequest(view, inputs, rows, service.precision)) {
      values.push(column)
      statuses.push(
        Array.from<number | string | null, Status>(column as ArrayLike<string>, (value) =>
          value === null || value !== value ? "NULL_VALUE" : "PRESENT",
        ),
      )
      events.push(new Float64Array(rows).fill(now))
    }
  }
  return { names: service.features, values, statuses, events }
}, Effect.mapError(fromCause))
