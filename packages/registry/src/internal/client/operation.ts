/** What a journal holds. */
import { Dataset, type RunTracker } from "@ashlar/core"
import * as Schema from "effect/Schema"
import type { Facts } from "./batches.ts"

const Texts = Schema.Record(Schema.String, Schema.String)

/** JSON has no NaN, infinities or negative zero. */
const Double = Schema.Union([
  Schema.Number,
  Schema.Literals(["NaN", "Infinity", "-Infinity", "-0"]),
])

const Status = Schema.Literals(["FINISHED", "FAILED", "KILLED"])

const Start = Schema.Struct({
  op: Schema.Literal("start"),
  /** The id this client gave it. */
  run: Schema.NonEmptyString,
  start: Schema.Struct({
    experiment: Schema.String,
    name: Schema.optionalKey(Schema.String),
    key: Schema.optionalKey(Schema.String),
    parentRunId: Schema.optionalKey(Schema.String),
    tags: Schema.optionalKey(Texts),
    params: Schema.optionalKey(
      Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Number, Schema.Boolean])),
    ),
    inputs: Schema.optionalKey(
      Schema.Array(
        Schema.Struct({
          ...Dataset.DatasetRef.fields,
          context: Schema.optionalKey(Schema.String),
        }),
      ),
    ),
    codeVersion: Schema.optionalKey(Schema.String),
    seed: Schema.optionalKey(Schema.Number),
  }),
})

const Log = Schema.Struct({
  op: Schema.Literal("log"),
  run: Schema.NonEmptyString,
  metrics: Schema.Array(
    Schema.Struct({
      key: Schema.String,
      value: Double,
      step: Schema.Number,
      time: Schema.Number,
    }),
  ),
  params: Texts,
  tags: Texts,
})

const Artifact = Schema.Struct({
  op: Schema.Literal("artifact"),
  run: Schema.NonEmptyString,
  path: Schema.String,
  /** Name of the copy in the journal's folder. */
  copy: Schema.String.check(Schema.isPattern(/^[0-9a-f-]{36}$/)),
})

const Finish = Schema.Struct({
  op: Schema.Literal("finish"),
  run: Schema.NonEmptyString,
  status: Status,
  ended: Schema.Number,
})

/** Schema of an operation. */
export const Operation = Schema.Union([Start, Log, Artifact, Finish])

/** An operation that waits for delivery. */
export type Operation = typeof Operation.Type

/** A run to start, when the store is there again. */
export const startOf = (run: string, start: RunTracker.StartRun): Operation => ({
  op: "start",
  run,
  start,
})

/** Facts to log. */
export const logOf = (run: string, { metrics, params, tags }: Facts): Operation => ({
  op: "log",
  run,
  metrics: metrics.map((metric) => ({
    ...metric,
    value: Object.is(metric.value, -0)
      ? "-0"
      : Number.isFinite(metric.value)
        ? metric.value
        : metric.value > 0
          ? "Infinity"
          : metric.value < 0
            ? "-Infinity"
            : "NaN",
  })),
  params,
  tags,
})

/** The facts of a `log`. */
export const factsIn = ({ metrics, params, tags }: typeof Log.Type): Facts => ({
  metrics: metrics.map((metric) => ({ ...metric, value: Number(metric.value) })),
  params,
  tags,
})
