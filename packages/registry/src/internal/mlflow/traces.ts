import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import { type Trace, type TraceInfo, Traces, type TraceState } from "../../Traces.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import { type Json, list, page } from "./render.ts"
import * as Request from "./request.ts"

const states = ["STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"] as const
const Pairs = Schema.Record(Schema.String, Schema.String)
const ById = Schema.Struct({ trace_id: Schema.NonEmptyString })

const Location = Schema.Struct({
  mlflow_experiment: Schema.optionalKey(Schema.Struct({ experiment_id: Request.Id })),
})

const Info = Schema.Struct({
  trace_id: Schema.NonEmptyString,
  trace_location: Schema.Struct({
    mlflow_experiment: Schema.Struct({ experiment_id: Request.Id }),
  }),
  client_request_id: Schema.optionalKey(Schema.String),
  request_preview: Schema.optionalKey(Schema.String),
  response_preview: Schema.optionalKey(Schema.String),
  request_time: Schema.String.check(
    Schema.isPattern(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/),
  ),
  execution_duration: Schema.optionalKey(
    Schema.String.check(Schema.isPattern(/^\d{1,12}(\.\d{1,9})?s$/)),
  ),
  state: Schema.optionalKey(Schema.Literals([...states, 0, 1, 2, 3])),
  trace_metadata: Schema.optionalKey(Pairs),
  tags: Schema.optionalKey(Pairs),
  assessments: Schema.optionalKey(Schema.Array(Schema.Unknown)),
})

const stateOf = (given: (typeof Info.Type)["state"] = 0): TraceState =>
  typeof given === "number" ? (states[given] ?? "STATE_UNSPECIFIED") : given

/** What MLflow's answers have of a tag and of metadata. */
const cut = (pairs: Readonly<Record<string, string>>, longest: number): Json =>
  Object.fromEntries(
    Object.entries(pairs).map(([key, value]) => [key.slice(0, 250), value.slice(0, longest)]),
  )

const record = (name: string, pairs: Json): Json =>
  Object.keys(pairs).length === 0 ? {} : { [name]: pairs }

/** A `TraceInfoV3`. */
const infoOf = (info: TraceInfo): Json => ({
  trace_id: info.traceId,
  ...(info.clientRequestId === undefined ? {} : { client_request_id: info.clientRequestId }),
  trace_location: {
    type: "MLFLOW_EXPERIMENT",
    mlflow_experiment: { experiment_id: info.experimentId },
  },
  ...(info.requestPreview === undefined ? {} : { request_preview: info.requestPreview }),
  ...(info.responsePreview === undefined ? {} : { response_preview: info.responsePreview }),
  request_time: new Date(info.startedMs).toISOString(),
  ...(info.durationMs === undefined ? {} : { execution_duration: `${info.durationMs / 1000}s` }),
  state: info.state,
  ...record("trace_metadata", cut(info.metadata, 250)),
  ...record("tags", cut(info.tags, 4096)),
})

/** A `Trace` as text: its spans are JSON already, with numbers that JavaScript cannot hold. */
const traceText = ({ info, spans }: Trace): string =>
  `{"trace_info":${JSON.stringify(infoOf(info))},"spans":[${spans.map(({ json }) => json).join(",")}]}`

const answer = (text: string) =>
  HttpKit.reply(text, { headers: { "content-type": "application/json" } })

const isTrue = (given: string | undefined): boolean => given?.toLowerCase() === "true"

const millisOf = Effect.fnUntraced(function* (time: string) {
  const value = Date.parse(time)
  if (Number.isFinite(value) && value >= 0) return value
  return yield* invalid("request_time", `request_time ${time} is no time from 1970 on`)
})

const v3 = (found: Endpoint): Endpoint => ({ ...found, version: "3.0" })

const Ids = Schema.Struct({
  trace_ids: Request.Texts,
  experiment_ids: Schema.optionalKey(Request.Texts),
})

const within = (input: typeof Ids.Type) => {
  const experiments = Request.textsOf(input.experiment_ids)
  return ({ experimentId }: TraceInfo) =>
    input.experiment_ids === undefined || experiments.includes(experimentId)
}

const reading: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/traces",
    "write",
    Schema.Struct({ trace: Schema.Struct({ trace_info: Info }) }),
    Effect.fnUntraced(function* ({ trace: { trace_info: given } }) {
      if ((given.assessments ?? []).length > 0) {
        return yield* invalid(
          "trace.trace_info.assessments",
          "Assessments of traces are not kept by this server: send the trace without them",
        )
      }
      const traces = yield* Traces
      const info = yield* traces.start({
        traceId: given.trace_id,
        experimentId: String(given.trace_location.mlflow_experiment.experiment_id),
        startedMs: yield* millisOf(given.request_time),
        ...(given.execution_duration === undefined
          ? {}
          : { durationMs: Math.round(Number(given.execution_duration.slice(0, -1)) * 1000) }),
        state: stateOf(given.state),
        ...(given.client_request_id === undefined
          ? {}
          : { clientRequestId: given.client_request_id }),
        ...(given.request_preview === undefined ? {} : { requestPreview: given.request_preview }),
        ...(given.response_preview === undefined
          ? {}
          : { responsePreview: given.response_preview }),
        metadata: given.trace_metadata ?? {},
        tags: given.tags ?? {},
      })
      return { trace: { trace_info: infoOf(info) } }
    }),
  ),
  endpoint(
    ["GET"],
    "/traces/get",
    "read",
    Schema.Struct({ ...ById.fields, allow_partial: Schema.optionalKey(Schema.String) }),
    Effect.fnUntraced(function* ({ trace_id, allow_partial }) {
      const traces = yield* Traces
      const trace = yield* traces.get(trace_id, { partial: isTrue(allow_partial) })
      return answer(`{"trace":${traceText(trace)}}`)
    }),
  ),
  endpoint(
    ["GET"],
    "/traces/batchGet",
    "read",
    Ids,
    Effect.fnUntraced(function* (input) {
      const traces = yield* Traces
      const found = yield* traces.all(Request.textsOf(input.trace_ids))
      const isWithin = within(input)
      const texts = found.filter(({ info }) => isWithin(info)).map(traceText)
      return answer(texts.length === 0 ? "{}" : `{"traces":[${texts.join(",")}]}`)
    }),
  ),
  endpoint(
    ["POST"],
    "/traces/batchGetInfos",
    "read",
    Ids,
    Effect.fnUntraced(function* (input) {
      const traces = yield* Traces
      const found = yield* traces.infos(Request.textsOf(input.trace_ids))
      return list("trace_infos", found.filter(within(input)).map(infoOf))
    }),
  ),
  endpoint(
    ["POST"],
    "/traces/search",
    "read",
    Schema.Struct({
      locations: Schema.Array(Location),
      filter: Schema.optionalKey(Schema.String),
      max_results: Schema.optionalKey(Request.Int64),
      order_by: Schema.optionalKey(Schema.Array(Schema.String)),
      page_token: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* (input) {
      const limit = yield* Request.maxResults(input.max_results, 100, 500)
      const traces = yield* Traces
      const { items, next } = yield* traces.search(
        input.locations.flatMap(({ mlflow_experiment: at }) =>
          at === undefined ? [] : [String(at.experiment_id)],
        ),
        {
          limit,
          filter: input.filter ?? "",
          orderBy: input.order_by ?? [],
          ...Request.tokenOf(input),
        },
      )
      return page("traces", items.map(infoOf), next)
    }),
  ),
  endpoint(
    ["GET"],
    "/traces/:trace_id",
    "read",
    ById,
    Effect.fnUntraced(function* ({ trace_id }) {
      const traces = yield* Traces
      return { trace: { trace_info: infoOf(yield* traces.info(trace_id)) } }
    }),
  ),
].map(v3)

const wholeOf = (
  field: string,
  given: number | string | undefined,
): Effect.Effect<number | undefined, RegistryError> => {
  const value = given === undefined ? undefined : Number(given)
  return value === undefined || Number.isSafeInteger(value)
    ? Effect.succeed(value)
    : Effect.fail(invalid(field, `${field} ${given} is no whole number within 2^53`))
}

const removal = endpoint(
  ["POST"],
  "/traces/delete-traces",
  "write",
  Schema.Struct({
    experiment_id: Request.Id,
    max_timestamp_millis: Schema.optionalKey(Request.Int64),
    max_traces: Schema.optionalKey(Request.Int64),
    request_ids: Schema.optionalKey(Schema.Array(Schema.String)),
  }),
  Effect.fnUntraced(function* (input) {
    const until = yield* wholeOf("max_timestamp_millis", input.max_timestamp_millis)
    const most = yield* wholeOf("max_traces", input.max_traces)
    const ids = input.request_ids ?? []
    if (until === undefined && ids.length === 0) {
      return yield* invalid(
        "max_timestamp_millis",
        "Either `max_timestamp_millis` or `trace_ids` must be specified.",
      )
    }
    if (until !== undefined && ids.length > 0) {
      return yield* invalid(
        "request_ids",
        "Only one of `max_timestamp_millis` and `trace_ids` can be specified.",
      )
    }
    if (ids.length > 0 && most !== undefined) {
      return yield* invalid(
        "max_traces",
        "`max_traces` can't be specified if `trace_ids` is specified.",
      )
    }
    if (most !== undefined && most <= 0) {
      return yield* invalid(
        "max_traces",
        `\`max_traces\` must be a positive integer, received ${most}.`,
      )
    }
    const traces = yield* Traces
    const count = yield* traces.remove(
      String(input.experiment_id),
      until === undefined
        ? { traceIds: ids }
        : { untilMs: until, ...(most === undefined ? {} : { most }) },
    )
    return { traces_deleted: count }
  }),
)

const tagging: ReadonlyArray<Endpoint> = [
  removal,
  endpoint(
    ["PATCH"],
    "/traces/:trace_id/tags",
    "write",
    Schema.Struct({
      ...ById.fields,
      key: Schema.NonEmptyString,
      value: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* ({ trace_id, key, value = "" }) {
      const traces = yield* Traces
      yield* traces.setTag(trace_id, key, value)
      return {}
    }),
  ),
  endpoint(
    ["DELETE"],
    "/traces/:trace_id/tags",
    "write",
    Schema.Struct({ ...ById.fields, key: Schema.NonEmptyString }),
    Effect.fnUntraced(function* ({ trace_id, key }) {
      const traces = yield* Traces
      yield* traces.deleteTag(trace_id, key)
      return {}
    }),
  ),
]

/** Traces over MLflow's REST API. Clients delete and tag by 2.0, and read by 3.0. */
export const endpoints: ReadonlyArray<Endpoint> = [
  ...reading,
  ...tagging,
  ...tagging.map((found) => v3({ ...found, operation: `/v3${found.path}` })),
]
