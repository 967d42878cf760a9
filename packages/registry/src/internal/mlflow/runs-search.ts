import { Page } from "@ashlar/core"
import * as HttpKit from "@ashlar/core/fastify"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import { type MetricPoint, Runs } from "../../Runs.ts"
import { undecoded } from "../search/plan-token.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

/** Most runs of a page. */
const maxPage = 50_000
/** Runs of a page that are read and written out at once: a page of thousands takes no more memory. */
const piece = 250
/** Most runs of one request for many histories. */
const maxRuns = 100
/** Most points of a run that are sampled, and what is asked for by default. */
const maxSamples = 2500
/** Most points of one answer of `get-history-bulk`. */
const maxBulk = 25_000

const json = { headers: { "content-type": "application/json; charset=utf-8" } }

const hint = "See the API docs for more information about request parameters."

/** Points as JSON, written out by hand: there may be a hundred thousand of them. */
const points = (key: string, list: ReadonlyArray<MetricPoint>, runId?: string): string => {
  const name = JSON.stringify(key)
  const run = runId === undefined ? "" : `,"run_id":${JSON.stringify(runId)}`
  let text = ""
  for (const { step, time, value } of list) {
    const shown = Number.isFinite(value) ? (Object.is(value, -0) ? "-0" : value) : `"${value}"`
    text += `${text === "" ? "" : ","}{"key":${name},"value":${shown},"timestamp":${Render.millis(time)},"step":${step}${run}}`
  }
  return text
}

/** An answer with a list of points; an empty one is left out, as protocol buffers do. */
const answer = (list: string, next?: string) => {
  const parts = [
    ...(list === "" ? [] : [`"metrics":[${list}]`]),
    ...(next === undefined ? [] : [`"next_page_token":${JSON.stringify(next)}`]),
  ]
  return HttpKit.reply(`{${parts.join(",")}}`, json)
}

const offsetOf = (token: string): Effect.Effect<number, RegistryError> => {
  if (token === "") return Effect.succeed(0)
  const [offset, ...rest] = Page.decodeToken(token) ?? []
  return typeof offset === "number" &&
    Number.isSafeInteger(offset) &&
    offset > 0 &&
    rest.length === 0
    ? Effect.succeed(offset)
    : Effect.fail(invalid("page_token", undecoded(token)))
}

const textsOf = (texts: typeof Request.Texts.Type | undefined): ReadonlyArray<string> =>
  typeof texts === "string" ? [texts] : (texts ?? [])

/** Searches of runs and histories of metrics over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/runs/search",
    "read",
    Schema.Struct({
      experiment_ids: Schema.optionalKey(Schema.Array(Request.Id)),
      filter: Schema.optionalKey(Schema.String),
      run_view_type: Schema.optionalKey(Request.ViewType),
      max_results: Schema.optionalKey(Request.Int64),
      order_by: Schema.optionalKey(Schema.Array(Schema.String)),
      page_token: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* (input) {
      const asked = Number(input.max_results ?? 1000)
      if (asked > maxPage) {
        return yield* invalid(
          "max_results",
          `Invalid value ${asked} for parameter 'max_results' supplied:  Hint: Value was of type 'int'. ${hint}`,
        )
      }
      const limit = yield* Request.maxResults(asked, 1000, maxPage)
      const runs = yield* Runs
      const { items, next } = yield* runs.search((input.experiment_ids ?? []).map(String), {
        limit,
        ...(limit > piece ? { fields: { metrics: [], params: [], tags: [] } } : {}),
        view: Request.viewOf(input.run_view_type),
        ...(input.filter === undefined ? {} : { filter: input.filter }),
        ...(input.order_by === undefined ? {} : { orderBy: input.order_by }),
        ...Request.tokenOf(input),
      })
      if (items.length === 0) return Render.page("runs", items, next)
      const texts: Array<Uint8Array> = [Buffer.from('{"runs":[')]
      for (let from = 0; from < items.length; from += piece) {
        const some = items.slice(from, from + piece)
        const ids = some.map(({ runId }) => runId)
        const links = yield* runs.links(ids)
        const whole = limit > piece ? yield* runs.getMany(ids) : some
        const text = whole.map((run) => JSON.stringify(Render.run(run, links))).join(",")
        texts.push(Buffer.from(from === 0 || text === "" ? text : `,${text}`))
      }
      const token = next === undefined ? "" : `,"next_page_token":${JSON.stringify(next)}`
      texts.push(Buffer.from(`]${token}}`))
      return HttpKit.reply(Buffer.concat(texts), json)
    }),
  ),
  endpoint(
    ["GET"],
    "/metrics/get-history",
    "read",
    Schema.Struct({
      ...RunId.fields,
      metric_key: Schema.NonEmptyString,
      page_token: Schema.optionalKey(Schema.String),
      max_results: Schema.optionalKey(Request.Int64),
    }),
    Effect.fnUntraced(function* ({ run_id, metric_key, page_token = "", max_results }) {
      const limit = max_results === undefined ? Number.POSITIVE_INFINITY : Number(max_results)
      if (limit <= 0) {
        return yield* invalid(
          "max_results",
          `Invalid value ${limit} for parameter 'max_results' supplied. It must be a positive integer.`,
        )
      }
      const offset = yield* offsetOf(page_token)
      const runs = yield* Runs
      const { points: list, total } = yield* runs.historyWindow(run_id, metric_key, {
        offset,
        limit: Math.min(limit, Number.MAX_SAFE_INTEGER - offset),
      })
      const end = offset + list.length
      return answer(points(metric_key, list), end < total ? Page.encodeToken([end]) : undefined)
    }),
  ),
  endpoint(
    ["GET"],
    "/metrics/get-history-bulk-interval",
    "read",
    Schema.Struct({
      run_ids: Request.Texts,
      metric_key: Schema.NonEmptyString,
      start_step: Schema.optionalKey(Request.Int64),
      end_step: Schema.optionalKey(Request.Int64),
      max_results: Schema.optionalKey(Request.Int64),
    }),
    Effect.fnUntraced(function* ({ metric_key, start_step, end_step, ...input }) {
      const runIds = textsOf(input.run_ids)
      if (runIds.length > maxRuns) {
        return yield* invalid(
          "run_ids",
          `GetMetricHistoryBulkInterval request must specify at most ${maxRuns} run_ids. Received ${runIds.length} run_ids. ${hint}`,
        )
      }
      const samples = Number(input.max_results ?? maxSamples)
      if (samples < 1 || samples > maxSamples) {
        return yield* invalid(
          "max_results",
          `max_results must be between 1 and ${maxSamples}. ${hint}`,
        )
      }
      if ((start_step === undefined) !== (end_step === undefined)) {
        return yield* invalid(
          "start_step",
          "If either start step or end step are specified, both must be specified.",
        )
      }
      const range =
        start_step === undefined || end_step === undefined
          ? {}
          : { start: Number(start_step), end: Number(end_step) }
      if (range.start !== undefined && range.start > range.end) {
        return yield* invalid(
          "end_step",
          `end_step must be greater than start_step. Found start_step=${range.start} and end_step=${range.end}.`,
        )
      }
      const runs = yield* Runs
      const found = yield* runs.histories({ runIds, key: metric_key, samples, ...range })
      const texts = new Map(
        found.map((one) => [one.runId, points(metric_key, one.points, one.runId)]),
      )
      return answer(runIds.flatMap((runId) => texts.get(runId) || []).join(","))
    }),
  ),
  endpoint(
    ["GET"],
    "/metrics/get-history-bulk",
    "read",
    Schema.Struct({
      run_id: Schema.optionalKey(Request.Texts),
      metric_key: Schema.optionalKey(Schema.String),
      max_results: Schema.optionalKey(Request.Int64),
    }),
    Effect.fnUntraced(function* ({ metric_key, ...input }) {
      const runIds = textsOf(input.run_id)
      if (runIds.length === 0) {
        return yield* invalid(
          "run_id",
          "GetMetricHistoryBulk request must specify at least one run_id.",
        )
      }
      if (runIds.length > maxRuns) {
        return yield* invalid(
          "run_id",
          `GetMetricHistoryBulk request cannot specify more than ${maxRuns} run_ids. Received ${runIds.length} run_ids.`,
        )
      }
      if (metric_key === undefined) {
        return yield* invalid(
          "metric_key",
          "GetMetricHistoryBulk request must specify a metric_key.",
        )
      }
      const runs = yield* Runs
      let left = Math.max(0, Math.min(Number(input.max_results ?? maxBulk), maxBulk))
      const texts: Array<string> = []
      for (const runId of [...new Set(runIds)].sort()) {
        if (left === 0) break
        const { points: list } = yield* runs.historyWindow(runId, metric_key, {
          offset: 0,
          limit: left,
        })
        left -= list.length
        if (list.length > 0) texts.push(points(metric_key, list, runId))
      }
      return HttpKit.reply(`{"metrics":[${texts.join(",")}]}`, json)
    }),
  ),
]
