/**
 * The feature store: define, ingest, join point-in-time, materialise, serve.
 *
 * @module
 */
import { BlobStore, Database, Dataset, FeatureSource, Timestamp } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as Definitions from "./internal/definitions.ts"
import { FeatureStoreError } from "./FeatureStoreError.ts"
import type { FeatureService, View } from "./FeatureService.ts"
import type { FeatureView } from "./FeatureView.ts"
import { fromCause, invalid } from "./internal/failures.ts"
import { trainingFrame } from "./internal/frame.ts"
import * as Materialize from "./internal/materialize.ts"
import { migrations, type Tables } from "./internal/migrations.ts"
import * as Offline from "./internal/offline.ts"
import { tableOf } from "./internal/rows.ts"
import * as SourceColumns from "./internal/sourceColumns.ts"
import { vectors, type TimedVectors } from "./internal/vectors.ts"
import * as ViewState from "./internal/viewState.ts"
import { OnlineStore, type OnlineStoreError } from "./OnlineStore.ts"
import type { Source } from "./Source.ts"

export type { Change, Definition } from "./internal/definitions.ts"
export type { Ingested } from "./internal/offline.ts"
export type { TimedVectors } from "./internal/vectors.ts"

/** Asks for rows in the online store. */
export interface MaterializeRequest {
  /** Views of this service. */
  readonly service?: string
  /** Names of views. Without `service` and `views`: all views that were applied. */
  readonly views?: ReadonlyArray<string>
  /** The instant the features are computed for; later events and later knowledge are not used. */
  readonly at: Timestamp.Timestamp
}

/** What was materialised. */
export interface Materialized {
  readonly at: Timestamp.Timestamp
  readonly views: ReadonlyArray<{
    readonly view: string
    readonly version: number
    /** Entity keys with a row. */
    readonly rows: number
    /** Latest ingest of the source that was taken in. */
    readonly revision: number
  }>
}

/** New events for a source. */
export interface PushRequest {
  readonly source: string
  readonly rows: Dataset.Dataset
  /** Idempotency key; needed unless `to` is `online`. */
  readonly key?: string
  /**
   * Where the rows go. `online` alone keeps no history, so it serves only views without aggregates,
   * and refuses others; a row replaces only one with an earlier event or created time.
   */
  readonly to: "online" | "offline" | "online_and_offline"
  /** The instant online rows are computed for; default now. */
  readonly at?: Timestamp.Timestamp
}

/** How a store is set up. */
export interface FeatureStoreOptions {
  /** The clock of vectors and pushes, microseconds; default the system's. */
  readonly now?: () => Timestamp.Timestamp
}

/** Asks for vectors; the service may be given itself, applied or not. */
export interface VectorRequest extends Omit<FeatureSource.VectorRequest, "service"> {
  readonly service: string | FeatureService
}

/** How far ahead of this clock another one may be, microseconds. */
const tolerance = 86_400_000_000

/** Defines, ingests, joins, materialises and serves features. */
export class FeatureStore extends Context.Service<
  FeatureStore,
  {
    /** What applying the definitions would change. */
    readonly plan: (
      definitions: ReadonlyArray<Definitions.Definition>,
    ) => Effect.Effect<ReadonlyArray<Definitions.Change>, FeatureStoreError>
    /**
     * Puts definitions in force in this process and records them, with all they refer to. A change
     * that would break users of the same name and version fails with `Conflict`, changing nothing.
     */
    readonly apply: (
      definitions: ReadonlyArray<Definitions.Definition>,
    ) => Effect.Effect<ReadonlyArray<Definitions.Change>, FeatureStoreError>
    /**
     * Appends events to the history of a source. Repeating a key with the same rows does nothing;
     * with other rows it fails with `Conflict`. An ingest counts as a whole or not at all.
     */
    readonly ingest: (
      source: Source | string,
      dataset: Dataset.Dataset,
      options: { readonly key: string },
    ) => Effect.Effect<Offline.Ingested, FeatureStoreError>
    /** Takes in a few new events, and refreshes the online rows of the source's views. */
    readonly push: (
      request: PushRequest,
    ) => Effect.Effect<Materialized, FeatureStoreError | OnlineStoreError>
    /**
     * Computes the rows of all entity keys as of an instant and upserts them online. Going forward
     * in time only looks at what is new since the last call. Safe to repeat and to interrupt: every
     * row is right for its own instant, and an older instant never replaces a newer one; so an
     * instant more than a day ahead is refused.
     */
    readonly materialize: (
      request: MaterializeRequest,
    ) => Effect.Effect<Materialized, FeatureStoreError | OnlineStoreError>
    /** Feature vectors from the online store, in the service's order. */
    readonly vectors: (request: VectorRequest) => Effect.Effect<TimedVectors, FeatureStoreError>
    /** Label rows, in their order, with the features known at each row's instant. */
    readonly trainingFrame: (
      request: FeatureSource.FrameRequest,
    ) => Effect.Effect<Dataset.Dataset, FeatureStoreError>
    /** A service that was applied in this process. */
    readonly service: (name: string) => Effect.Effect<FeatureService, FeatureStoreError>
    /** Views that were applied in this process: of each name, the version applied last. */
    readonly views: () => Effect.Effect<ReadonlyArray<View>>
  }
>()("@ashlar/feature-store/FeatureStore/v1") {}

const make = Effect.fnUntraced(function* (options: FeatureStoreOptions) {
  const db = yield* Database.Database
  const blobs = yield* BlobStore.BlobStore
  const online = yield* OnlineStore
  yield* db.migrate("feature-store", migrations)
  const now = options.now ?? Timestamp.now
  const definitions = Definitions.make(db)
  const offline = Offline.make(db, blobs)
  const sources = new Map<string, SourceColumns.SourceColumns>()
  const states = new Map<string, ViewState.ViewState>()
  const runners = new Map<string, Materialize.Runner>()
  const loading = yield* Semaphore.make(1)
  const running = yield* Semaphore.make(1)

  const load = Effect.fnUntraced(function* (view: FeatureView) {
    const source = view.source.name
    const revision = yield* offline.revision(source)
    const known = states.get(view.digest)
    if (known?.revision === revision) return known
    let columns = sources.get(source)
    if (columns?.revision !== revision) {
      columns = SourceColumns.make(revision, (names) => offline.read(source, revision, names))
      sources.set(source, columns)
    }
    if (revision === 0) {
      return yield* new FeatureStoreError({
        reason: "NotFound",
        field: source,
        message: `source '${source}' has no events yet; ingest some before reading view '${view.name}'`,
      })
    }
    states.delete(view.digest)
    runners.delete(view.digest)
    const state = yield* ViewState.make(view, columns)
    states.set(view.digest, state)
    return state
  })
  const stateOf = (view: FeatureView) => Semaphore.withPermit(loading, load(view))

  const usesOf = (source: string): Offline.Uses => {
    const out = new Map<string, Offline.Uses[number]>()
    for (const view of definitions.views()) {
      if (view.source.name !== source) continue
      for (const [name, use] of ViewState.columnsOf(view)) out.set(`${use}:${name}`, [name, use])
    }
    return [...out.values()]
  }

  const ingest = Effect.fnUntraced(function* (
    given: Source | string,
    dataset: Dataset.Dataset,
    { key }: { readonly key: string },
  ) {
    const source = typeof given === "string" ? yield* definitions.source(given) : given
    return yield* offline.ingest(source, dataset, key, usesOf(source.name))
  })

  const record = (at: number, views: Materialized["views"], tables: ReadonlyArray<string>) =>
    db
      .transaction(
        Effect.forEach(
          views,
          ({ revision, rows }, i) => {
            const values = { as_of: at, revision, rows, finished: Timestamp.now() }
            return db.run(
              db
                .build<Tables>()
                .insertInto("feature_materialization")
                .values({ view: tables[i] ?? "", ...values })
                .onConflict((conflict) => conflict.column("view").doUpdateSet(values)),
            )
          },
          { discard: true },
        ),
      )
      .pipe(Effect.mapError(fromCause))

  /** Rows for a later instant win for good, so one far ahead would keep out all that come before. */
  const checkInstant = (at: number): FeatureStoreError | undefined => {
    if (!Number.isSafeInteger(at)) {
      return invalid("at", `${at} is no instant; give whole microseconds since 1970`)
    }
    if (at <= now() + tolerance) return undefined
    return invalid(
      "at",
      `${at} lies more than a day ahead of the clock (${now()}); rows for it could not be replaced before then. Give an instant up to now, in microseconds`,
    )
  }

  const materializeViews = Effect.fnUntraced(function* (
    views: ReadonlyArray<FeatureView>,
    at: number,
  ) {
    const wrong = checkInstant(at)
    if (wrong !== undefined) return yield* wrong
    const done: Array<Materialized["views"][number]> = []
    for (const view of views) {
      const state = yield* stateOf(view)
      let runner = runners.get(view.digest)
      if (runner?.state !== state) {
        runner = Materialize.start(state)
        runners.set(view.digest, runner)
      }
      const rows = yield* Materialize.run(runner, at, online)
      done.push({ view: view.name, version: view.version, rows, revision: state.revision })
    }
    if (done.length > 0) yield* record(at, done, views.map(tableOf))
    return { at, views: done }
  })

  const materialize = Effect.fnUntraced(function* (request: MaterializeRequest) {
    const views: Array<FeatureView> = []
    if (request.service !== undefined) {
      const service = yield* definitions.service(request.service)
      for (const view of service.views) if (view.kind === "view") views.push(view)
    }
    for (const name of request.views ?? []) views.push(yield* definitions.view(name))
    if (request.service === undefined && request.views === undefined) {
      views.push(...definitions.views())
    }
    return yield* materializeViews([...new Set(views)], request.at)
  })

  const pushOnline = Effect.fnUntraced(function* (
    source: Source,
    request: PushRequest,
    at: number,
  ) {
    const wrong = checkInstant(at)
    if (wrong !== undefined) return yield* wrong
    const views = definitions.views().filter((view) => view.source.name === source.name)
    const aggregated = views.find((view) => view.aggregates.length > 0)
    if (aggregated !== undefined) {
      return yield* new FeatureStoreError({
        reason: "NotSupported",
        field: "to",
        message: `view '${aggregated.name}' has aggregates, which need the history; push to online_and_offline`,
      })
    }
    const table = yield* Effect.mapError(Dataset.table(request.rows), fromCause)
    yield* Offline.check(source, table, 0, usesOf(source.name))
    const done: Array<Materialized["views"][number]> = []
    for (const view of views) {
      const columns = SourceColumns.make(0, () => Effect.succeed([table]))
      const state = yield* ViewState.make(view, columns)
      const rows = yield* Materialize.run(Materialize.start(state), at, online)
      done.push({ view: view.name, version: view.version, rows, revision: 0 })
    }
    return { at, views: done }
  })

  const push = Effect.fnUntraced(function* (request: PushRequest) {
    const source = yield* definitions.source(request.source)
    const at = request.at ?? now()
    if (request.to === "online") return yield* pushOnline(source, request, at)
    const wrong = checkInstant(at)
    if (wrong !== undefined) return yield* wrong
    if (request.key === undefined) {
      return yield* invalid("key", "a push that is kept needs an idempotency key; set key")
    }
    yield* ingest(source, request.rows, { key: request.key })
    if (request.to === "offline") return { at, views: [] }
    const views = definitions.views().filter((view) => view.source.name === source.name)
    return yield* Semaphore.withPermit(running, materializeViews(views, at))
  })

  return FeatureStore.of({
    plan: definitions.plan,
    apply: definitions.apply,
    ingest: (source, dataset, ingestOptions) =>
      Effect.withSpan(ingest(source, dataset, ingestOptions), "FeatureStore.ingest"),
    push: (request) => Effect.withSpan(push(request), "FeatureStore.push"),
    materialize: (request) =>
      Effect.withSpan(
        Semaphore.withPermit(running, materialize(request)),
        "FeatureStore.materialize",
      ),
    vectors: ({ at = now(), entities, service }) =>
      !Number.isSafeInteger(at)
        ? Effect.fail(invalid("at", `${at} is no instant; give whole microseconds since 1970`))
        : typeof service === "string"
          ? Effect.flatMap(definitions.service(service), (found) =>
              vectors(found, entities, at, online),
            )
          : vectors(service, entities, at, online),
    trainingFrame: (request) =>
      definitions.service(request.service).pipe(
        Effect.flatMap((service) => trainingFrame(service, request, stateOf)),
        Effect.withSpan("FeatureStore.trainingFrame"),
      ),
    service: definitions.service,
    views: () => Effect.sync(definitions.allViews),
  })
})

/** A feature store over the Database, BlobStore and OnlineStore of the surrounding layers. */
export const layer = (
  options: FeatureStoreOptions = {},
): Layer.Layer<
  FeatureStore,
  FeatureStoreError,
  Database.Database | BlobStore.BlobStore | OnlineStore
> => Layer.effect(FeatureStore, Effect.mapError(make(options), fromCause))

const portReasons: ReadonlySet<string> = new Set([
  "InvalidInput",
  "NotFound",
  "Conflict",
  "Unavailable",
  "Corrupt",
])

const toPort = (error: FeatureStoreError): FeatureSource.FeatureSourceError =>
  new FeatureSource.FeatureSourceError({
    reason: (portReasons.has(error.reason)
      ? error.reason
      : "Internal") as FeatureSource.FeatureSourceError["reason"],
    message: error.message,
    ...(error.field === undefined ? {} : { field: error.field }),
    cause: error,
  })

/** Core's port `FeatureSource`, answered by the feature store. */
export const featureSourceLayer: Layer.Layer<FeatureSource.FeatureSource, never, FeatureStore> =
  Layer.effect(
    FeatureSource.FeatureSource,
    Effect.map(FeatureStore, (store) => ({
      vectors: (request: FeatureSource.VectorRequest) =>
        Effect.mapError(store.vectors(request), toPort),
      trainingFrame: (request: FeatureSource.FrameRequest) =>
        Effect.mapError(store.trainingFrame(request), toPort),
    })),
  )
