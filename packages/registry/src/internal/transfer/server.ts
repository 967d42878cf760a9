/** A server that speaks MLflow's REST API, read page by page. */
import { createHash } from "node:crypto"
import { createWriteStream } from "node:fs"
import { mkdir } from "node:fs/promises"
import { dirname } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import type { ReadableStream } from "node:stream/web"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { RegistryError } from "../../RegistryError.ts"
import type { Rest } from "../client/rest.ts"
import * as Limits from "../limits.ts"
import type * as Record from "./records.ts"
import * as Wire from "./wire.ts"

const api = "api/2.0/mlflow"

/** A path of the API with its query. */
export const query = (path: string, parameters: Readonly<Record<string, string>>): string =>
  `${api}/${path}?${new URLSearchParams(parameters).toString()}`

/** A path of the artifact proxy. */
export const proxied = (root: string, path: string): string =>
  `api/2.0/mlflow-artifacts/artifacts/${[...root.split("/"), ...path.split("/")]
    .filter((part) => part !== "")
    .map(encodeURIComponent)
    .join("/")}`

/** Where the proxy has what this URI names. */
export const proxyRoot = (
  uri: string | undefined,
  what: string,
): Effect.Effect<string, RegistryError> => {
  const root = /^mlflow-artifacts:(?:\/\/[^/]+)?\/+(.+)$/.exec(uri ?? "")?.[1]
  return root === undefined
    ? Effect.fail(
        new RegistryError({
          reason: "PreconditionFailed",
          message: `the files of ${what} are at ${(uri ?? "").split(":")[0]}: and not behind the server: start it with --serve-artifacts, or transfer without files`,
        }),
      )
    : Effect.succeed(root)
}

/** A file's path comes from the server: it must stay below the directory it is written to. */
const checked = (paths: ReadonlyArray<string>) =>
  Effect.as(
    Effect.forEach(paths, (path) => Limits.path("path", path), { discard: true }),
    paths,
  )

/** A refusal to list what is not there. */
const isMissing = (error: RegistryError): boolean => error.reason === "NotFound"

/** Where a version's files are, in words that another store understands. */
export const originOf = (
  source: string | undefined,
  modelId: string | undefined,
): Record.Origin => {
  const uri = source ?? ""
  const found =
    /^(?:mlflow-artifacts:(?:\/\/[^/]+)?|file:\/\/)?\/.*?\/?models\/(m-[^/]+)\/artifacts\/?(.*)$/.exec(
      uri,
    )
  if (modelId !== undefined && modelId !== "")
    return { kind: "loggedModel", id: modelId, path: found?.[2] ?? "" }
  if (found?.[1] !== undefined) return { kind: "loggedModel", id: found[1], path: found[2] ?? "" }
  const logged = /^models:\/(m-[^/]+)\/?(.*)$/.exec(uri)
  if (logged?.[1] !== undefined)
    return { kind: "loggedModel", id: logged[1], path: logged[2] ?? "" }
  const run =
    /^runs:\/([^/]+)\/(.*)$/.exec(uri) ??
    /^(?:mlflow-artifacts:(?:\/\/[^/]+)?|file:\/\/)?\/(?:.*\/)?([^/]+)\/artifacts\/?(.*)$/.exec(uri)
  return run?.[1] === undefined
    ? { kind: "elsewhere", uri }
    : { kind: "run", id: run[1], path: run[2] ?? "" }
}

const runOf = ({
  info,
  data = {},
  inputs = {},
  outputs = {},
}: typeof Wire.Run.Type): Record.RunRecord => ({
  id: info.run_id,
  experimentId: info.experiment_id,
  name: info.run_name ?? "",
  status: info.status ?? "RUNNING",
  started: Number(info.start_time ?? 0),
  ...(info.end_time === undefined ? {} : { ended: Number(info.end_time) }),
  user: info.user_id ?? "",
  params: Wire.recordOf(data.params),
  tags: Wire.recordOf(data.tags),
  metrics: (data.metrics ?? []).map(({ key }) => key),
  datasets: (inputs.dataset_inputs ?? []).map(({ dataset, tags }) => ({
    name: dataset.name,
    digest: dataset.digest ?? "",
    sourceType: dataset.source_type ?? "",
    source: dataset.source ?? "",
    ...(dataset.schema === undefined ? {} : { schema: dataset.schema }),
    ...(dataset.profile === undefined ? {} : { profile: dataset.profile }),
    tags: Wire.recordOf(tags),
  })),
  outputs: (outputs.model_outputs ?? []).map(({ model_id, step = 0 }) => ({
    modelId: model_id,
    step: Number(step),
  })),
})

/** A server as a source. */
export const source = (rest: Rest, name: string): Record.Source => {
  const get = <S extends Schema.ConstraintDecoder<unknown>>(
    path: string,
    parameters: Readonly<Record<string, string>>,
    answer: S,
  ) => rest.json({ method: "GET", path: query(path, parameters) }, answer)
  const post = <S extends Schema.ConstraintDecoder<unknown>>(
    path: string,
    json: unknown,
    answer: S,
  ) => rest.json({ method: "POST", path: `${api}/${path}`, json }, answer)

  /** All pages of a list. */
  const all = Effect.fnUntraced(function* <P extends { readonly next_page_token?: string }, A>(
    page: (token: string | undefined) => Effect.Effect<P, RegistryError>,
    items: (page: P) => ReadonlyArray<A> | undefined,
  ) {
    const found: Array<A> = []
    let token: string | undefined
    do {
      const next: P = yield* page(token)
      found.push(...(items(next) ?? []))
      token = next.next_page_token === "" ? undefined : next.next_page_token
    } while (token !== undefined)
    return found
  })
  const at = (token: string | undefined) => (token === undefined ? {} : { page_token: token })

  const root = Effect.fnUntraced(function* (owner: Record.Owner) {
    if (owner.kind === "run") {
      const { run } = yield* get("runs/get", { run_id: owner.id }, Wire.OneRun)
      return yield* proxyRoot(run.info.artifact_uri, `run ${owner.id}`)
    }
    const path = `logged-models/${encodeURIComponent(owner.id)}`
    const { model } = yield* get(path, {}, Wire.OneLoggedModel)
    return yield* proxyRoot(model.info.artifact_uri, `model ${owner.id}`)
  })

  const listed = (owner: Record.Owner, path: string) =>
    all(
      (token) =>
        owner.kind === "run"
          ? get(
              "artifacts/list",
              { run_id: owner.id, ...(path === "" ? {} : { path }), ...at(token) },
              Wire.Files,
            )
          : get(
              `logged-models/${encodeURIComponent(owner.id)}/artifacts/directories`,
              { ...(path === "" ? {} : { artifact_directory_path: path }), ...at(token) },
              Wire.Files,
            ),
      ({ files }) => files,
    )

  const walk = (
    owner: Record.Owner,
    path: string,
    depth: number,
  ): Effect.Effect<ReadonlyArray<string>, RegistryError> =>
    Effect.gen(function* () {
      if (depth > 50) {
        return yield* new RegistryError({
          reason: "InvalidInput",
          field: "path",
          message: `the files of ${owner.id} lie more than 50 directories deep`,
        })
      }
      const found: Array<string> = []
      for (const file of yield* listed(owner, path)) {
        if (file.is_dir === true) found.push(...(yield* walk(owner, file.path, depth + 1)))
        else found.push(file.path)
      }
      return found
    })

  return {
    name,
    experiments: Effect.map(
      all(
        (token) =>
          post("experiments/search", { max_results: 1000, ...at(token) }, Wire.Experiments),
        ({ experiments }) => experiments,
      ),
      (found) =>
        found.map((one) => ({
          id: one.experiment_id,
          name: one.name,
          tags: Wire.recordOf(one.tags),
        })),
    ),
    runs: (experimentId, token) =>
      Effect.map(
        post(
          "runs/search",
          {
            experiment_ids: [experimentId],
            max_results: 200,
            order_by: ["attributes.start_time ASC"],
            ...at(token),
          },
          Wire.Runs,
        ),
        ({ runs = [], next_page_token }) => ({
          items: runs.map(runOf),
          ...(next_page_token === undefined || next_page_token === ""
            ? {}
            : { next: next_page_token }),
        }),
      ),
    run: (runId) =>
      Effect.map(get("runs/get", { run_id: runId }, Wire.OneRun), ({ run }) => runOf(run)),
    history: (runId, key) =>
      Effect.map(
        all(
          (token) =>
            get(
              "metrics/get-history",
              { run_id: runId, metric_key: key, max_results: "25000", ...at(token) },
              Wire.History,
            ),
          ({ metrics }) => metrics,
        ),
        (points) =>
          points.map(({ value = 0, timestamp = 0, step = 0 }) => ({
            value: Number(value),
            time: Number(timestamp),
            step: Number(step),
          })),
      ),
    // A server of MLflow 2 has none, and says that there is no such endpoint.
    loggedModels: (experimentId) =>
      all(
        (token) =>
          post(
            "logged-models/search",
            { experiment_ids: [experimentId], max_results: 50, ...at(token) },
            Wire.LoggedModels,
          ),
        ({ models }) => models,
      ).pipe(
        Effect.map((models) =>
          models.map(({ info, data = {} }): Record.LoggedModelRecord => ({
            id: info.model_id,
            experimentId: info.experiment_id,
            name: info.name ?? "",
            ...(info.model_type === undefined ? {} : { type: info.model_type }),
            ...(info.source_run_id === undefined ? {} : { runId: info.source_run_id }),
            ready: info.status === "LOGGED_MODEL_READY" || info.status === 2,
            params: Wire.recordOf(data.params),
            tags: Wire.recordOf(info.tags),
          })),
        ),
        Effect.catchIf(isMissing, () => Effect.succeed([])),
      ),
    files: (owner) => Effect.flatMap(walk(owner, "", 0), checked),
    fetch: (owner, path, to) =>
      Effect.flatMap(root(owner), (base) =>
        rest.transfer({ method: "GET", path: proxied(base, path) }, async (response) => {
          await mkdir(dirname(to), { recursive: true })
          const hash = createHash("sha256")
          let size = 0
          const body: ReadableStream | null = response.body
          const count = async function* (chunks: AsyncIterable<Uint8Array>) {
            for await (const chunk of chunks) {
              hash.update(chunk)
              size += chunk.length
              yield chunk
            }
          }
          const from = body === null ? Readable.from([]) : Readable.fromWeb(body)
          await pipeline(from, count, createWriteStream(to))
          return { file: to, size, digest: `sha256:${hash.digest("hex")}` }
        }),
      ),
    models: Effect.map(
      all(
        (token) =>
          get("registered-models/search", { max_results: "1000", ...at(token) }, Wire.Models),
        (page) => page.registered_models,
      ),
      (models) =>
        models.map((model) => ({
          name: model.name,
          description: model.description ?? "",
          tags: Wire.recordOf(model.tags),
          aliases: Object.fromEntries(
            (model.aliases ?? []).map(({ alias, version }) => [alias, Number(version)]),
          ),
        })),
    ),
    versions: (model) =>
      Effect.map(
        all(
          (token) =>
            get(
              "model-versions/search",
              {
                filter: `name = ${model.includes("'") ? `"${model}"` : `'${model}'`}`,
                max_results: "1000",
                ...at(token),
              },
              Wire.Versions,
            ),
          (page) => page.model_versions,
        ),
        (versions) =>
          versions.map((version) => ({
            version: Number(version.version),
            description: version.description ?? "",
            tags: Wire.recordOf(version.tags),
            stage: version.current_stage ?? "None",
            ...(version.run_id === undefined || version.run_id === ""
              ? {}
              : { runId: version.run_id }),
            origin: originOf(version.source, version.model_id),
          })),
      ),
  }
}
