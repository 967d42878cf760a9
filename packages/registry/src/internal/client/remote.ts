/** Runs on a server that speaks MLflow's REST API. */
import { Digest, Id, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { RegistryError } from "../../RegistryError.ts"
import type { TrackedArtifact } from "../../Tracking.ts"
import * as Files from "../files.ts"
import * as Limits from "../limits.ts"
import { type Facts, factsOf, split } from "./batches.ts"
import { localFile, uploadOf } from "./localFile.ts"
import * as Mlflow from "./mlflow.ts"
import { type RemoteOptions, make as makeRest } from "./rest.ts"
import type { Transport } from "./transport.ts"

const api = "api/2.0/mlflow"

/** Holds a run's key on a server whose protocol knows none. */
const keyTag = "ashlar.key"

/** MLflow's filters cannot quote every text. */
const keyOf = (key: string): string => (/^[\w.:\-/ ]{1,250}$/.test(key) ? key : Digest.of(key))

const query = (path: string, parameters: Readonly<Record<string, string>>): string =>
  `${api}/${path}?${new URLSearchParams(parameters).toString()}`

const pairs = (record: Readonly<Record<string, string>>) =>
  Object.entries(record).map(([key, value]) => ({ key, value }))

/** JSON has no such numbers, so the protocol spells them. */
const double = (value: number): number | string => (Number.isFinite(value) ? value : String(value))

const bodyOf = (runId: string, { metrics, params, tags }: Facts) => ({
  run_id: runId,
  metrics: metrics.map(({ key, value, step, time }) => ({
    key,
    value: double(value),
    timestamp: Timestamp.toMillis(time),
    step,
  })),
  params: pairs(params),
  tags: pairs(tags),
})

/** The path of a run's artifacts on the server's proxy. */
const proxied = (uri: string | undefined): Effect.Effect<string, RegistryError> => {
  const root = /^mlflow-artifacts:(?:\/\/[^/]+)?\/+(.+)$/.exec(uri ?? "")?.[1]
  return root === undefined
    ? Effect.fail(
        new RegistryError({
          reason: "PreconditionFailed",
          message: `the run's files are at ${(uri ?? "").split(":")[0]}: and not behind the server: start it so that it serves artifacts`,
        }),
      )
    : Effect.succeed(root)
}

const artifactPath = (root: string, path: string): string =>
  `api/2.0/mlflow-artifacts/artifacts/${[...root.split("/"), ...path.split("/")]
    .map(encodeURIComponent)
    .join("/")}`

const Experiment = Schema.Struct({ experiment: Schema.Struct({ experiment_id: Schema.String }) })
const Created = Schema.Struct({ experiment_id: Schema.String })
const Anything = Schema.Unknown

/** Checks the options and makes the transport. */
export const make = Effect.fnUntraced(function* (
  options: RemoteOptions,
): Effect.fn.Return<Transport, RegistryError> {
  const rest = yield* makeRest(options)
  const known = new Map<string, string>()

  const byName = Effect.fnUntraced(function* (name: string) {
    const cached = known.get(name)
    if (cached !== undefined) return cached
    const { experiment } = yield* rest.json(
      { method: "GET", path: query("experiments/get-by-name", { experiment_name: name }) },
      Experiment,
    )
    known.set(name, experiment.experiment_id)
    return experiment.experiment_id
  })
  const byNameIfAny = (name: string) =>
    Effect.catch(byName(name), (error: RegistryError) =>
      error.reason === "NotFound" ? Effect.succeed(undefined) : Effect.fail(error),
    )
  const ensured = Effect.fnUntraced(function* (name: string) {
    const there = yield* byNameIfAny(name)
    if (there !== undefined) return there
    const created = rest.json(
      { method: "POST", path: `${api}/experiments/create`, json: { name } },
      Created,
    )
    return yield* Effect.catch(
      Effect.map(created, ({ experiment_id }) => experiment_id),
      (error: RegistryError) =>
        error.reason === "AlreadyExists" ? byName(name) : Effect.fail(error),
    )
  })

  const fetchRun = (runId: string) =>
    Effect.map(
      rest.json({ method: "GET", path: query("runs/get", { run_id: runId }) }, Mlflow.OneRun),
      ({ run }) => run,
    )

  const withKey = (experimentId: string, key: string, once = false) =>
    Effect.map(
      rest.json(
        {
          method: "POST",
          path: `${api}/runs/search`,
          once,
          json: {
            experiment_ids: [experimentId],
            filter: `tags.\`${keyTag}\` = '${keyOf(key)}'`,
            order_by: ["attributes.start_time ASC"],
            max_results: 10,
          },
        },
        Mlflow.Runs,
      ),
      ({ runs = [] }) =>
        // Whoever asks gets the same one of several.
        runs.toSorted(
          (a, b) =>
            Number(a.info.start_time ?? 0) - Number(b.info.start_time ?? 0) ||
            (a.info.run_id < b.info.run_id ? -1 : 1),
        ),
    )

  const send = (runId: string, facts: Facts) =>
    Effect.forEach(
      split(facts),
      (part) =>
        rest.json(
          { method: "POST", path: `${api}/runs/log-batch`, json: bodyOf(runId, part) },
          Anything,
        ),
      { discard: true },
    )

  const list = (
    runId: string,
    path: string,
  ): Effect.Effect<ReadonlyArray<TrackedArtifact>, RegistryError> =>
    Effect.gen(function* () {
      const found: Array<TrackedArtifact> = []
      let token = ""
      do {
        const { files = [], next_page_token = "" } = yield* rest.json(
          {
            method: "GET",
            path: query("artifacts/list", {
              run_id: runId,
              ...(path === "" ? {} : { path }),
              ...(token === "" ? {} : { page_token: token }),
            }),
          },
          Mlflow.Files,
        )
        for (const file of files) {
          if (file.is_dir === true) found.push(...(yield* list(runId, file.path)))
          else found.push({ path: file.path, size: Number(file.file_size ?? 0) })
        }
        token = next_page_token
      } while (token !== "")
      return found
    })

  const startRun: Transport["startRun"] = Effect.fnUntraced(function* (run) {
    yield* Limits.batch(run)
    const experimentId = yield* ensured(run.experiment)
    // Without a key a creation whose answer was lost would be repeated.
    const key = run.key ?? Id.make()
    const tags = {
      ...run.tags,
      ...(run.codeVersion === undefined ? {} : { "mlflow.source.git.commit": run.codeVersion }),
      ...(run.seed === undefined ? {} : { "ashlar.seed": String(run.seed) }),
      ...(run.parentRunId === undefined ? {} : { "mlflow.parentRunId": run.parentRunId }),
      [keyTag]: keyOf(key),
    }
    let fresh = run.key === undefined
    const created = yield* rest.patiently(
      Effect.gen(function* () {
        // An earlier attempt may have made it, though its answer was lost.
        const [before] = fresh ? [] : yield* withKey(experimentId, key, true)
        fresh = false
        if (before !== undefined) return before
        const { run: made } = yield* rest.json(
          {
            method: "POST",
            path: `${api}/runs/create`,
            once: true,
            json: {
              experiment_id: experimentId,
              start_time: Date.now(),
              ...(run.name === undefined ? {} : { run_name: run.name }),
              tags: pairs(tags),
            },
          },
          Mlflow.OneRun,
        )
        return made
      }),
    )
    const [first = created, ...rivals] = yield* withKey(experimentId, key)
    for (const rival of rivals) {
      // Two started at once, or an answer was lost: the first stays.
      yield* rest.json(
        { method: "POST", path: `${api}/runs/delete`, json: { run_id: rival.info.run_id } },
        Anything,
      )
    }
    const runId = first.info.run_id
    // Whoever made it may have been killed before the rest was there.
    const known = new Set((first.data?.params ?? []).map((param) => param.key))
    const params = Object.entries(run.params ?? {}).filter(([name]) => !known.has(name))
    if (params.length > 0) yield* send(runId, factsOf({ params: Object.fromEntries(params) }))
    if (run.inputs !== undefined && run.inputs.length > 0 && Mlflow.inputsOf(first).length === 0) {
      const datasets = run.inputs.map(Mlflow.datasetOf)
      yield* rest.json(
        { method: "POST", path: `${api}/runs/log-inputs`, json: { run_id: runId, datasets } },
        Anything,
      )
    }
    return Mlflow.runOf(yield* fetchRun(runId))
  })

  return {
    merges: true,
    startRun,
    log: (runId, batch) => Effect.flatMap(Limits.batch(batch), () => send(runId, factsOf(batch))),
    logArtifact: (runId, { path, file }) =>
      Effect.gen(function* () {
        yield* Limits.path("path", path)
        const { info } = yield* fetchRun(runId)
        const root = yield* proxied(info.artifact_uri)
        for (const local of yield* Files.walk(file, path)) {
          yield* rest.transfer(
            {
              method: "PUT",
              path: artifactPath(root, local.path),
              body: () => uploadOf(local.file),
            },
            (response) => response.text(),
          )
        }
      }),
    finish: (runId, status, ended) =>
      Effect.gen(function* () {
        yield* rest.json(
          {
            method: "POST",
            path: `${api}/runs/update`,
            json: { run_id: runId, status, end_time: Timestamp.toMillis(ended) },
          },
          Anything,
        )
        return Mlflow.runOf(yield* fetchRun(runId))
      }),
    get: (runId) => Effect.map(fetchRun(runId), Mlflow.runOf),
    find: Effect.fnUntraced(function* (experiment, key) {
      const id = yield* byNameIfAny(experiment)
      if (id === undefined) return undefined
      const [first] = yield* withKey(id, key)
      return first === undefined ? undefined : Mlflow.runOf(first)
    }),
    search: Effect.fnUntraced(function* (asked) {
      const { experiments = [], experimentIds = [], filter, orderBy, limit = 100, token } = asked
      const ids = [...experimentIds]
      for (const name of experiments) {
        const id = yield* byNameIfAny(name)
        if (id !== undefined) ids.push(id)
      }
      // To MLflow no experiment means every one.
      if (ids.length === 0) return { items: [] }
      const { runs = [], next_page_token = "" } = yield* rest.json(
        {
          method: "POST",
          path: `${api}/runs/search`,
          json: {
            experiment_ids: ids,
            max_results: limit,
            ...(filter === undefined ? {} : { filter }),
            ...(orderBy === undefined ? {} : { order_by: orderBy }),
            ...(token === undefined ? {} : { page_token: token }),
          },
        },
        Mlflow.Runs,
      )
      return {
        items: runs.map(Mlflow.runOf),
        ...(next_page_token === "" ? {} : { next: next_page_token }),
      }
    }),
    history: Effect.fnUntraced(function* (runId, metric) {
      const points: Array<ReturnType<typeof Mlflow.pointOf>> = []
      let token = ""
      do {
        const { metrics = [], next_page_token = "" } = yield* rest.json(
          {
            method: "GET",
            path: query("metrics/get-history", {
              run_id: runId,
              metric_key: metric,
              max_results: "25000",
              ...(token === "" ? {} : { page_token: token }),
            }),
          },
          Mlflow.History,
        )
        for (const point of metrics) points.push(Mlflow.pointOf(point))
        token = next_page_token
      } while (token !== "")
      return points.sort((a, b) => a.step - b.step || a.time - b.time || a.value - b.value)
    }),
    inputs: (runId) => Effect.map(fetchRun(runId), Mlflow.inputsOf),
    artifacts: (runId) =>
      Effect.map(list(runId, ""), (files) => files.toSorted((a, b) => (a.path < b.path ? -1 : 1))),
    download: (runId, path, file, { limit } = {}) =>
      Effect.gen(function* () {
        yield* Limits.path("path", path)
        const { info } = yield* fetchRun(runId)
        const root = yield* proxied(info.artifact_uri)
        yield* rest.transfer({ method: "GET", path: artifactPath(root, path) }, (response) =>
          localFile(file, path, response.body ?? [], limit),
        )
      }),
  }
})
