import { type Database, Page } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { sql, type SqlBool } from "kysely"
import { invalid, RegistryError } from "../../RegistryError.ts"
import type { SearchTraces, StoredSpan, TraceInfo } from "../../Traces.ts"
import { positionOf, refusedSearch } from "../experiments-search.ts"
import type { TraceRow } from "../migrations/0012-traces.ts"
import { FilterError } from "../search/FilterError.ts"
import { after, fingerprint, ordering } from "../search/keyset.ts"
import type { Store } from "../store.ts"
import { parse, parseOrder, sortKey, type TraceOrder, where } from "./filter.ts"
import { names } from "./store.ts"

type Failed = Database.DatabaseError | RegistryError

/** Reads traces. */
export interface Reading {
  /** Those that are there, in the order of the ids. */
  readonly infos: (
    ids: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<TraceInfo>, Database.DatabaseError>
  /** Roots first, then by their start. */
  readonly spans: (
    ids: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyMap<string, ReadonlyArray<StoredSpan>>, Database.DatabaseError>
  readonly search: (
    experimentIds: ReadonlyArray<string>,
    search: SearchTraces,
  ) => Effect.Effect<Page.Page<TraceInfo>, Failed>
}

const maxOrders = 20

/** Runs a parser, whose refusals become the caller's. */
const parsed = <A>(field: "filter" | "orderBy", read: () => A): Effect.Effect<A, RegistryError> =>
  Effect.mapError(
    Effect.try({
      try: read,
      catch: (error) => {
        if (error instanceof FilterError) return error
        throw error
      },
    }),
    refusedSearch(field),
  )

/** What the clauses leave equal is settled by the newest, then by the id. */
const withTies = (orders: ReadonlyArray<TraceOrder>): ReadonlyArray<TraceOrder> => {
  const named = new Set(orders.map(({ field }) => field.key))
  const ties: ReadonlyArray<TraceOrder> = [
    { field: { type: "attribute", key: "timestamp_ms" }, direction: "desc" },
    { field: { type: "attribute", key: "request_id" }, direction: "asc" },
  ]
  return [...orders, ...ties.filter(({ field }) => !named.has(field.key))]
}

const valueOf = (value: unknown): string | number | null =>
  typeof value === "string" || typeof value === "number" ? value : null

/** Reads a store's traces. */
export const make = ({ db, build }: Store): Reading => {
  const views = Effect.fnUntraced(function* (rows: ReadonlyArray<TraceRow>) {
    const ids = rows.map(({ id }) => id)
    if (ids.length === 0) return []
    const pairs = (kind: "tag" | "metadata") =>
      Effect.map(
        db.all(
          build
            .selectFrom(`registry_trace_${kind}`)
            .selectAll()
            .where("trace", "in", ids)
            .orderBy("key"),
        ),
        (found) => Map.groupBy(found, ({ trace }) => trace),
      )
    const tags = yield* pairs("tag")
    const metadata = yield* pairs("metadata")
    const record = (found: ReadonlyArray<{ readonly key: string; readonly value: string }> = []) =>
      Object.fromEntries(found.map(({ key, value }) => [key, value]))
    return rows.map((row): TraceInfo => ({
      traceId: row.id,
      experimentId: row.experiment,
      startedMs: row.started,
      ...(row.duration === null ? {} : { durationMs: row.duration }),
      state: row.status,
      ...(row.client_request_id === null ? {} : { clientRequestId: row.client_request_id }),
      ...(row.request_preview === null ? {} : { requestPreview: row.request_preview }),
      ...(row.response_preview === null ? {} : { responsePreview: row.response_preview }),
      metadata: record(metadata.get(row.id)),
      tags: {
        ...(row.name === null ? {} : { [names.traceName]: row.name }),
        ...record(tags.get(row.id)),
      },
    }))
  })

  const infos: Reading["infos"] = Effect.fnUntraced(function* (ids) {
    if (ids.length === 0) return []
    const rows = yield* db.all(
      build
        .selectFrom("registry_trace")
        .selectAll()
        .where("id", "in", [...ids]),
    )
    const byId = new Map((yield* views(rows)).map((info) => [info.traceId, info]))
    return [...new Set(ids)].flatMap((id) => byId.get(id) ?? [])
  })

  const spans: Reading["spans"] = Effect.fnUntraced(function* (ids) {
    if (ids.length === 0) return new Map<string, ReadonlyArray<StoredSpan>>()
    const rows = yield* db.all(
      build
        .selectFrom("registry_span")
        .selectAll()
        .where("trace", "in", [...ids])
        .orderBy(sql`case when parent is null then 0 else 1 end`)
        .orderBy("started")
        .orderBy("span"),
    )
    const found = rows.map(
      (row) =>
        [
          row.trace,
          {
            spanId: row.span,
            ...(row.parent === null ? {} : { parentId: row.parent }),
            name: row.name,
            type: row.type,
            status: row.status,
            startedNs: BigInt(row.started),
            json: row.content,
          } satisfies StoredSpan,
        ] as const,
    )
    const groups = Map.groupBy(found, ([trace]) => trace)
    return new Map([...groups].map(([trace, items]) => [trace, items.map(([, span]) => span)]))
  })

  const search: Reading["search"] = Effect.fnUntraced(function* (
    experimentIds,
    { filter = "", orderBy = [], limit: given = 100, token },
  ) {
    const limit = Math.min(Math.max(given, 1), 500)
    if (orderBy.length > maxOrders) {
      return yield* invalid("order_by", `order_by has at most ${maxOrders} clauses`)
    }
    const clauses = yield* parsed("filter", () => parse(filter))
    const asked = yield* parsed("orderBy", () => orderBy.map(parseOrder))
    const keysAsked = asked.map(({ field }) => `${field.type}.${field.key}`)
    if (new Set(keysAsked).size < keysAsked.length) {
      return yield* invalid("order_by", "`order_by` contains duplicate fields")
    }
    const orders = withTies(asked)
    const keys = orders.map((order) => sortKey(order, db.dialect))
    const print = fingerprint([experimentIds, clauses, orders])
    const position = yield* positionOf(token, print)
    if (experimentIds.length === 0) return { items: [] }
    const rows = yield* db.all(
      build
        .selectFrom("registry_trace")
        .selectAll()
        .select(keys.map(({ value }, i) => sql<string | number | null>`${value}`.as(`key${i}`)))
        .where("experiment", "in", [...experimentIds])
        .where(where(clauses, db.dialect))
        .where(position === undefined ? sql<SqlBool>`(1 = 1)` : after(keys, position))
        .orderBy(ordering(keys))
        .limit(limit + 1),
    )
    const page = rows.slice(0, limit)
    const last: Readonly<Record<string, unknown>> | undefined =
      rows.length > limit ? page.at(-1) : undefined
    return {
      items: yield* views(page),
      ...(last === undefined
        ? {}
        : { next: Page.encodeToken([print, ...keys.map((_, i) => valueOf(last[`key${i}`]))]) }),
    }
  })

  return { infos, spans, search }
}
