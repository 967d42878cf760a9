import type { Database } from "@ashlar/core"

/** Traces of applications, with their spans. */
export const migration: Database.Migration = {
  id: "0012-traces",
  up: (build) => [
    build.schema
      .createTable("registry_trace")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("experiment", "text", (c) => c.notNull().references("registry_experiment.id"))
      .addColumn("started", "bigint", (c) => c.notNull())
      .addColumn("duration", "bigint")
      .addColumn("status", "text", (c) => c.notNull())
      .addColumn("name", "text")
      .addColumn("client_request_id", "text")
      .addColumn("request_preview", "text")
      .addColumn("response_preview", "text"),
    build.schema
      .createIndex("registry_trace_started")
      .on("registry_trace")
      .columns(["experiment", "started", "id"]),
    ...(["tag", "metadata"] as const).flatMap((kind) => [
      build.schema
        .createTable(`registry_trace_${kind}`)
        .addColumn("trace", "text", (c) => c.notNull().references("registry_trace.id"))
        .addColumn("key", "text", (c) => c.notNull())
        .addColumn("value", "text", (c) => c.notNull())
        .addPrimaryKeyConstraint(`registry_trace_${kind}_pk`, ["trace", "key"]),
    ]),
    build.schema
      .createTable("registry_span")
      .addColumn("trace", "text", (c) => c.notNull().references("registry_trace.id"))
      .addColumn("span", "text", (c) => c.notNull())
      .addColumn("parent", "text")
      .addColumn("name", "text", (c) => c.notNull())
      .addColumn("type", "text", (c) => c.notNull())
      .addColumn("status", "text", (c) => c.notNull())
      // Nanoseconds in 20 digits: no number of the databases and of JavaScript both holds them.
      .addColumn("started", "text", (c) => c.notNull())
      .addColumn("content", "text", (c) => c.notNull())
      .addPrimaryKeyConstraint("registry_span_pk", ["trace", "span"]),
  ],
}

/** How a trace stands. */
export type TraceState = "STATE_UNSPECIFIED" | "OK" | "ERROR" | "IN_PROGRESS"

/** A row of `registry_trace`. */
export interface TraceRow {
  readonly id: string
  readonly experiment: string
  /** Milliseconds, as its senders have them. */
  readonly started: number
  readonly duration: number | null
  readonly status: TraceState
  readonly name: string | null
  readonly client_request_id: string | null
  readonly request_preview: string | null
  readonly response_preview: string | null
}

/** A row of `registry_span`. */
export interface SpanRow {
  readonly trace: string
  readonly span: string
  /** NULL: a root. */
  readonly parent: string | null
  readonly name: string
  readonly type: string
  readonly status: "UNSET" | "OK" | "ERROR"
  /** Nanoseconds in 20 digits. */
  readonly started: string
  /** The span as OTLP's message in protocol buffers' JSON. */
  readonly content: string
}

interface PairRow {
  readonly trace: string
  readonly key: string
  readonly value: string
}

/** The tables of traces. */
export interface TraceTables {
  readonly registry_trace: TraceRow
  readonly registry_trace_tag: PairRow
  readonly registry_trace_metadata: PairRow
  readonly registry_span: SpanRow
}
