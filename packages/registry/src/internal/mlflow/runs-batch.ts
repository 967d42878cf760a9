import type { RunTracker } from "@ashlar/core"
import * as Schema from "effect/Schema"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import * as Limits from "../limits.ts"
import type { Call } from "./endpoint.ts"
import * as Request from "./request.ts"
import * as Validate from "./validate.ts"

/** A metric of a request. */
export const Metric = Schema.Struct({
  key: Schema.NonEmptyString,
  value: Request.Double,
  timestamp: Request.Int64,
  step: Schema.optionalKey(Request.Int64),
  model_id: Schema.optionalKey(Schema.String),
  dataset_name: Schema.optionalKey(Schema.String),
  dataset_digest: Schema.optionalKey(Schema.String),
})

/** A batch of a request. */
export const Batch = Schema.Struct({
  run_id: Schema.NonEmptyString,
  metrics: Schema.optionalKey(Schema.Array(Metric)),
  params: Schema.optionalKey(Request.Pairs),
  tags: Schema.optionalKey(Request.Pairs),
})

type Pairs = typeof Request.Pairs.Type

/** MLflow keeps infinities as the greatest double. */
const clipped = (value: number): number =>
  value >= -Number.MAX_VALUE && value <= Number.MAX_VALUE
    ? value
    : Number.isNaN(value)
      ? value
      : Math.sign(value) * Number.MAX_VALUE

/** A metric as the services take it. */
export const metricOf = ({
  key,
  value,
  timestamp,
  step,
}: typeof Metric.Type): RunTracker.Metric => ({
  key,
  value: clipped(Number(value)),
  time: Number(timestamp) * 1000,
  step: Number(step ?? 0),
})

/** A number as Python shows a double. */
const double = (value: number | string): string => {
  const number = Number(value)
  return Number.isInteger(number) ? `${number}.0` : String(number)
}

/** Why a metric is refused; undefined when it is not. */
export const wrongMetric = (
  { key, value, timestamp, step = 0, ...dataset }: typeof Metric.Type,
  path: string,
): RegistryError | undefined => {
  if (((dataset.dataset_name ?? "") === "") !== ((dataset.dataset_digest ?? "") === "")) {
    return invalid(
      "dataset_name",
      "Both dataset_name and dataset_digest must be provided if one is provided",
    )
  }
  const at = path === "" ? "" : `${path}.`
  if (!Limits.isKey(key)) {
    const wrong =
      Validate.key(key, `${at}name`) ?? Validate.length("Metric name", Validate.limits.key, key)
    if (wrong !== undefined) return wrong
  }
  if (Number(timestamp) < 0) {
    return invalid(
      `${at}timestamp`,
      `Invalid value ${timestamp} for parameter '${at}timestamp' supplied: metric '${key}' (value=${double(value)}). Timestamp must be a nonnegative long (64-bit integer) `,
    )
  }
  const time = Number(timestamp) * 1000
  if (!Number.isSafeInteger(time) || !Number.isSafeInteger(Number(step))) {
    const name = Number.isSafeInteger(time) ? "step" : "timestamp"
    return invalid(
      `${at}${name}`,
      `Invalid value ${name === "step" ? step : timestamp} for parameter '${at}${name}' supplied: this server takes steps within 2^53 and times until the year 2255`,
    )
  }
  return undefined
}

const first = (text: string, limit: number): string =>
  text.length <= limit ? text : [...text].slice(0, limit).join("")

/** What a kind of pairs is called in refusals, and how long its values may be. */
const kinds = {
  params: { limit: Validate.limits.param, key: () => "Param key", value: () => "Param value" },
  tags: {
    limit: Validate.limits.tag,
    key: (at: string) => `${at}key`,
    value: (at: string) => `${at}value`,
  },
} as const

/** Pairs as a record, cut where the server cuts; or why they are refused. */
export const recordOf = (
  kind: "params" | "tags",
  pairs: Pairs,
  call: Call,
  pathOf: (index: number) => string = (index) => `${kind}[${index}].`,
): Readonly<Record<string, string>> | RegistryError => {
  const { limit, ...names } = kinds[kind]
  const record = new Map<string, string>()
  for (const [index, { key, value = "" }] of pairs.entries()) {
    const at = pathOf(index)
    const text = call.truncateLongValues ? first(value, limit) : value
    const wrong =
      Validate.key(key, `${at}key`) ??
      Validate.length(names.key(at), Validate.limits.key, key) ??
      Validate.length(names.value(at), limit, text)
    if (wrong !== undefined) return wrong
    record.set(key, text)
  }
  return Object.fromEntries(record)
}

const tooMany = (what: string, limit: number, count: number): RegistryError | undefined =>
  count <= limit
    ? undefined
    : invalid(
        "metrics",
        `A batch logging request can contain at most ${limit} ${what}. Got ${count} ${what}. Please split up ${what} across multiple requests and try again.`,
      )

/** Why a batch is too large, or names a param twice. */
export const wrongBatch = (
  metrics: number,
  params: Pairs,
  tags: number,
): RegistryError | undefined => {
  const size =
    tooMany("metrics", 1000, metrics) ??
    tooMany("params", 100, params.length) ??
    tooMany("tags", 100, tags) ??
    tooMany("metrics, params, and tags", 1000, metrics + params.length + tags)
  if (size !== undefined) return size
  const seen = new Set<string>()
  const twice = params.flatMap(({ key }) => {
    if (seen.has(key)) return [key]
    seen.add(key)
    return []
  })
  return twice.length === 0
    ? undefined
    : invalid(
        "params",
        `Duplicate parameter keys have been submitted: [${twice.map(Validate.shown).join(", ")}]. Please ensure the request contains only one param value per param key.`,
      )
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isPlainMetric = (value: unknown): value is typeof Metric.Type => {
  if (!isObject(value)) return false
  const { key, value: number, timestamp, step, model_id: model } = value
  return (
    typeof key === "string" &&
    key !== "" &&
    typeof number === "number" &&
    Number.isSafeInteger(timestamp) &&
    (step === undefined || Number.isSafeInteger(step)) &&
    model === undefined &&
    value["dataset_name"] === undefined &&
    value["dataset_digest"] === undefined
  )
}

const isPlainPair = (value: unknown): value is Pairs[number] =>
  isObject(value) &&
  typeof value["key"] === "string" &&
  value["key"] !== "" &&
  typeof value["value"] === "string"

const isListOf = <A>(
  value: unknown,
  isOne: (item: unknown) => item is A,
): value is ReadonlyArray<A> | undefined =>
  value === undefined || (Array.isArray(value) && value.every(isOne))

/**
 * The batch that nearly every request is, checked by hand: a schema takes longer over a thousand
 * metrics than the database over storing them. Undefined leaves the request to {@link Batch}, which
 * takes what this does not and says what is wrong with the rest.
 */
export const plainBatch = (raw: unknown): typeof Batch.Type | undefined => {
  if (!isObject(raw)) return undefined
  const { run_id, metrics, params, tags } = raw
  return typeof run_id === "string" &&
    run_id !== "" &&
    isListOf(metrics, isPlainMetric) &&
    isListOf(params, isPlainPair) &&
    isListOf(tags, isPlainPair)
    ? {
        run_id,
        ...(metrics === undefined ? {} : { metrics }),
        ...(params === undefined ? {} : { params }),
        ...(tags === undefined ? {} : { tags }),
      }
    : undefined
}
