/** MLflow's file store, `mlruns/`: YAML for what things are, a file for each parameter and metric. */
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { invalid } from "../../RegistryError.ts"
import * as Local from "./local.ts"
import type * as Record from "./records.ts"
import { originOf } from "./server.ts"

const Maybe = <S extends Schema.Constraint>(value: S) => Schema.optionalKey(Schema.NullOr(value))
const Text = Maybe(Schema.String)
const Whole = Schema.Union([Schema.Int, Schema.NumberFromString])
const Id = Schema.Union([Schema.NonEmptyString, Schema.Number])

const Experiment = Schema.Struct({ experiment_id: Id, name: Schema.String, lifecycle_stage: Text })
const Run = Schema.Struct({
  run_id: Maybe(Schema.String),
  run_uuid: Maybe(Schema.String),
  run_name: Text,
  name: Text,
  experiment_id: Id,
  lifecycle_stage: Text,
  status: Maybe(Schema.Union([Whole, Schema.String])),
  start_time: Maybe(Whole),
  end_time: Maybe(Whole),
  user_id: Text,
})
const Link = Schema.Struct({
  source_id: Schema.String,
  destination_id: Schema.String,
  step: Maybe(Whole),
  tags: Maybe(Schema.Record(Schema.String, Schema.String)),
})
const Dataset = Schema.Struct({
  name: Schema.String,
  digest: Schema.String,
  source_type: Text,
  source: Text,
  schema: Text,
  profile: Text,
})
const Logged = Schema.Struct({
  model_id: Schema.NonEmptyString,
  name: Text,
  model_type: Text,
  source_run_id: Text,
  status: Maybe(Whole),
  lifecycle_stage: Text,
})
const Model = Schema.Struct({ name: Schema.NonEmptyString, description: Text })
const Version = Schema.Struct({
  version: Whole,
  description: Text,
  current_stage: Text,
  source: Text,
  run_id: Text,
  model_id: Text,
})

/** Statuses are numbers of MLflow's protocol. */
const statuses = ["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"] as const

/** Names of directories that are ids: no dots, no separators. */
const isId = (name: string): boolean => /^[\w-]{1,256}$/.test(name)

const read = async <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  path: string,
): Promise<S["Type"] | undefined> => {
  const value = await Local.yaml(path)
  if (value === undefined) return undefined
  const decoded = Schema.decodeUnknownExit(schema)(value)
  if (decoded._tag === "Success") return decoded.value
  throw invalid(
    "path",
    `${path} is not as MLflow writes it: ${String(decoded.cause).slice(0, 500)}`,
  )
}

const given = (key: string, value: string | null | undefined) =>
  value === null || value === undefined || value === "" ? {} : { [key]: value }

/** A point: time, value and step; logged models add the run. */
const pointOf = (line: string, path: string): Record.PointRecord | undefined => {
  if (line.trim() === "") return undefined
  const [time, value = "", step = "0"] = line.split(" ")
  const number = /^[+-]?inf(inity)?$/i.test(value)
    ? value.startsWith("-")
      ? Number.NEGATIVE_INFINITY
      : Number.POSITIVE_INFINITY
    : /^[+-]?nan$/i.test(value)
      ? Number.NaN
      : /^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(value)
        ? Number(value)
        : undefined
  const point = { time: Number(time), step: Number(step) }
  if (
    number === undefined ||
    !Number.isSafeInteger(point.time) ||
    !Number.isSafeInteger(point.step)
  ) {
    throw invalid(
      "path",
      `${path} has the line ${JSON.stringify(line.slice(0, 200))}, which is no point`,
    )
  }
  return { ...point, value: number }
}

const runOf = async (experiment: string, id: string): Promise<Record.RunRecord | undefined> => {
  const at = join(experiment, id)
  const meta = await read(Run, join(at, "meta.yaml"))
  if (meta === undefined || meta.lifecycle_stage === "deleted") return undefined
  const datasets: Array<Record.DatasetRecord> = []
  for (const name of await Local.names(join(at, "inputs"), "directory")) {
    const link = await read(Link, join(at, "inputs", name, "meta.yaml"))
    if (link === undefined || !isId(link.source_id)) continue
    const dataset = await read(Dataset, join(experiment, "datasets", link.source_id, "meta.yaml"))
    if (dataset === undefined) continue
    datasets.push({
      name: dataset.name,
      digest: dataset.digest,
      sourceType: dataset.source_type ?? "",
      source: dataset.source ?? "",
      ...given("schema", dataset.schema),
      ...given("profile", dataset.profile),
      tags: link.tags ?? {},
    })
  }
  const outputs: Array<{ modelId: string; step: number }> = []
  for (const name of await Local.names(join(at, "outputs"), "directory")) {
    const link = await read(Link, join(at, "outputs", name, "meta.yaml"))
    if (link !== undefined) outputs.push({ modelId: link.destination_id, step: link.step ?? 0 })
  }
  const tags = await Local.texts(join(at, "tags"))
  const { status, start_time, end_time } = meta
  return {
    id,
    experimentId: String(meta.experiment_id),
    name: meta.run_name ?? meta.name ?? tags["mlflow.runName"] ?? "",
    status: typeof status === "string" ? status : (statuses[(status ?? 1) - 1] ?? "RUNNING"),
    started: start_time ?? 0,
    ...(end_time === null || end_time === undefined ? {} : { ended: end_time }),
    user: meta.user_id ?? "",
    params: await Local.texts(join(at, "params")),
    tags,
    metrics: await Local.walk(join(at, "metrics")),
    datasets,
    outputs,
  }
}

const pageSize = 100

/** A directory as a source. */
export const source = Effect.fnUntraced(function* (directory: string) {
  const root = yield* Local.rootOf(directory)
  /** Where a run or logged model lies, by its id. */
  const places = new Map<string, string>()
  const experiments = new Map<string, string>()
  /** Directories of registered models by their names. */
  const folders = new Map<string, string>()

  const place = (id: string) =>
    Local.attempt(id, async () => {
      const known = places.get(id)
      if (known !== undefined) return known
      throw invalid("id", `${id.slice(0, 100)} is not in ${root}`)
    })
  const idsOf = async (experiment: string) =>
    (await Local.names(experiment, "directory")).filter(
      (name) => isId(name) && !["tags", "datasets", "models", "traces"].includes(name),
    )

  const models = join(root, "models")
  const found: Record.Source = {
    name: `file store ${directory}`,
    experiments: Local.attempt(root, async () => {
      const records: Array<Record.ExperimentRecord> = []
      for (const name of await Local.names(root, "directory")) {
        if (!isId(name) || name === "models") continue
        const meta = await read(Experiment, join(root, name, "meta.yaml"))
        if (meta === undefined || meta.lifecycle_stage === "deleted") continue
        const id = String(meta.experiment_id)
        experiments.set(id, join(root, name))
        records.push({ id, name: meta.name, tags: await Local.texts(join(root, name, "tags")) })
      }
      return records
    }),
    runs: (experimentId, token) =>
      Local.attempt(experimentId, async () => {
        const experiment = experiments.get(experimentId)
        if (experiment === undefined) throw invalid("experiment", `${experimentId} is not there`)
        const ids = await idsOf(experiment)
        const from = Number(token ?? 0)
        const items: Array<Record.RunRecord> = []
        for (const id of ids.slice(from, from + pageSize)) {
          const run = await runOf(experiment, id)
          if (run === undefined) continue
          places.set(id, join(experiment, id))
          items.push(run)
        }
        const next = from + pageSize
        return { items, ...(next < ids.length ? { next: String(next) } : {}) }
      }),
    run: (runId) =>
      Effect.flatMap(place(runId), (at) =>
        Local.attempt(runId, async () => {
          const run = await runOf(join(at, ".."), runId)
          if (run === undefined) throw invalid("run", `${runId} is not there`)
          return run
        }),
      ),
    history: (runId, key) =>
      Effect.flatMap(place(runId), (at) =>
        Local.attempt(`${runId} ${key}`, async () => {
          const path = join(at, "metrics", ...key.split("/"))
          const points: Array<Record.PointRecord> = []
          for await (const line of Local.lines(path)) {
            const point = pointOf(line, path)
            if (point !== undefined) points.push(point)
          }
          return points
        }),
      ),
    loggedModels: (experimentId) =>
      Local.attempt(experimentId, async () => {
        const folder = join(experiments.get(experimentId) ?? root, "models")
        const records: Array<Record.LoggedModelRecord> = []
        for (const id of (await Local.names(folder, "directory")).filter(isId)) {
          const meta = await read(Logged, join(folder, id, "meta.yaml"))
          if (meta === undefined || meta.lifecycle_stage === "deleted") continue
          places.set(id, join(folder, id))
          records.push({
            id,
            experimentId,
            name: meta.name ?? "",
            ...given("type", meta.model_type),
            ...given("runId", meta.source_run_id),
            ready: meta.status === 2,
            params: await Local.texts(join(folder, id, "params")),
            tags: await Local.texts(join(folder, id, "tags")),
          })
        }
        return records
      }),
    files: ({ id }) =>
      Effect.flatMap(place(id), (at) => Local.attempt(id, () => Local.walk(join(at, "artifacts")))),
    fetch: ({ id }, path, to) =>
      Effect.flatMap(place(id), (at) =>
        Local.attempt(path, () => Local.copyFile(join(at, "artifacts", ...path.split("/")), to)),
      ),
    models: Local.attempt(models, async () => {
      const records: Array<Record.ModelRecord> = []
      for (const name of await Local.names(models, "directory")) {
        const meta = await read(Model, join(models, name, "meta.yaml"))
        if (meta === undefined) continue
        folders.set(meta.name, join(models, name))
        const aliases = await Local.texts(join(models, name, "aliases"))
        records.push({
          name: meta.name,
          description: meta.description ?? "",
          tags: await Local.texts(join(models, name, "tags")),
          aliases: Object.fromEntries(
            Object.entries(aliases).map(([alias, version]) => [alias, Number(version)]),
          ),
        })
      }
      return records
    }),
    versions: (name) =>
      Local.attempt(name, async () => {
        const records: Array<Record.VersionRecord> = []
        const model = folders.get(name) ?? models
        for (const folder of await Local.names(model, "directory")) {
          if (!/^version-\d+$/.test(folder)) continue
          const at = join(model, folder)
          const meta = await read(Version, join(at, "meta.yaml"))
          if (meta === undefined || meta.current_stage === "Deleted_Internal") continue
          records.push({
            version: meta.version,
            description: meta.description ?? "",
            tags: await Local.texts(join(at, "tags")),
            stage: meta.current_stage ?? "None",
            ...given("runId", meta.run_id),
            origin: originOf(meta.source ?? undefined, meta.model_id ?? undefined),
          })
        }
        return records
      }),
  }
  return found
})
