/**
 * Traces: what an application did to answer a request, as a tree of timed spans. They come by
 * OpenTelemetry's protocol and through MLflow's clients.
 *
 * @module
 */
import type { BlobStore, Database, Page } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { TraceRow, TraceState } from "./internal/migrations/0012-traces.ts"
import * as Validate from "./internal/mlflow/validate.ts"
import * as Store from "./internal/store.ts"
import * as Ingest from "./internal/traces/ingest.ts"
import * as Read from "./internal/traces/read.ts"
import * as Remove from "./internal/traces/remove.ts"
import type { OtlpSpan } from "./internal/traces/span.ts"
import { clean, here, make as writing, names, system, wrongPair } from "./internal/traces/store.ts"
import { invalid, RegistryError } from "./RegistryError.ts"

export type { TraceState } from "./internal/migrations/0012-traces.ts"
export type { OtlpSpan } from "./internal/traces/span.ts"

/** A trace without its spans. */
export interface TraceInfo {
  /** `tr-` and the 32 hexadecimal digits of OpenTelemetry's id, or what its sender made up. */
  readonly traceId: string
  readonly experimentId: string
  /** Milliseconds since 1970. */
  readonly startedMs: number
  /** Milliseconds; not there while it runs. */
  readonly durationMs?: number
  readonly state: TraceState
  /** Under which name the sender knows the request. */
  readonly clientRequestId?: string
  readonly requestPreview?: string
  readonly responsePreview?: string
  /** Said once, by its sender. */
  readonly metadata: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
}

/** A span as it is kept. */
export interface StoredSpan {
  /** 16 hexadecimal digits. */
  readonly spanId: string
  /** Not there for a root. */
  readonly parentId?: string
  readonly name: string
  /** MLflow's type, e.g. `LLM`; `UNKNOWN` without one. */
  readonly type: string
  readonly status: "UNSET" | "OK" | "ERROR"
  /** Nanoseconds since 1970. */
  readonly startedNs: bigint
  /** OTLP's message in protocol buffers' JSON; 64-bit numbers have all their digits. */
  readonly json: string
}

/** A trace with its spans, roots first, then by their start. */
export interface Trace {
  readonly info: TraceInfo
  readonly spans: ReadonlyArray<StoredSpan>
}

/** Which traces to find, in which order, and which page of them: 100, at most 500. */
export interface SearchTraces extends Page.PageRequest {
  /** MLflow's comparisons, joined by AND. */
  readonly filter?: string
  /** Fields with `ASC` or `DESC`; default the newest first. */
  readonly orderBy?: ReadonlyArray<string>
}

/** Which traces of an experiment to delete: some by their ids, or the oldest ones. */
export type DeleteTraces =
  | { readonly traceIds: ReadonlyArray<string> }
  | { readonly untilMs: number; readonly most?: number }

/** Keeps and finds traces. */
export class Traces extends Context.Service<
  Traces,
  {
    /**
     * Keeps spans, all or none, and makes the traces that are missing. A span that is there already
     * is replaced, so that sending again changes nothing. Fails for a deleted experiment.
     */
    readonly ingest: (
      experimentId: string,
      spans: ReadonlyArray<OtlpSpan>,
    ) => Effect.Effect<void, RegistryError>
    /** Says what a trace is as a whole, before or after its spans; tags and metadata are added. */
    readonly start: (info: TraceInfo) => Effect.Effect<TraceInfo, RegistryError>
    readonly info: (traceId: string) => Effect.Effect<TraceInfo, RegistryError>
    /** Those that are there, in the order of the ids, at most 500. */
    readonly infos: (
      traceIds: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<TraceInfo>, RegistryError>
    /** Fails with `NotFound` also while spans are still to come, unless `partial` allows it. */
    readonly get: (
      traceId: string,
      options?: { readonly partial?: boolean },
    ) => Effect.Effect<Trace, RegistryError>
    /** Those that are there and complete, in the order of the ids, at most 100. */
    readonly all: (
      traceIds: ReadonlyArray<string>,
    ) => Effect.Effect<ReadonlyArray<Trace>, RegistryError>
    readonly search: (
      experimentIds: ReadonlyArray<string>,
      search?: SearchTraces,
    ) => Effect.Effect<Page.Page<TraceInfo>, RegistryError>
    /** How many were deleted. */
    readonly remove: (
      experimentId: string,
      which: DeleteTraces,
    ) => Effect.Effect<number, RegistryError>
    readonly setTag: (
      traceId: string,
      key: string,
      value: string,
    ) => Effect.Effect<void, RegistryError>
    readonly deleteTag: (traceId: string, key: string) => Effect.Effect<void, RegistryError>
  }
>()("@ashlar/registry/Traces/v1") {}

const missing = (message: string) => new RegistryError({ reason: "NotFound", message })

const mostPairs = 1000
const longestPreview = 10_000
const ids = /^[a-zA-Z0-9][\w-]{0,49}$/

const wrongInfo = ({ traceId, metadata, tags, clientRequestId }: TraceInfo) => {
  if (!ids.test(traceId)) {
    return invalid(
      "trace_id",
      `Invalid trace ID ${Validate.json(traceId.slice(0, 200))}: use 1 to 50 letters, digits, '_' or '-', starting with a letter or digit`,
    )
  }
  for (const [field, pairs] of Object.entries({ tags, trace_metadata: metadata })) {
    const entries = Object.entries(pairs)
    if (entries.length > mostPairs)
      return invalid(field, `${field} has more than ${mostPairs} keys`)
    for (const [key, value] of entries) {
      const wrong = wrongPair(key, value)
      if (wrong !== undefined) return wrong
    }
  }
  return Validate.length("client_request_id", Validate.limits.key, clientRequestId)
}

/** How many spans the sender counted; 0 when it does not say. */
const expected = ({ metadata }: TraceInfo): number => {
  try {
    const stats: unknown = JSON.parse(metadata[names.sizeStats] ?? "{}")
    const count: unknown =
      typeof stats === "object" && stats !== null ? Reflect.get(stats, "num_spans") : 0
    return typeof count === "number" ? count : 0
  } catch {
    return 0
  }
}

const isWhole = ({ info, spans }: Trace): boolean =>
  spans.length > 0 && spans.length >= expected(info)

const make = Effect.gen(function* () {
  const store = yield* Store.make
  const { db, build, wrap } = store
  const write = writing(store)
  const ingest = Ingest.make(store, write)
  const remove = Remove.make(store, write)
  const read = Read.make(store)

  const info = Effect.fnUntraced(function* (traceId: string) {
    const [found] = yield* read.infos([traceId])
    return found ?? (yield* missing(`Trace with ID '${traceId.slice(0, 300)}' not found.`))
  })

  const all = Effect.fnUntraced(function* (traceIds: ReadonlyArray<string>) {
    const infos = yield* read.infos(traceIds)
    const kept = infos.filter(({ tags }) => tags[names.spansLocation] === here)
    const spans = yield* read.spans(kept.map(({ traceId }) => traceId))
    return kept.map((found): Trace => ({ info: found, spans: spans.get(found.traceId) ?? [] }))
  })

  const get = Effect.fnUntraced(function* (traceId: string, partial: boolean) {
    // Its spans may be on their way.
    for (const wait of partial ? [0] : [1000, 2000, 0]) {
      const found = yield* info(traceId)
      const [trace] = yield* all([traceId])
      if (trace === undefined) {
        return yield* missing(`The spans of trace '${found.traceId}' are not kept here.`)
      }
      if (partial || isWhole(trace)) return trace
      if (wait > 0) yield* Effect.sleep(wait)
    }
    return yield* missing(
      `Trace with ID ${traceId.slice(0, 300)} is not fully exported yet, please try again later.`,
    )
  })

  const start = Effect.fnUntraced(function* (given: TraceInfo) {
    const wrong = wrongInfo(given)
    if (wrong !== undefined) return yield* wrong
    const { id: experiment, artifacts } = yield* write.active(given.experimentId)
    const id = given.traceId
    const text = (value: string | undefined) =>
      value === undefined ? undefined : clean(value.slice(0, longestPreview))
    const row: TraceRow = {
      id,
      experiment,
      started: given.startedMs,
      duration: given.durationMs ?? null,
      status: given.state,
      name: text(given.tags[names.traceName]) ?? null,
      client_request_id: text(given.clientRequestId) ?? null,
      request_preview: text(given.requestPreview) ?? null,
      response_preview: text(given.responsePreview) ?? null,
    }
    yield* db.insertMany("registry_trace", [row], { onConflict: "ignore" })
    const [found] = yield* write.locked([id])
    if (found === undefined) return yield* missing(`Trace with ID '${id}' no longer exists.`)
    if (found.experiment !== experiment) yield* write.active(found.experiment)
    yield* db.run(
      build
        .updateTable("registry_trace")
        .set({
          ...row,
          name: row.name ?? found.name,
          request_preview: row.request_preview ?? found.request_preview,
          response_preview: row.response_preview ?? found.response_preview,
        })
        .where("id", "=", id),
    )
    // Where the spans are kept is not for the sender to say.
    const tags = new Map(
      Object.entries(given.tags).filter(
        ([key]) => key !== names.traceName && !system.includes(key),
      ),
    )
    tags.set(names.artifactLocation, `${artifacts}/traces/${id}/artifacts`)
    yield* write.put("tag", id, tags, "replace")
    const metadata = new Map(Object.entries(given.metadata)).set(names.finalized, "true")
    yield* write.put("metadata", id, metadata, "replace")
    return yield* info(id)
  })

  const tagged = Effect.fnUntraced(function* (traceId: string, key: string, verb: string) {
    const isMutable = verb === "deleted" && key === names.archivalFailure
    if (system.includes(key) && !isMutable) {
      return yield* invalid("key", `Tag '${key}' is immutable and cannot be ${verb} on a trace.`)
    }
    const [found] = yield* write.locked([traceId])
    return found ?? (yield* missing(`Trace with ID '${traceId.slice(0, 300)}' not found.`))
  })

  const setTag = Effect.fnUntraced(function* (traceId: string, key: string, value: string) {
    const wrong = wrongPair(key, value)
    if (wrong !== undefined) return yield* wrong
    const { id, experiment } = yield* tagged(traceId, key, "set")
    yield* write.active(experiment)
    if (key !== names.traceName)
      return yield* write.put("tag", id, new Map([[key, value]]), "replace")
    yield* db.run(
      build
        .updateTable("registry_trace")
        .set({ name: clean(value) })
        .where("id", "=", id),
    )
  })

  const deleteTag = Effect.fnUntraced(function* (traceId: string, key: string) {
    const { id, name } = yield* tagged(traceId, key, "deleted")
    const isName = key === names.traceName
    const { rows } = yield* db.run(
      isName
        ? build.updateTable("registry_trace").set({ name: null }).where("id", "=", id)
        : build.deleteFrom("registry_trace_tag").where("trace", "=", id).where("key", "=", key),
    )
    if (isName ? name !== null : rows > 0) return
    return yield* missing(
      `No trace tag with key '${key.slice(0, 300)}' for trace with ID '${traceId}'`,
    )
  })

  const few = (traceIds: ReadonlyArray<string>, most: number) =>
    traceIds.length <= most
      ? Effect.void
      : Effect.fail(invalid("trace_ids", `trace_ids has more than ${most} ids: ask in parts`))

  return Traces.of({
    ingest: (experimentId, spans) => wrap(ingest(experimentId, spans)),
    start: (given) => wrap(db.transaction(start(given))),
    info: (traceId) => wrap(info(traceId)),
    infos: (traceIds) => wrap(Effect.andThen(few(traceIds, 500), read.infos(traceIds))),
    get: (traceId, { partial = false } = {}) => wrap(get(traceId, partial)),
    all: (traceIds) =>
      wrap(
        Effect.map(Effect.andThen(few(traceIds, 100), all(traceIds)), (found) =>
          found.filter(isWhole),
        ),
      ),
    search: (experimentIds, options = {}) => wrap(read.search(experimentIds, options)),
    remove: (experimentId, which) => wrap(remove(experimentId, which)),
    setTag: (traceId, key, value) => wrap(db.transaction(setTag(traceId, key, value))),
    deleteTag: (traceId, key) => wrap(db.transaction(deleteTag(traceId, key))),
  })
})

/** Traces on a Database. */
export const layer: Layer.Layer<Traces, RegistryError, Database.Database | BlobStore.BlobStore> =
  Layer.effect(Traces, make)
