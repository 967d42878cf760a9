import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import { Fault } from "../formats/source.ts"
import type { SpanRow, TraceRow, TraceState } from "../migrations/0012-traces.ts"
import type { Store } from "../store.ts"
import {
  attributeOf,
  contentOf,
  hex,
  type OtlpSpan,
  plainOf,
  stringify,
  textOf,
  traceIdOf,
} from "./span.ts"
import { clean, here, names, system, type Writing, wrongPair } from "./store.ts"

/** Most rows of one statement; SQLite takes 32766 parameters. */
const chunk = 500
const longestPreview = 1000

/** Root spans carry the tags of their trace in attributes of this name. */
const tagPrefix = "mlflow.traceTag."

const rowOf = (span: OtlpSpan, field: string): SpanRow => {
  const type = attributeOf(span.attributes, "mlflow.spanType")
  return {
    trace: traceIdOf(span),
    span: hex(span.spanId),
    parent: span.parentId.length === 0 ? null : hex(span.parentId),
    name: clean(span.name),
    type: type === undefined ? "UNKNOWN" : clean(textOf(type)),
    status: span.status,
    started: span.start.toString().padStart(20, "0"),
    content: contentOf(span, field),
  }
}

const millis = (nanos: bigint): number => Number(nanos / 1_000_000n)

/** What spans say about their trace. */
interface Summary {
  readonly started: number
  readonly ended: number | undefined
  /** Of the root. */
  readonly status: TraceState | undefined
  readonly request: string | undefined
  readonly response: string | undefined
  readonly tags: ReadonlyMap<string, string>
  readonly metadata: ReadonlyMap<string, string>
}

const preview = (span: OtlpSpan | undefined, key: string): string | undefined => {
  const value = span === undefined ? undefined : attributeOf(span.attributes, key)
  return value === undefined ? undefined : clean(stringify(plainOf(value)).slice(0, longestPreview))
}

const tagsOf = (spans: ReadonlyArray<OtlpSpan>, root: OtlpSpan | undefined) => {
  const sender = spans.find(({ resource }) => resource.length > 0)?.resource ?? []
  const given = [
    ...sender.flatMap(({ key, value }) =>
      /^(telemetry\.sdk|mlflow)\./.test(key) ? [] : [[key, textOf(value)] as const],
    ),
    ...(root?.attributes ?? []).flatMap(({ key, value }) =>
      key.startsWith(tagPrefix) ? [[key.slice(tagPrefix.length), textOf(value)] as const] : [],
    ),
  ]
  // Where the spans are kept is not for them to say.
  const own: ReadonlyArray<string> = [...system, names.artifactLocation]
  return new Map(
    given.flatMap(([key, value]) =>
      own.includes(key) || wrongPair(key, value) !== undefined
        ? []
        : [[key, clean(value)] as const],
    ),
  )
}

const first = (spans: ReadonlyArray<OtlpSpan>, keys: ReadonlyArray<string>) => {
  for (const { attributes } of spans) {
    for (const key of keys) {
      const value = attributeOf(attributes, key)
      const text = value === undefined ? "" : textOf(value)
      if (text !== "") return text
    }
  }
  return undefined
}

const summaryOf = (spans: ReadonlyArray<OtlpSpan>): Summary => {
  const root = spans.find(({ parentId }) => parentId.length === 0)
  const ends = spans.flatMap(({ end }) => (end === 0n ? [] : [millis(end)]))
  const session = first(spans, ["session.id", "gen_ai.conversation.id"])
  const user = first(spans, ["user.id"])
  return {
    started: spans.reduce((least, { start }) => Math.min(least, millis(start)), Infinity),
    ended: ends.length === 0 ? undefined : ends.reduce((most, end) => Math.max(most, end)),
    status: root === undefined ? undefined : root.status === "ERROR" ? "ERROR" : "OK",
    request: preview(root, "mlflow.spanInputs"),
    response: preview(root, "mlflow.spanOutputs"),
    tags: tagsOf(spans, root),
    metadata: new Map([
      ...(session === undefined ? [] : [[names.session, session] as const]),
      ...(user === undefined ? [] : [[names.user, user] as const]),
    ]),
  }
}

/** What a trace becomes by more spans; what its sender said of the whole stays. */
const merged = (
  row: TraceRow,
  summary: Summary,
  isFinal: boolean,
): Omit<TraceRow, "id" | "experiment" | "client_request_id"> => {
  const started = Math.min(row.started, summary.started)
  const ends = [
    ...(row.duration === null ? [] : [row.started + row.duration]),
    ...(summary.ended === undefined ? [] : [summary.ended]),
  ]
  const isOpen = row.status === "IN_PROGRESS" || row.status === "STATE_UNSPECIFIED"
  return {
    started: isFinal ? row.started : started,
    duration: isFinal || ends.length === 0 ? row.duration : Math.max(...ends, started) - started,
    status: isOpen ? (summary.status ?? row.status) : row.status,
    name: summary.tags.get(names.traceName) ?? row.name,
    request_preview: row.request_preview ?? summary.request ?? null,
    response_preview: row.response_preview ?? summary.response ?? null,
  }
}

/** Writes spans, all or none; a span that is there already is replaced by what came last. */
export const make = ({ db, build }: Store, { active, locked, put }: Writing) => {
  const writeSpans = Effect.fnUntraced(function* (rows: ReadonlyArray<SpanRow>) {
    for (let from = 0; from < rows.length; from += chunk) {
      yield* db.run(
        build
          .insertInto("registry_span")
          .values(rows.slice(from, from + chunk))
          .onConflict((c) =>
            c.columns(["trace", "span"]).doUpdateSet((e) => ({
              parent: e.ref("excluded.parent"),
              name: e.ref("excluded.name"),
              type: e.ref("excluded.type"),
              status: e.ref("excluded.status"),
              started: e.ref("excluded.started"),
              content: e.ref("excluded.content"),
            })),
          ),
      )
    }
  })

  const write = Effect.fnUntraced(function* (
    experimentId: string,
    byTrace: ReadonlyMap<string, ReadonlyArray<OtlpSpan>>,
    rows: ReadonlyArray<SpanRow>,
  ) {
    const { id: experiment, artifacts } = yield* active(experimentId)
    const ids = [...byTrace.keys()].sort()
    const summaries = new Map([...byTrace].map(([id, spans]) => [id, summaryOf(spans)]))
    const fresh = ids.map((id): TraceRow => {
      const summary = summaries.get(id)
      return {
        id,
        experiment,
        started: summary?.started ?? 0,
        duration: null,
        status: "IN_PROGRESS",
        name: null,
        client_request_id: null,
        request_preview: null,
        response_preview: null,
      }
    })
    const traces: Array<TraceRow> = []
    const finals = new Set<string>()
    for (let from = 0; from < ids.length; from += chunk) {
      const some = ids.slice(from, from + chunk)
      yield* db.insertMany("registry_trace", fresh.slice(from, from + chunk), {
        onConflict: "ignore",
      })
      traces.push(...(yield* locked(some)))
      const found = yield* db.all(
        build
          .selectFrom("registry_trace_metadata")
          .select("trace")
          .where("trace", "in", some)
          .where("key", "=", names.finalized),
      )
      for (const { trace } of found) finals.add(trace)
    }
    // A trace may lie in another experiment already; a deleted one takes no more there either.
    for (const other of new Set(traces.map((row) => row.experiment))) {
      if (other !== experiment) yield* active(other)
    }
    yield* writeSpans(rows)
    for (const row of traces) {
      const summary = summaries.get(row.id)
      if (summary === undefined) continue
      yield* db.run(
        build
          .updateTable("registry_trace")
          .set(merged(row, summary, finals.has(row.id)))
          .where("id", "=", row.id),
      )
      const tags = new Map(summary.tags)
      tags.delete(names.traceName)
      yield* put("tag", row.id, tags.set(names.spansLocation, here), "replace")
      const place = `${artifacts}/traces/${row.id}/artifacts`
      yield* put("tag", row.id, new Map([[names.artifactLocation, place]]), "keep")
      yield* put("metadata", row.id, summary.metadata, "keep")
    }
  })

  return Effect.fnUntraced(function* (experimentId: string, spans: ReadonlyArray<OtlpSpan>) {
    if (spans.length === 0) return
    // The last of a span that comes twice; one statement cannot write a row twice.
    const last = new Map(
      spans.map((span, i) => [`${hex(span.traceId)}${hex(span.spanId)}`, { span, i }]),
    )
    let rows: ReadonlyArray<SpanRow>
    try {
      rows = [...last.values()].map(({ span, i }) => rowOf(span, `spans[${i}]`))
    } catch (error) {
      if (error instanceof Fault)
        return yield* invalid(error.field, `${error.field} ${error.message}`)
      throw error
    }
    const ordered = rows.toSorted((a, b) => (a.trace + a.span < b.trace + b.span ? -1 : 1))
    const byTrace = Map.groupBy(
      [...last.values()].map(({ span }) => span),
      traceIdOf,
    )
    yield* db.transaction(write(experimentId, byTrace, ordered))
  }) satisfies (
    experimentId: string,
    spans: ReadonlyArray<OtlpSpan>,
  ) => Effect.Effect<void, Database.DatabaseError | RegistryError>
}
