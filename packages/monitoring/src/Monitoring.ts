/**
 * The monitoring service: takes predictions and labels, and answers how the model is doing.
 *
 * @module
 */
import { Database, type PredictionEvent, PredictionSink, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Drift from "./Drift.ts"
import { decoder } from "./internal/decode.ts"
import { makeIngest } from "./internal/ingest.ts"
import { type Miss as MissType, worstMisses } from "./internal/misses.ts"
import { performance } from "./internal/performance.ts"
import { recentFeatures } from "./internal/recent-features.ts"
import { attempt, makeScan, toMonitoringError } from "./internal/scan.ts"
import { migrations, type Tables } from "./internal/tables.ts"
import { windowProfiles } from "./internal/window-profiles.ts"
import { MonitoringError } from "./MonitoringError.ts"
import * as Performance from "./Performance.ts"
import * as Profile from "./Profile.ts"
import * as Window from "./Window.ts"

/** A prediction with its truth. `loss` is log loss in nats, or the absolute error of a regression. */
export type Miss = MissType

const Instants = {
  /** Microseconds UTC, inclusive. */
  from: Schema.optionalKey(Schema.Int),
  /** Microseconds UTC, exclusive. */
  to: Schema.optionalKey(Schema.Int),
}

/** Schema of a selection of predictions. */
export const ProfileRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  version: Schema.optionalKey(Schema.String),
  ...Instants,
  columns: Schema.optionalKey(Schema.Array(Schema.String)),
})

/** A selection of predictions. */
export type ProfileRequest = typeof ProfileRequest.Type

/** What to compare with: a stored reference by name, the predictions of a span, or a profile. */
export const Reference = Schema.Union([
  Schema.NonEmptyString,
  Profile.Profile,
  Schema.Struct({ from: Schema.Int, to: Schema.Int }),
])

/** What to compare with. */
export type Reference = typeof Reference.Type

/** Schema of a question about drift. */
export const DriftRequest = Schema.Struct({
  ...ProfileRequest.fields,
  /** Default: the stored reference `default`. */
  reference: Schema.optionalKey(Reference),
  /** One report for each such window; default `all`. */
  by: Schema.optionalKey(Window.By),
  measure: Schema.optionalKey(Schema.Literals(["psi", "jensenShannon", "distance"])),
  threshold: Schema.optionalKey(Schema.Finite),
  alpha: Schema.optionalKey(Schema.Finite),
  adjust: Schema.optionalKey(Schema.Literals(["bh", "by", "holm", "bonferroni", "none"])),
})

/** A question about drift. */
export type DriftRequest = typeof DriftRequest.Type

/** Drift of one window. */
export interface WindowDrift {
  readonly window: Window.Window
  readonly report: Drift.DriftReport
}

/** Schema of a question for the worst predictions. */
export const MissRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  version: Schema.optionalKey(Schema.String),
  ...Instants,
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })),
  output: Schema.optionalKey(Schema.String),
  task: Schema.optionalKey(Schema.Literals(["binary", "regression"])),
  positive: Schema.optionalKey(Schema.String),
})

/** A question for the worst predictions. */
export type MissRequest = typeof MissRequest.Type

/** What is recorded of a model. */
export interface ModelSummary {
  readonly model: string
  readonly versions: ReadonlyArray<string>
  readonly predictions: number
  /** Time of the first and last prediction, microseconds UTC. */
  readonly first?: number
  readonly last?: number
}

/** Records predictions and labels, and answers questions about them. */
export class Monitoring extends Context.Service<
  Monitoring,
  {
    /**
     * Records predictions: committed when it returns, at most 100,000 rows a call. An id that the
     * model already has is ignored, so sending again is safe. Concurrent calls share a commit.
     */
    readonly predictions: PredictionSink.PredictionSink["Service"]["predictions"]
    /**
     * Records labels, before or after their predictions. The label with the latest time counts; of
     * the same time, the one that came last. A NaN or null label takes an earlier one back.
     */
    readonly labels: PredictionSink.PredictionSink["Service"]["labels"]
    /** Performance by window and segment, from the labels known now. */
    readonly performance: (
      request: Performance.Request,
    ) => Effect.Effect<ReadonlyArray<Performance.Row>, MonitoringError>
    /** Profile of the features of recorded predictions. */
    readonly profile: (request: ProfileRequest) => Effect.Effect<Profile.Profile, MonitoringError>
    /** Keeps a profile, e.g. of the training data, to compare with; replaces one of that name. */
    readonly putReference: (
      model: string,
      profile: Profile.Profile,
      name?: string,
    ) => Effect.Effect<void, MonitoringError>
    readonly reference: (
      model: string,
      name?: string,
    ) => Effect.Effect<Profile.Profile, MonitoringError>
    /** Drift of the features against a reference, by window, oldest first. */
    readonly drift: (
      request: DriftRequest,
    ) => Effect.Effect<ReadonlyArray<WindowDrift>, MonitoringError>
    /** The labelled predictions with the largest loss, worst first. */
    readonly worstMisses: (
      request: MissRequest,
    ) => Effect.Effect<ReadonlyArray<Miss>, MonitoringError>
    /**
     * Features of the newest recorded predictions, at most `limit` rows: the background of an
     * explanation.
     */
    readonly recentFeatures: (request: {
      readonly model: string
      readonly version?: string
      readonly limit: number
    }) => Effect.Effect<Readonly<Record<string, PredictionEvent.Column>>, MonitoringError>
    /** Every model that has predictions. */
    readonly models: Effect.Effect<ReadonlyArray<ModelSummary>, MonitoringError>
  }
>()("@ashlar/monitoring/Monitoring/v1") {}

/** How the service works. */
export interface MonitoringOptions {
  /**
   * Newest predictions of a model whose ids are recognised when sent again, at least the newest half
   * of them always; default 20 million. Takes 15 to 30 bytes of memory for each that there is.
   */
  readonly horizon?: number
}

const decodePerformance = decoder(Performance.Request, "performance request")
const decodeProfile = decoder(ProfileRequest, "profile request")
const decodeDrift = decoder(DriftRequest, "drift request")
const decodeMisses = decoder(MissRequest, "request for misses")
const decodeRecent = decoder(
  Schema.Struct({
    model: Schema.NonEmptyString,
    version: Schema.optionalKey(Schema.String),
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })),
  }),
  "request for recent features",
)
const decodeName = decoder(Schema.NonEmptyString, "name")

/** The service on a Database. */
export const make = (
  options: MonitoringOptions = {},
): Effect.Effect<Monitoring["Service"], MonitoringError, Database.Database> =>
  Effect.gen(function* () {
    const db = yield* Database.Database
    yield* db.migrate("monitoring", migrations)
    const build = db.build<Tables>()
    const sink = makeIngest(db, { horizon: options.horizon ?? 20_000_000 })
    const scan = makeScan(db)

    const reference = Effect.fnUntraced(function* (model: string, name: string = "default") {
      const row = yield* db.first(
        build
          .selectFrom("monitoring_reference")
          .select("profile")
          .where("model", "=", model)
          .where("name", "=", name),
      )
      if (row === undefined) {
        return yield* new MonitoringError({
          reason: "NotFound",
          message: `model '${model}' has no reference '${name}'; store one with putReference`,
          field: "reference",
        })
      }
      return yield* Profile.decode(yield* attempt((): unknown => JSON.parse(row.profile)))
    }, Effect.mapError(toMonitoringError))

    const profile = Effect.fnUntraced(function* (input: ProfileRequest) {
      const request = yield* decodeProfile(input)
      const [only] = yield* windowProfiles(scan, { ...request, by: "all" })
      return only?.profile ?? Profile.builder().finish()
    })

    const referenceOf = (
      request: DriftRequest,
    ): Effect.Effect<Profile.Profile, MonitoringError> => {
      const wanted = request.reference ?? "default"
      if (typeof wanted === "string") return reference(request.model, wanted)
      if ("schema" in wanted) return Effect.succeed(wanted)
      const { model, columns } = request
      return profile({ model, ...wanted, ...(columns === undefined ? {} : { columns }) })
    }

    return Monitoring.of({
      predictions: sink.predictions,
      labels: sink.labels,
      performance: (request) =>
        Effect.flatMap(decodePerformance(request), (checked) => performance(scan, checked)),
      profile,
      reference,
      putReference: Effect.fnUntraced(function* (model, profile, name = "default") {
        yield* decodeName(model)
        yield* decodeName(name)
        const checked = yield* Profile.decode(profile)
        const row = { created: Timestamp.now(), profile: JSON.stringify(checked) }
        yield* db.run(
          build
            .insertInto("monitoring_reference")
            .values({ model, name, ...row })
            .onConflict((conflict) => conflict.columns(["model", "name"]).doUpdateSet(row)),
        )
      }, Effect.mapError(toMonitoringError)),
      drift: Effect.fnUntraced(function* (input) {
        const request = yield* decodeDrift(input)
        const before = yield* referenceOf(request)
        const windows = yield* windowProfiles(scan, { ...request, by: request.by ?? "all" })
        const { measure, threshold, alpha, adjust, columns } = request
        const drift: Drift.DriftOptions = {
          ...(measure === undefined ? {} : { measure }),
          ...(threshold === undefined ? {} : { threshold }),
          ...(alpha === undefined ? {} : { alpha }),
          ...(adjust === undefined ? {} : { adjust }),
          ...(columns === undefined ? {} : { columns }),
        }
        return yield* Effect.forEach(windows, ({ window, profile }) =>
          attempt(() => ({ window, report: Drift.compare(before, profile, drift) })),
        )
      }),
      worstMisses: (request) =>
        Effect.flatMap(decodeMisses(request), (checked) => worstMisses(scan, checked)),
      recentFeatures: (request) =>
        Effect.flatMap(decodeRecent(request), (checked) => recentFeatures(scan, checked)),
      models: Effect.gen(function* () {
        const rows = yield* db.all(
          build
            .selectFrom("monitoring_chunk")
            .select((eb) => [
              "model",
              "version",
              eb.fn.sum<number>("rows").as("rows"),
              eb.fn.min("min_time").as("first"),
              eb.fn.max("max_time").as("last"),
            ])
            .groupBy(["model", "version"])
            .orderBy("model")
            .orderBy("version"),
        )
        const models = new Map<
          string,
          { versions: Array<string>; predictions: number; first: number; last: number }
        >()
        for (const row of rows) {
          const model = models.get(row.model) ?? {
            versions: [],
            predictions: 0,
            first: Infinity,
            last: -Infinity,
          }
          model.versions.push(row.version)
          model.predictions += Number(row.rows)
          model.first = Math.min(model.first, row.first)
          model.last = Math.max(model.last, row.last)
          models.set(row.model, model)
        }
        return [...models].map(([model, summary]) => ({ model, ...summary }))
      }).pipe(Effect.mapError(toMonitoringError)),
    })
  }).pipe(Effect.mapError(toMonitoringError))

/** The service on the Database of the context. */
export const layer = (
  options: MonitoringOptions = {},
): Layer.Layer<Monitoring, MonitoringError, Database.Database> =>
  Layer.effect(Monitoring, make(options))

/** Core's port for serving: predictions and labels go to this service. */
export const layerPredictionSink: Layer.Layer<PredictionSink.PredictionSink, never, Monitoring> =
  Layer.effect(
    PredictionSink.PredictionSink,
    Effect.map(Monitoring, ({ predictions, labels }) => ({ predictions, labels })),
  )
