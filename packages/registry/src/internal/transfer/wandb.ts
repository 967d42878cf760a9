/** Runs that W&B's client keeps on the disk: `wandb/run-*` and `wandb/offline-run-*`. */
import { lstat, readFile } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import * as Local from "./local.ts"
import type { PointRecord, RunRecord, Source } from "./records.ts"
import { numberOfJson, readWandb, type WandbRun } from "./wandb-file.ts"

const longest = 1 << 30

/** Characters that MLflow's keys do not have become `_`. */
const keyOf = (key: string): string =>
  key
    .replaceAll(/[^/\w.\- :]/g, "_")
    .replaceAll(/^\/+|\.{2,}/g, "_")
    .slice(0, 250)

/** JSON of a value as MLflow's client would have written it: text without quotes. */
const textOf = (json: string): string => {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === "string" ? value : json
  } catch {
    return json
  }
}

/** Configuration inside of configuration as keys with dots. */
const flattened = (key: string, json: string, into: Map<string, string>): void => {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    value = json
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    into.set(keyOf(key), textOf(json).slice(0, 6000))
    return
  }
  for (const [name, inner] of Object.entries(value)) {
    flattened(`${key}.${name}`, JSON.stringify(inner) ?? "null", into)
  }
}

const paramsOf = (run: WandbRun): Readonly<Record<string, string>> => {
  const params = new Map<string, string>()
  for (const [key, json] of run.config) flattened(key, json, params)
  return Object.fromEntries(params)
}

/** History by MLflow's keys; a number that only the summary has is a history of one point. */
const seriesOf = (run: WandbRun): ReadonlyMap<string, ReadonlyArray<PointRecord>> => {
  const series = new Map<string, ReadonlyArray<PointRecord>>()
  let last = 0
  for (const [key, points] of run.history) {
    series.set(keyOf(key), points)
    last = points.reduce((most, { step }) => Math.max(most, step), last)
  }
  for (const [key, json] of run.summary) {
    const value = numberOfJson(json)
    if (value === undefined || series.has(keyOf(key))) continue
    series.set(keyOf(key), [{ step: last, time: run.ended, value }])
  }
  return series
}

const given = (key: string, value: string) => (value === "" ? {} : { [key]: value })

const tagsOf = (run: WandbRun): Readonly<Record<string, string>> => {
  const tags: Array<readonly [string, string]> = []
  for (const [key, json] of run.summary) {
    // Objects of the summary are W&B's own: images, tables, histograms.
    if (json.startsWith('"'))
      tags.push([`wandb.summary.${keyOf(key)}`, textOf(json).slice(0, 8000)])
  }
  return {
    "wandb.id": run.id,
    ...given("wandb.group", run.group),
    ...given("wandb.job_type", run.jobType),
    ...given("wandb.host", run.host),
    ...given("wandb.tags", run.tags.join(",")),
    ...given("mlflow.note.content", run.notes),
    ...given("mlflow.source.git.commit", run.commit),
    ...Object.fromEntries(tags),
  }
}

const statusOf = ({ exitCode }: WandbRun): string =>
  exitCode === undefined ? "KILLED" : exitCode === 0 ? "FINISHED" : "FAILED"

interface Place {
  readonly folder: string
  readonly file: string
  readonly project: string
}

/** A directory of W&B's client as a source; a project is an experiment. */
export const source = Effect.fnUntraced(function* (
  directory: string,
): Effect.fn.Return<Source, RegistryError> {
  const root = yield* Local.rootOf(directory)
  const places = new Map<string, Place>()
  // The series of the runs that are being copied now; each is asked for key by key.
  const open = new Map<string, ReturnType<typeof seriesOf>>()

  const parse = async (file: string): Promise<WandbRun> => {
    const { size } = await lstat(file)
    if (size > longest)
      throw invalid("path", `${file} has ${size} bytes; ${longest} are read at most`)
    return readWandb(await readFile(file), file)
  }

  const folders = async () => {
    const found: Array<{ folder: string; file: string }> = []
    for (const name of await Local.names(root, "directory")) {
      if (!/^(offline-)?run-/.test(name)) continue
      const folder = join(root, name)
      for (const file of await Local.names(folder, "file")) {
        if (file.endsWith(".wandb")) found.push({ folder, file: join(folder, file) })
      }
    }
    return found
  }

  const place = (id: string) => {
    const found = places.get(id)
    if (found === undefined) throw invalid("run", `${id.slice(0, 100)} is not in ${root}`)
    return found
  }

  const series = async (id: string) => {
    const known = open.get(id)
    if (known !== undefined) return known
    const read = seriesOf(await parse(place(id).file))
    const [oldest] = open.keys()
    if (open.size >= 8 && oldest !== undefined) open.delete(oldest)
    open.set(id, read)
    return read
  }

  const runOf = async (id: string): Promise<RunRecord> => {
    const run = await parse(place(id).file)
    const found = seriesOf(run)
    return {
      id,
      experimentId: place(id).project,
      name: run.name === "" ? run.id : run.name,
      status: statusOf(run),
      started: run.started,
      ended: Math.max(run.ended, run.started),
      user: "",
      params: paramsOf(run),
      tags: tagsOf(run),
      metrics: [...found.keys()].sort(),
      datasets: [],
      outputs: [],
    }
  }

  return {
    name: `W&B directory ${directory}`,
    experiments: Local.attempt(root, async () => {
      const projects = new Set<string>()
      for (const { folder, file } of await folders()) {
        const { id, project } = await parse(file)
        const name = project === "" ? "uncategorized" : project
        if (places.has(id)) throw invalid("directory", `${root} has the run ${id} twice: ${folder}`)
        places.set(id, { folder, file, project: name })
        projects.add(name)
      }
      return [...projects].sort().map((name) => ({ id: name, name, tags: {} }))
    }),
    runs: (project) =>
      Local.attempt(project, async () => {
        const items: Array<RunRecord> = []
        for (const [id, at] of places) if (at.project === project) items.push(await runOf(id))
        return { items }
      }),
    run: (id) => Local.attempt(id, () => runOf(id)),
    history: (id, key) => Local.attempt(id, async () => (await series(id)).get(key) ?? []),
    loggedModels: () => Effect.succeed([]),
    files: ({ id }) => Local.attempt(id, async () => Local.walk(join(place(id).folder, "files"))),
    fetch: ({ id }, path, to) =>
      Local.attempt(path, async () =>
        Local.copyFile(join(place(id).folder, "files", ...path.split("/")), to),
      ),
    models: Effect.succeed([]),
    versions: () => Effect.succeed([]),
  }
})
