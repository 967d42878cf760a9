import { Dataset, FeatureSource, PredictionSink } from "@ashlar/core"
import { FeatureStore } from "@ashlar/feature-store"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { refresh, type Span } from "./calendar.ts"
import * as Features from "./features.ts"
import { toTensor } from "./flights.ts"
import { ModelServer } from "./ModelServer.ts"
import * as Prepare from "./prepare.ts"
import { modelName } from "./train.ts"

/** Rows of one request. */
const batchRows = 256

/** Requests in flight. */
const concurrency = 3

/** What scoring a span took. */
export const Scored = Schema.Struct({
  rows: Schema.Number,
  requests: Schema.Number,
  seconds: Schema.Number,
  /** Milliseconds of up to 2000 requests, spread evenly. */
  latencies: Schema.Array(Schema.Number),
  labels: Schema.Number,
  /** Rows by version that scored them. */
  versions: Schema.Record(Schema.String, Schema.Number),
})

/** The flights as columns, and the order in which their delays became known. */
interface Timeline {
  readonly time: Float64Array
  readonly created: Float64Array
  readonly delay: Float64Array
  readonly distance: Float64Array
  readonly origin: ReadonlyArray<string | null>
  readonly destination: ReadonlyArray<string | null>
  readonly byCreated: Int32Array
}

/** Reads the flights once for all spans. */
export const timeline = Effect.gen(function* () {
  const table = yield* Dataset.table(yield* Prepare.flights)
  const created = yield* Dataset.micros(table, "created")
  const byCreated = Int32Array.from(created, (_, i) => i)
  byCreated.sort((a, b) => (created[a] as number) - (created[b] as number))
  return {
    time: yield* Dataset.micros(table, "time"),
    created,
    delay: yield* Dataset.float64(table, "delay"),
    distance: yield* Dataset.float64(table, "distance"),
    origin: yield* Dataset.strings(table, "origin"),
    destination: yield* Dataset.strings(table, "destination"),
    byCreated,
  } satisfies Timeline
})

/** First position in a sorted sequence whose value is not below. */
const lowerBound = (length: number, valueAt: (i: number) => number, value: number): number => {
  let low = 0
  let high = length
  while (low < high) {
    const middle = (low + high) >> 1
    if (valueAt(middle) < value) low = middle + 1
    else high = middle
  }
  return low
}

interface Answer {
  readonly version: string
  readonly probability: Float32Array
}

/** One inference over HTTP, tensors as raw bytes. */
const infer = (
  server: ModelServer["Service"],
  columns: ReadonlyArray<ArrayLike<number>>,
  rows: number,
): Effect.Effect<Answer, Error> =>
  Effect.tryPromise({
    try: async (signal) => {
      const tensor = toTensor(columns, 0, rows)
      const bytes = new Uint8Array((tensor.data as Float32Array).buffer)
      const json = Buffer.from(
        JSON.stringify({
          inputs: [
            {
              name: "features",
              datatype: tensor.datatype,
              shape: tensor.shape,
              parameters: { binary_data_size: bytes.length },
            },
          ],
          outputs: [{ name: "probability", parameters: { binary_data: true } }],
        }),
      )
      const response = await fetch(`${server.url}/v2/models/${modelName}/infer`, {
        method: "POST",
        signal,
        headers: {
          authorization: `Bearer ${Redacted.value(server.token)}`,
          "content-type": "application/octet-stream",
          "inference-header-content-length": String(json.length),
        },
        body: Buffer.concat([json, bytes]),
      })
      const body = Buffer.from(await response.arrayBuffer())
      if (!response.ok) throw new Error(`scoring answered ${response.status}: ${body.toString()}`)
      const header = Number(response.headers.get("inference-header-content-length"))
      const { model_version } = JSON.parse(body.subarray(0, header).toString())
      const raw = new Uint8Array(body.subarray(header))
      return { version: String(model_version), probability: new Float32Array(raw.buffer) }
    },
    catch: (cause) => (cause instanceof Error ? cause : new Error(String(cause))),
  })

const numeric = (values: FeatureSource.FeatureVectors["values"]): ReadonlyArray<Float32Array> =>
  values.map((column) => Float32Array.from(column as ArrayLike<number>))

/**
 * Lives through a span of time: every two hours the online features are brought up to date, the
 * flights departing until the next refresh are scored over HTTP with vectors from the online store,
 * predictions are recorded, and so are the labels of flights that have arrived by then. Doing a
 * span again changes nothing: predictions and labels are known by their ids.
 */
export const span = Effect.fnUntraced(function* (
  flights: Timeline,
  part: Span,
  since: number,
  onProgress: (rows: number) => void,
) {
  const server = yield* ModelServer
  const store = yield* FeatureStore.FeatureStore
  const source = yield* FeatureSource.FeatureSource
  const sink = yield* PredictionSink.PredictionSink
  const { time, created, byCreated } = flights
  const latencies: Array<number> = []
  const versions: Record<string, number> = {}
  let rows = 0
  let labels = 0
  let seconds = 0

  const scoreBatch = Effect.fnUntraced(function* (from: number, to: number) {
    const started = performance.now()
    const vectors = yield* source.vectors({
      service: Features.flightRisk.name,
      entities: {
        time: time.subarray(from, to),
        distance: flights.distance.subarray(from, to),
        origin: flights.origin.slice(from, to),
        destination: flights.destination.slice(from, to),
      },
    })
    const columns = numeric(vectors.values)
    const sent = performance.now()
    const { version, probability } = yield* infer(server, columns, to - from)
    latencies.push(performance.now() - sent)
    const predictionIds = Array.from({ length: to - from }, (_, i) => `f${from + i}`)
    yield* sink.predictions({
      model: modelName,
      version,
      predictionIds,
      times: time.slice(from, to),
      features: Object.fromEntries(vectors.names.map((name, j) => [name, columns[j] ?? []])),
      outputs: { probability },
    })
    versions[version] = (versions[version] ?? 0) + to - from
    rows += to - from
    onProgress(rows)
    return performance.now() - started
  })

  const sendLabels = Effect.fnUntraced(function* (from: number, to: number) {
    const at = (i: number) => created[byCreated[i] as number] as number
    const first = lowerBound(byCreated.length, at, from)
    const last = lowerBound(byCreated.length, at, to)
    // Flights that departed before scoring began were never predicted.
    const arrived = byCreated.slice(first, last).filter((row) => (time[row] as number) >= since)
    if (arrived.length === 0) return
    yield* sink.labels({
      model: modelName,
      predictionIds: Array.from(arrived, (row) => `f${row}`),
      times: Float64Array.from(arrived, (row) => created[row] as number),
      labels: Float64Array.from(arrived, (row) =>
        (flights.delay[row] as number) > Features.lateAfter ? 1 : 0,
      ),
    })
    labels += arrived.length
  })

  for (let from = part.from; from < part.to; from += refresh) {
    const to = Math.min(from + refresh, part.to)
    yield* store.materialize({ service: Features.flightRisk.name, at: from })
    const first = lowerBound(time.length, (i) => time[i] as number, from)
    const last = lowerBound(time.length, (i) => time[i] as number, to)
    const batches: Array<number> = []
    for (let row = first; row < last; row += batchRows) batches.push(row)
    const started = performance.now()
    yield* Effect.forEach(batches, (row) => scoreBatch(row, Math.min(row + batchRows, last)), {
      concurrency,
      discard: true,
    })
    seconds += (performance.now() - started) / 1000
    yield* sendLabels(from, to)
  }

  const stride = Math.max(1, latencies.length / 2000)
  return {
    rows,
    requests: latencies.length,
    seconds,
    latencies: Array.from({ length: Math.min(2000, latencies.length) }, (_, i) =>
      Number((latencies[Math.floor(i * stride)] ?? 0).toFixed(3)),
    ),
    labels,
    versions,
  }
})
