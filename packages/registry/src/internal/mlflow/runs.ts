import { Page, type RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import { type Endpoint, endpoint } from "./endpoint.ts"
import * as Render from "./render.ts"
import * as Request from "./request.ts"

const runName = "mlflow.runName"
const RunId = Schema.Struct({ run_id: Schema.NonEmptyString })

const Metric = Schema.Struct({
  key: Schema.NonEmptyString,
  value: Request.Double,
  timestamp: Request.Int64,
  step: Schema.optionalKey(Request.Int64),
})

/** MLflow keeps infinities as the greatest double. */
const clipped = (value: number): number =>
  Number.isNaN(value) ? value : Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value))

const metricOf = ({ key, value, timestamp, step }: typeof Metric.Type): RunTracker.Metric => ({
  key,
  value: clipped(Number(value)),
  time: Number(timestamp) * 1000,
  step: Number(step ?? 0),
})

/** MLflow takes data of a run in any status. */
const log = Effect.fnUntraced(function* (runId: string, batch: RunTracker.RunBatch) {
  const runs = yield* Runs
  yield* runs.log(runId, batch, { ended: "allow" })
  // This tag is the run's name.
  const name = batch.tags?.[runName]
  if (name !== undefined) yield* runs.update(runId, { name })
  return {}
})

const limits = { metrics: 1000, params: 100, tags: 100 } as const

const checkBatch = Effect.fnUntraced(function* (batch: {
  readonly metrics: ReadonlyArray<unknown>
  readonly params: ReadonlyArray<{ readonly key: string }>
  readonly tags: ReadonlyArray<unknown>
}) {
  for (const part of ["metrics", "params", "tags"] as const) {
    const count = batch[part].length
    if (count <= limits[part]) continue
    return yield* invalid(
      part,
      `A batch logging request can contain at most ${limits[part]} ${part}. Got ${count} ${part}. Please split up ${part} across multiple requests and try again.`,
    )
  }
  const total = batch.metrics.length + batch.params.length + batch.tags.length
  if (total > 1000) {
    return yield* invalid(
      "metrics",
      `A batch logging request can contain at most 1000 metrics, params and tags together. Got ${total}. Please split them across multiple requests and try again.`,
    )
  }
  const keys = new Set(batch.params.map(({ key }) => key))
  if (keys.size === batch.params.length) return
  return yield* invalid(
    "params",
    "Duplicate parameter keys have been submitted. Please ensure the request contains only one param value per param key.",
  )
})

const writes: ReadonlyArray<Endpoint> = [
  endpoint(
    ["POST"],
    "/runs/create",
    "write",
    Schema.Struct({
      experiment_id: Schema.optionalKey(Request.Id),
      user_id: Schema.optionalKey(Schema.String),
      run_name: Schema.optionalKey(Schema.String),
      start_time: Schema.optionalKey(Request.Int64),
      tags: Schema.optionalKey(Request.Pairs),
    }),
    Effect.fnUntraced(function* (input) {
      const tags = Request.recordOf(input.tags, 8000)
      const name = input.run_name ?? ""
      const tagged = tags[runName]
      if (name !== "" && tagged !== undefined && tagged !== name) {
        return yield* invalid(
          "run_name",
          `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${name}', mlflow.runName='${tagged}').`,
        )
      }
      const runs = yield* Runs
      const run = yield* runs.create({
        experimentId: String(input.experiment_id ?? "0"),
        tags,
        ...(name === "" ? {} : { name }),
        ...(input.user_id === undefined ? {} : { user: input.user_id }),
        ...(input.start_time === undefined ? {} : { started: Number(input.start_time) * 1000 }),
      })
      return { run: Render.run(run) }
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/update",
    "write",
    Schema.Struct({
      ...RunId.fields,
      status: Schema.optionalKey(
        Schema.Literals(["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]),
      ),
      end_time: Schema.optionalKey(Request.Int64),
      run_name: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* ({ run_id, status, end_time, run_name = "" }) {
      const runs = yield* Runs
      const run = yield* runs.update(run_id, {
        ...(status === undefined ? {} : { status }),
        ...(end_time === undefined ? {} : { ended: Number(end_time) * 1000 }),
        ...(run_name === "" ? {} : { name: run_name }),
      })
      return { run_info: Render.runInfo(run) }
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/log-metric",
    "write",
    Schema.Struct({ ...RunId.fields, ...Metric.fields }),
    ({ run_id, ...metric }) => log(run_id, { metrics: [metricOf(metric)] }),
  ),
  endpoint(
    ["POST"],
    "/runs/log-parameter",
    "write",
    Schema.Struct({
      ...RunId.fields,
      key: Schema.NonEmptyString,
      value: Schema.optionalKey(Schema.String),
    }),
    ({ run_id, key, value = "" }) =>
      log(run_id, { params: Request.recordOf([{ key, value }], 6000) }),
  ),
  endpoint(
    ["POST"],
    "/runs/set-tag",
    "write",
    Schema.Struct({
      ...RunId.fields,
      key: Schema.NonEmptyString,
      value: Schema.optionalKey(Schema.String),
    }),
    ({ run_id, key, value = "" }) =>
      log(run_id, { tags: Request.recordOf([{ key, value }], 8000) }),
  ),
  endpoint(
    ["POST"],
    "/runs/log-batch",
    "write",
    Schema.Struct({
      ...RunId.fields,
      metrics: Schema.optionalKey(Schema.Array(Metric)),
      params: Schema.optionalKey(Request.Pairs),
      tags: Schema.optionalKey(Request.Pairs),
    }),
    Effect.fnUntraced(function* ({ run_id, metrics = [], params = [], tags = [] }) {
      yield* checkBatch({ metrics, params, tags })
      return yield* log(run_id, {
        metrics: metrics.map(metricOf),
        params: Request.recordOf(params, 6000),
        tags: Request.recordOf(tags, 8000),
      })
    }),
  ),
]

const byTime = (
  a: { readonly time: number; readonly step: number; readonly value: number },
  b: typeof a,
): number => a.time - b.time || a.step - b.step || a.value - b.value

const reads: ReadonlyArray<Endpoint> = [
  endpoint(
    ["GET"],
    "/runs/get",
    "read",
    RunId,
    Effect.fnUntraced(function* ({ run_id }) {
      const runs = yield* Runs
      return { run: Render.run(yield* runs.get(run_id)) }
    }),
  ),
  endpoint(
    ["POST"],
    "/runs/search",
    "read",
    Schema.Struct({
      experiment_ids: Schema.optionalKey(Schema.Array(Request.Id)),
      filter: Schema.optionalKey(Schema.String),
      run_view_type: Schema.optionalKey(Schema.Literals(["ACTIVE_ONLY", "DELETED_ONLY", "ALL"])),
      max_results: Schema.optionalKey(Request.Int64),
      order_by: Schema.optionalKey(Schema.Array(Schema.String)),
      page_token: Schema.optionalKey(Schema.String),
    }),
    Effect.fnUntraced(function* (input) {
      const limit = yield* Request.maxResults(input.max_results, 1000, 50_000)
      const runs = yield* Runs
      // Nothing is ever deleted here.
      const experiments = input.run_view_type === "DELETED_ONLY" ? [] : (input.experiment_ids ?? [])
      const { items, next } = yield* runs.search(experiments.map(String), {
        limit,
        ...(input.filter === undefined ? {} : { filter: input.filter }),
        ...(input.order_by === undefined ? {} : { orderBy: input.order_by }),
        ...Request.tokenOf(input),
      })
      return Render.page("runs", items.map(Render.run), next)
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
    Effect.fnUntraced(function* (input) {
      const runs = yield* Runs
      yield* runs.get(input.run_id)
      const points = yield* runs.history(input.run_id, input.metric_key)
      const [from] =
        (input.page_token ?? "") === "" ? [0] : (Page.decodeToken(input.page_token ?? "") ?? [])
      if (typeof from !== "number" || from < 0) {
        return yield* invalid(
          "page_token",
          "the page token is not one this service gave: start again",
        )
      }
      const limit =
        input.max_results === undefined
          ? points.length
          : yield* Request.maxResults(input.max_results, 25_000, 25_000)
      const to = from + limit
      const rows = points.toSorted(byTime).slice(from, to)
      return Render.page(
        "metrics",
        rows.map((point) => Render.metric(input.metric_key, point)),
        to < points.length ? Page.encodeToken([to]) : undefined,
      )
    }),
  ),
  endpoint(
    ["GET"],
    "/artifacts/list",
    "read",
    Schema.Struct({ ...RunId.fields, path: Schema.optionalKey(Schema.String) }),
    Effect.fnUntraced(function* ({ run_id, path = "" }) {
      const runs = yield* Runs
      const run = yield* runs.get(run_id)
      const prefix = path === "" ? "" : `${path.replace(/\/+$/, "")}/`
      const found = new Map<string, { path: string; is_dir: boolean; file_size?: number }>()
      for (const artifact of yield* runs.artifacts(run_id)) {
        if (!artifact.path.startsWith(prefix)) continue
        const rest = artifact.path.slice(prefix.length)
        const slash = rest.indexOf("/")
        const child = prefix + (slash < 0 ? rest : rest.slice(0, slash))
        found.set(
          child,
          slash < 0
            ? { path: child, is_dir: false, file_size: artifact.size }
            : { path: child, is_dir: true },
        )
      }
      const files = [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
      return { root_uri: Render.artifactUri(run), ...Render.page("files", files, undefined) }
    }),
  ),
]

/** Runs over MLflow's REST API. */
export const endpoints: ReadonlyArray<Endpoint> = [...writes, ...reads]
