import { fileURLToPath } from "node:url"
import { Dataset, type DataType } from "@ashlar/core"
import * as Parquet from "@ashlar/core/parquet"
import * as Effect from "effect/Effect"

/** 3,000,000 US flights from January to June 2001, as the npm package vega-datasets ships them. */
const file = (): string =>
  fileURLToPath(new URL("../data/flights-3m.parquet", import.meta.resolve("vega-datasets")))

const minute = 60e6

/**
 * Minutes in the air and on the ground between gates, estimated from the distance in miles: the
 * data does not say when a flight arrived, and its delay is not known before that.
 */
export const minutesInFlight = (distance: number): number => 30 + distance / 7.5

/**
 * Reads the flights: `time` (departure), `created` (when its delay became known: departure, delay
 * and flight time later), `delay` in minutes, `distance` in miles, `origin`, `destination`.
 */
export const read = Effect.fnUntraced(function* (rows: number) {
  const source = yield* Parquet.read(file())
  yield* Dataset.expect(source, {
    date: "timestamp",
    delay: "int64",
    distance: "int64",
    origin: "string",
    destination: "string",
  })
  const whole = yield* Dataset.table(source)
  // Every k-th flight, so that a smaller run still covers the half year.
  const stride = whole.numRows / Math.min(rows, whole.numRows)
  const sample =
    stride === 1
      ? source
      : yield* Dataset.take(
          source,
          Int32Array.from({ length: rows }, (_, i) => Math.floor(i * stride)),
        )
  const table = stride === 1 ? whole : yield* Dataset.table(sample)
  const time = yield* Dataset.micros(table, "date")
  const delay = yield* Dataset.float64(table, "delay")
  const distance = yield* Dataset.float64(table, "distance")
  const created = new Float64Array(time.length)
  for (let i = 0; i < time.length; i++) {
    const flown = minutesInFlight(distance[i] as number)
    // A flight is not over before it began, however absurd its record.
    created[i] =
      (time[i] as number) + Math.max(1, Math.round((delay[i] as number) + flown)) * minute
  }
  return yield* Dataset.fromColumns({
    time: { micros: time },
    created: { micros: created },
    delay,
    distance,
    origin: yield* Dataset.dictionary(table, "origin"),
    destination: yield* Dataset.dictionary(table, "destination"),
  })
})

/** A matrix of float32 columns as one tensor, row by row: what the models take. */
export const toTensor = (
  columns: ReadonlyArray<ArrayLike<number>>,
  from: number,
  to: number,
): DataType.Tensor => {
  const width = columns.length
  const data = new Float32Array((to - from) * width)
  columns.forEach((column, j) => {
    for (let i = from; i < to; i++) data[(i - from) * width + j] = column[i] as number
  })
  return { datatype: "FP32", shape: [to - from, width], data }
}
