/** Training frames: label rows with the features as they were known at each row's instant. */
import { Dataset, type FeatureSource } from "@ashlar/core"
import * as Arrow from "apache-arrow"
import * as Effect from "effect/Effect"
import type { FeatureService, Precision, View } from "../FeatureService.ts"
import type { FeatureStoreError } from "../FeatureStoreError.ts"
import type { FeatureView } from "../FeatureView.ts"
import { fromCause, invalid } from "./failures.ts"
import { groupBy, sorter } from "./order.ts"
import { computeRequest, type RequestColumn } from "./requestColumns.ts"
import { asKeys, type SourceColumn } from "./sourceColumns.ts"
import { ageStatus, type ViewState } from "./viewState.ts"

/** Rows swept before other fibers get a turn. */
const turn = 50_000

/** A numeric column whose NaNs are nulls. */
const nullable = (values: Float64Array | Float32Array): Arrow.Vector => {
  let nulls = 0
  let bits: Uint8Array | undefined
  for (let i = 0; i < values.length; i++) {
    const x = values[i] as number
    if (x === x) continue
    if (bits === undefined) bits = new Uint8Array(Math.ceil(values.length / 8)).fill(255)
    bits[i >> 3] = (bits[i >> 3] as number) & ~(1 << (i & 7))
    nulls++
  }
  const shared = bits === undefined ? {} : { nullBitmap: bits, nullCount: nulls }
  return values instanceof Float64Array
    ? Arrow.makeVector(Arrow.makeData({ type: new Arrow.Float64(), data: values, ...shared }))
    : Arrow.makeVector(Arrow.makeData({ type: new Arrow.Float32(), data: values, ...shared }))
}

const allocate = (rows: number, precision: Precision): Float64Array | Float32Array =>
  precision === "float32" ? new Float32Array(rows) : new Float64Array(rows)

/** Column inputs for the features of one view, in its order. */
const sweepLabels = Effect.fnUntraced(function* (
  state: ViewState,
  keys: Int32Array,
  times: Float64Array,
  precision: Precision,
) {
  const { index, latest, view } = state
  const rows = keys.length
  const { offsets, rows: order } = groupBy(keys, index.keys)
  const { sort } = sorter()
  for (let k = 0; k < index.keys; k++) {
    sort(order, offsets[k] as number, offsets[k + 1] as number, times)
  }
  const sweep = state.sweep()
  const numbers = latest.map(({ texts }) =>
    texts === undefined ? allocate(rows, precision).fill(Number.NaN) : undefined,
  )
  const codes = latest.map(({ texts }) =>
    texts === undefined ? undefined : new Int32Array(rows).fill(-1),
  )
  const aggregates = view.features
    .slice(latest.length)
    .map(() => allocate(rows, precision).fill(Number.NaN))
  for (let i = 0; i < order.length; i++) {
    if (i % turn === turn - 1) yield* Effect.yieldNow
    const row = order[i] as number
    const key = keys[row] as number
    const time = times[row] as number
    sweep.advance(key, time)
    const position = sweep.latest(key)
    const event = position < 0 ? undefined : index.event[position]
    if (ageStatus(event, time, view.ttl) !== "PRESENT") continue
    for (let c = 0; c < latest.length; c++) {
      const value = latest[c]?.values[position] as number
      const into = numbers[c] ?? codes[c]
      if (into !== undefined) into[row] = value
    }
    sweep.read(key, aggregates, row)
  }
  const columns: Array<Dataset.ColumnInput> = latest.map(({ texts }, c) => {
    const column = numbers[c]
    if (column !== undefined) return nullable(column)
    return { codes: codes[c] as Int32Array, values: texts ?? [] }
  })
  return [...columns, ...aggregates.map(nullable)]
})

const labelKeys = Effect.fnUntraced(function* (labels: Arrow.Table, view: FeatureView) {
  const columns: Array<SourceColumn> = []
  for (const [name, type] of Object.entries(view.entity.joinKeys)) {
    columns.push(
      type === "string"
        ? { kind: "text", values: yield* Dataset.dictionary(labels, name) }
        : { kind: "number", values: yield* Dataset.float64(labels, name) },
    )
  }
  return columns.map(asKeys)
})

const requestColumns = Effect.fnUntraced(function* (
  labels: Arrow.Table,
  inputs: Readonly<Record<string, "float64" | "string" | "timestamp">>,
) {
  const columns: Record<string, RequestColumn> = {}
  for (const [name, type] of Object.entries(inputs)) {
    columns[name] =
      type === "string"
        ? yield* Dataset.strings(labels, name)
        : type === "timestamp"
          ? yield* Dataset.micros(labels, name)
          : yield* Dataset.float64(labels, name)
  }
  return columns
})

/** Builds the training frame of a service. */
export const trainingFrame = Effect.fnUntraced(function* (
  service: FeatureService,
  request: FeatureSource.FrameRequest,
  stateOf: (view: FeatureView) => Effect.Effect<ViewState, FeatureStoreError>,
) {
  const passed = (name: string): boolean =>
    service.views.some(
      (view) =>
        view.kind === "request" &&
        Object.hasOwn(view.inputs, name) &&
        view.features.some((each) => (service.fullNames ? `${view.name}__${each}` : each) === name),
    )
  const has = new Set(request.labels.schema.fields.map((field) => field.name))
  const taken = service.features.find((name) => has.has(name) && !passed(name))
  if (taken !== undefined) {
    return yield* invalid(
      "labels",
      `the labels already have a column '${taken}', which service '${service.name}' would add; rename or drop it`,
    )
  }
  const labels = yield* Dataset.table(request.labels)
  const times = yield* Dataset.micros(labels, request.timestamp)
  const bad = times.findIndex((time) => !Number.isSafeInteger(time))
  if (bad >= 0) {
    return yield* invalid(
      request.timestamp,
      `label row ${bad} has no usable '${request.timestamp}'`,
    )
  }
  const added: Array<readonly [string, Dataset.ColumnInput]> = []
  const add = (view: View, columns: ReadonlyArray<Dataset.ColumnInput>): void => {
    view.features.forEach((feature, i) => {
      const name = service.fullNames ? `${view.name}__${feature}` : feature
      added.push([name, columns[i] as Dataset.ColumnInput])
    })
  }
  for (const view of service.views) {
    if (view.kind === "request") {
      const inputs = yield* requestColumns(labels, view.inputs)
      const columns = yield* computeRequest(view, inputs, labels.numRows, service.precision)
      add(
        view,
        columns.map((column) =>
          ArrayBuffer.isView(column) ? nullable(column) : { strings: column },
        ),
      )
    } else {
      const state = yield* stateOf(view)
      const keys = state.keys.match(yield* labelKeys(labels, view))
      add(view, yield* sweepLabels(state, keys, times, service.precision))
    }
  }
  return yield* Dataset.withColumns(Dataset.fromTable(labels), Object.fromEntries(added))
}, Effect.mapError(fromCause))
