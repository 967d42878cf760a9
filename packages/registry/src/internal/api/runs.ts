import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { Experiments } from "../../Experiments.ts"
import type { MetricPoint, RunRecord } from "../runs-read.ts"
import { Runs } from "../../Runs.ts"
import type {
  ColumnAnswer,
  ExperimentAnswer,
  HistoriesAnswer,
  KeysAnswer,
  PageOf,
  RunAnswer,
  RunRowAnswer,
  SeriesAnswer,
  ValuesAnswer,
  WireNumber,
} from "./answers.ts"
import {
  common,
  explorer,
  Id,
  iso,
  Key,
  list,
  queryUpTo,
  root,
  type Runtime,
  text,
  upTo,
  wireNumber,
} from "./route.ts"
import { thin } from "./thin.ts"

const rowOf = (run: RunRecord): RunRowAnswer => ({
  runId: run.runId,
  experimentId: run.experimentId,
  name: run.name,
  status: run.status,
  user: run.user,
  started: iso(run.started),
  ...(run.ended === undefined ? {} : { ended: iso(run.ended) }),
})

const runOf = Effect.fnUntraced(function* (runId: string) {
  const runs = yield* Runs
  const run = yield* runs.get(runId)
  const answer: RunAnswer = {
    ...rowOf(run),
    params: Object.fromEntries(Object.entries(run.params).map(([key, v]) => [key, String(v)])),
    tags: run.tags,
    metrics: Object.entries(run.latest).map(([key, { value, step, time }]) => ({
      key,
      value: wireNumber(value),
      step,
      time: iso(time),
    })),
    inputs: yield* runs.inputs(runId),
  }
  return answer
})

const column = <A, B>(
  { key, values }: { readonly key: string; readonly values: ReadonlyArray<A | undefined> },
  wire: (value: A) => B,
): ColumnAnswer<B> => ({
  key,
  values: values.map((value) => (value === undefined ? null : wire(value))),
})

const same = (value: string): string => value

/** Rows come without values. */
const nothing = { metrics: [], params: [], tags: [] } as const

/** How many histories are read at once. */
const atOnce = 4

const Histories = Schema.Struct({
  runs: list(Id, 200),
  keys: list(Key, 100),
  /** Points of a history at most, about. */
  samples: Schema.optionalKey(upTo(5000)),
  axis: Schema.optionalKey(Schema.Literals(["step", "time", "relative"])),
  /** First and last step, or milliseconds since 1970 or since the history's first point. */
  start: Schema.optionalKey(Schema.Finite),
  end: Schema.optionalKey(Schema.Finite),
})

/** Most histories of one request. */
const maxSeries = 1000

const histories = Effect.fnUntraced(function* (request: typeof Histories.Type) {
  const { samples = 400, axis = "step", start = -Infinity, end = Infinity } = request
  const pairs = request.runs.flatMap((runId) => request.keys.map((key) => ({ runId, key })))
  if (pairs.length > maxSeries) {
    return yield* new HttpKit.HttpError({
      reason: "InvalidInput",
      field: "body.runs",
      message: `${pairs.length} histories are asked for at once; ask for at most ${maxSeries}`,
    })
  }
  const runs = yield* Runs
  const shown = (runId: string, key: string, points: ReadonlyArray<MetricPoint>): SeriesAnswer => ({
    runId,
    key,
    steps: points.map(({ step }) => step),
    times: points.map(({ time }) => Math.floor(time / 1000)),
    values: points.map(({ value }) => wireNumber(value)),
  })
  // By step the store samples without reading all; steps are whole.
  const byStep = (key: string) =>
    Effect.map(
      runs.histories({
        runIds: request.runs,
        key,
        samples,
        ...(Number.isFinite(start) ? { start: Math.floor(start) } : {}),
        ...(Number.isFinite(end) ? { end: Math.ceil(end) } : {}),
      }),
      (found) => found.map(({ runId, points }) => shown(runId, key, points)),
    )
  const byTime = (key: string) =>
    Effect.forEach(
      request.runs,
      (runId) =>
        Effect.map(runs.history(runId, key), (points) => {
          const sorted = points.toSorted((left, right) => left.time - right.time)
          const origin = axis === "relative" ? (sorted[0]?.time ?? 0) / 1000 : 0
          const inside = sorted.filter(({ time }) => {
            const at = time / 1000 - origin
            return at >= start && at <= end
          })
          return shown(runId, key, thin(inside, samples, "time"))
        }),
      { concurrency: atOnce },
    )
  const series = (yield* Effect.forEach(request.keys, axis === "step" ? byStep : byTime)).flat()
  const answer: HistoriesAnswer = { series: series.filter(({ steps }) => steps.length > 0) }
  return answer
})

/** Registers what reads experiments, runs and their metrics. */
export const register = (app: FastifyInstance, runtime: Runtime): void => {
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/experiments`,
    operation: "registryExperiments",
    summary: "Experiments, newest first",
    access: { verb: "read" },
    query: Schema.Struct({
      limit: Schema.optionalKey(queryUpTo(1000)),
      token: Schema.optionalKey(text(4000)),
    }),
    handler: ({ query }) =>
      Effect.gen(function* () {
        const page = yield* (yield* Experiments).list(query)
        const answer: PageOf<ExperimentAnswer> = {
          ...page,
          items: page.items.map(({ id, name, created, updated, tags }) => ({
            id,
            name,
            created: iso(created),
            updated: iso(updated),
            tags,
          })),
        }
        return answer
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/keys`,
    operation: "registryKeys",
    summary: "Keys of metrics, parameters and tags that runs of experiments have",
    access: { verb: "read" },
    body: Schema.Struct({ experiments: list(Id, 1000) }),
    handler: ({ body }) =>
      Effect.gen(function* () {
        const answer: KeysAnswer = yield* (yield* explorer).keys(body.experiments)
        return answer
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/runs/search`,
    operation: "registrySearchRuns",
    summary: "Runs by filter and order, as rows without their values",
    access: { verb: "read" },
    body: Schema.Struct({
      experiments: list(Id, 1000),
      filter: Schema.optionalKey(text(100_000)),
      orderBy: Schema.optionalKey(list(text(1000), 10)),
      limit: Schema.optionalKey(upTo(1000)),
      token: Schema.optionalKey(text(4000)),
    }),
    handler: ({ body: { experiments, ...search } }) =>
      Effect.gen(function* () {
        const page = yield* (yield* Runs).search(experiments, { ...search, fields: nothing })
        const answer: PageOf<RunRowAnswer> = { ...page, items: page.items.map(rowOf) }
        return answer
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/runs/values`,
    operation: "registryRunValues",
    summary: "Values of metrics, parameters and tags for runs, column by column",
    access: { verb: "read" },
    body: Schema.Struct({
      runs: list(Id, 1000),
      metrics: Schema.optionalKey(list(Key, 1000)),
      params: Schema.optionalKey(list(Key, 1000)),
      tags: Schema.optionalKey(list(Key, 1000)),
      /** What of a metric's history is its value; default the last point. */
      aggregate: Schema.optionalKey(Schema.Literals(["last", "min", "max"])),
    }),
    handler: ({ body: { runs, ...columns } }) =>
      Effect.gen(function* () {
        const found = yield* (yield* explorer).values(runs, columns)
        const answer: ValuesAnswer = {
          metrics: found.metrics.map((each) => column<number, WireNumber>(each, wireNumber)),
          params: found.params.map((each) => column(each, same)),
          tags: found.tags.map((each) => column(each, same)),
        }
        return answer
      }),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "POST",
    url: `${root}/metrics/histories`,
    operation: "registryHistories",
    summary: "Histories of metrics of many runs, thinned for drawing",
    access: { verb: "read" },
    body: Histories,
    handler: ({ body }) => histories(body),
  })
  HttpKit.route(app, runtime, {
    ...common,
    method: "GET",
    url: `${root}/runs/:runId`,
    operation: "registryRun",
    summary: "A run with its parameters, tags, metrics and inputs",
    access: { verb: "read" },
    params: Schema.Struct({ runId: Id }),
    handler: ({ params }) => runOf(params.runId),
  })
}
