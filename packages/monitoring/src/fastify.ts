/**
 * Monitoring over HTTP: take predictions and labels, ask for performance, drift, the worst misses
 * and explanations. Instants are ISO 8601 with `Z`.
 *
 * @module
 */
import { ModelSource, Timestamp } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Schema from "effect/Schema"
import type { FastifyInstance } from "fastify"
import { explain, fromColumns, fromRecords, top } from "./Explanation.ts"
import {
  Instant,
  labelBatches,
  Labels,
  predictionBatches,
  Predictions,
} from "./internal/event-batches.ts"
import { featureNames } from "./internal/predict-rows.ts"
import { attempt } from "./internal/scan.ts"
import { Monitoring } from "./Monitoring.ts"
import { MetricName } from "./Performance.ts"
import { Profile } from "./Profile.ts"
import * as Window from "./Window.ts"

/** What the plugin serves, and to whom. */
export interface PluginOptions {
  /** The Effect side: `ManagedRuntime.make(Monitoring.layer().pipe(Layer.provide(...)))`. */
  readonly runtime: ManagedRuntime.ManagedRuntime<Monitoring, unknown>
  /** Where to find models to explain; without it there is no `/explain`. */
  readonly models?: ManagedRuntime.ManagedRuntime<Monitoring | ModelSource.ModelSource, unknown>
  /** Tokens need a scope on this project; default: on any. */
  readonly project?: string
}

const Params = Schema.Struct({ model: Schema.NonEmptyString })
const span = {
  version: Schema.optionalKey(Schema.String),
  from: Schema.optionalKey(Instant),
  to: Schema.optionalKey(Instant),
}

const window = ({ from, to }: Window.Window) => ({
  from: Number.isFinite(from) ? Timestamp.toIso(from) : null,
  to: Number.isFinite(to) ? Timestamp.toIso(to) : null,
})

/** The span of a query, in microseconds. */
const selection = (query: {
  readonly version?: string
  readonly from?: string
  readonly to?: string
}) => {
  const from = query.from === undefined ? undefined : Timestamp.fromIso(query.from)
  const to = query.to === undefined ? undefined : Timestamp.fromIso(query.to)
  return {
    ...(query.version === undefined ? {} : { version: query.version }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  }
}

const optional = <K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } =>
  (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V }

const metricNames = Schema.decodeUnknownEffect(Schema.Array(MetricName))

/**
 * `POST /v1/predictions`, `POST /v1/labels`, `GET /v1/models`,
 * `GET /v1/models/:model/{performance,drift,misses}`, `PUT /v1/models/:model/references/:name`,
 * and, with `models`, `POST /v1/models/:model/explain`.
 *
 * @example
 * ```ts no-run
 * import * as HttpKit from "@ashlar/core/fastify"
 * import * as Sqlite from "@ashlar/core/sqlite"
 * import { Monitoring } from "@ashlar/monitoring"
 * import { plugin } from "@ashlar/monitoring/fastify"
 * import * as Layer from "effect/Layer"
 * import * as ManagedRuntime from "effect/ManagedRuntime"
 *
 * const database = Sqlite.layer({ file: "monitoring.sqlite" })
 * const runtime = ManagedRuntime.make(Monitoring.layer().pipe(Layer.provide(database)))
 * const server = await HttpKit.makeServer({
 *   auth: "off-on-loopback",
 *   port: 8090,
 *   register: (app) => app.register(plugin, { runtime }),
 * })
 * ```
 */
export const plugin = async (app: FastifyInstance, options: PluginOptions): Promise<void> => {
  const { runtime } = options
  const scope = options.project === undefined ? {} : { project: options.project }
  const tag = "monitoring"

  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/v1/predictions",
    operation: "recordPredictions",
    tag,
    access: { verb: "write", ...scope },
    body: Predictions,
    handler: ({ body }) =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        const batches = yield* attempt(() => predictionBatches(body))
        yield* Effect.forEach(batches, monitoring.predictions, { discard: true })
        return { accepted: body.predictions.length }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "POST",
    url: "/v1/labels",
    operation: "recordLabels",
    tag,
    access: { verb: "write", ...scope },
    body: Labels,
    handler: ({ body }) =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        const batches = yield* attempt(() => labelBatches(body))
        yield* Effect.forEach(batches, monitoring.labels, { discard: true })
        return { accepted: body.labels.length }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/v1/models",
    operation: "listMonitoredModels",
    tag,
    access: { verb: "read", ...scope },
    handler: () =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        const models = yield* monitoring.models
        return {
          models: models.map(({ first, last, ...model }) => ({
            ...model,
            ...(first === undefined ? {} : { first: Timestamp.toIso(first) }),
            ...(last === undefined ? {} : { last: Timestamp.toIso(last) }),
          })),
        }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/v1/models/:model/performance",
    operation: "getPerformance",
    tag,
    access: { verb: "read", ...scope },
    params: Params,
    query: Schema.Struct({
      ...span,
      by: Schema.optionalKey(Window.By),
      segment: Schema.optionalKey(Schema.String),
      output: Schema.optionalKey(Schema.String),
      positive: Schema.optionalKey(Schema.String),
      task: Schema.optionalKey(Schema.Literals(["binary", "regression"])),
      /** Names separated by commas. */
      metrics: Schema.optionalKey(Schema.String),
    }),
    handler: ({ params, query }) =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        const metrics =
          query.metrics === undefined
            ? undefined
            : yield* Effect.mapError(
                metricNames(query.metrics.split(",")),
                (cause) =>
                  new HttpKit.HttpError({
                    reason: "InvalidInput",
                    message: `query.metrics: ${cause.message}`,
                    field: "query.metrics",
                  }),
              )
        const rows = yield* monitoring.performance({
          model: params.model,
          by: query.by ?? "all",
          ...selection(query),
          ...optional("segment", query.segment),
          ...optional("output", query.output),
          ...optional("positive", query.positive),
          ...optional("task", query.task),
          ...optional("metrics", metrics),
        })
        return { rows: rows.map((row) => ({ ...row, window: window(row.window) })) }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/v1/models/:model/drift",
    operation: "getDrift",
    tag,
    access: { verb: "read", ...scope },
    params: Params,
    query: Schema.Struct({
      ...span,
      by: Schema.optionalKey(Window.By),
      reference: Schema.optionalKey(Schema.NonEmptyString),
    }),
    handler: ({ params, query }) =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        const windows = yield* monitoring.drift({
          model: params.model,
          ...selection(query),
          ...optional("by", query.by),
          ...optional("reference", query.reference),
        })
        return {
          windows: windows.map((each) => ({
            window: window(each.window),
            ...each.report,
            // JSON has no NaN: a test that could not be made is null.
            columns: each.report.columns.map((column) => ({
              ...column,
              pValue: Number.isNaN(column.pValue) ? null : column.pValue,
              pAdjusted: Number.isNaN(column.pAdjusted) ? null : column.pAdjusted,
            })),
          })),
        }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "GET",
    url: "/v1/models/:model/misses",
    operation: "getWorstMisses",
    tag,
    access: { verb: "read", ...scope },
    params: Params,
    query: Schema.Struct({
      ...span,
      limit: Schema.optionalKey(Schema.NumberFromString),
      output: Schema.optionalKey(Schema.String),
      positive: Schema.optionalKey(Schema.String),
      task: Schema.optionalKey(Schema.Literals(["binary", "regression"])),
    }),
    handler: ({ params, query }) =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        const misses = yield* monitoring.worstMisses({
          model: params.model,
          limit: query.limit ?? 20,
          ...selection(query),
          ...optional("output", query.output),
          ...optional("positive", query.positive),
          ...optional("task", query.task),
        })
        return { misses: misses.map((miss) => ({ ...miss, time: Timestamp.toIso(miss.time) })) }
      }),
  })

  HttpKit.route(app, runtime, {
    method: "PUT",
    url: "/v1/models/:model/references/:name",
    operation: "putReference",
    tag,
    access: { verb: "write", ...scope },
    params: Schema.Struct({ model: Schema.NonEmptyString, name: Schema.NonEmptyString }),
    body: Profile,
    handler: ({ params, body }) =>
      Effect.gen(function* () {
        const monitoring = yield* Monitoring
        yield* monitoring.putReference(params.model, body, params.name)
      }),
  })

  if (options.models !== undefined) explainRoute(app, options.models, scope)
}

/** Attributions of rows, against the newest recorded features as background. */
const explainRoute = (
  app: FastifyInstance,
  models: ManagedRuntime.ManagedRuntime<Monitoring | ModelSource.ModelSource, unknown>,
  scope: { readonly project?: string },
): void => {
  HttpKit.route(app, models, {
    method: "POST",
    url: "/v1/models/:model/explain",
    operation: "explain",
    tag: "monitoring",
    access: { verb: "read", ...scope },
    params: Params,
    body: Schema.Struct({
      version: Schema.optionalKey(Schema.Int),
      alias: Schema.optionalKey(Schema.NonEmptyString),
      /** Feature values by name; null is missing. */
      rows: Schema.Array(Schema.Record(Schema.String, Schema.NullOr(Schema.Finite))).check(
        Schema.isMaxLength(1000),
      ),
    }),
    handler: ({ params, body }) =>
      Effect.gen(function* () {
        const source = yield* ModelSource.ModelSource
        const monitoring = yield* Monitoring
        const model = yield* source.resolve({
          name: params.model,
          ...optional("version", body.version),
          ...optional("alias", body.alias),
        })
        const columns = featureNames(model.package.manifest.signature)
        const recent = yield* monitoring.recentFeatures({ model: params.model, limit: 1000 })
        const rows = yield* attempt(() => fromRecords(body.rows, columns))
        const background = yield* attempt(() => fromColumns(recent, columns))
        const made = yield* explain({ model: model.package, rows, background })
        return {
          version: model.version,
          space: made.space,
          base: made.base,
          rows: body.rows.map((_, i) => ({ output: made.output[i], attributions: top(made, i) })),
        }
      }),
  })
}
