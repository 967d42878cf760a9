/**
 * What a transfer carries from one store of experiments to another, whatever the stores are.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { Digest } from "@ashlar/core"
import type * as Effect from "effect/Effect"
import type { RegistryError } from "../../RegistryError.ts"

type Texts = Readonly<Record<string, string>>

/** An experiment. */
export interface ExperimentRecord {
  readonly id: string
  readonly name: string
  readonly tags: Texts
}

/** A dataset that a run read, in MLflow's words. */
export interface DatasetRecord {
  readonly name: string
  readonly digest: string
  readonly sourceType: string
  readonly source: string
  readonly schema?: string
  readonly profile?: string
  readonly tags: Texts
}

/** A run. Times are Unix milliseconds. */
export interface RunRecord {
  readonly id: string
  readonly experimentId: string
  readonly name: string
  readonly status: string
  readonly started: number
  readonly ended?: number
  readonly user: string
  readonly params: Texts
  readonly tags: Texts
  /** Keys of its metrics. */
  readonly metrics: ReadonlyArray<string>
  readonly datasets: ReadonlyArray<DatasetRecord>
  /** Ids of logged models it wrote, with the step. */
  readonly outputs: ReadonlyArray<{ readonly modelId: string; readonly step: number }>
}

/** A point of a metric; the time is in Unix milliseconds. */
export interface PointRecord {
  readonly value: number
  readonly time: number
  readonly step: number
}

/** A logged model. */
export interface LoggedModelRecord {
  readonly id: string
  readonly experimentId: string
  readonly name: string
  readonly type?: string
  readonly runId?: string
  readonly ready: boolean
  readonly params: Texts
  readonly tags: Texts
}

/** A registered model. */
export interface ModelRecord {
  readonly name: string
  readonly description: string
  readonly tags: Texts
  /** Versions by alias. */
  readonly aliases: Readonly<Record<string, number>>
}

/** Where a version's files came from. */
export type Origin =
  | { readonly kind: "run" | "loggedModel"; readonly id: string; readonly path: string }
  | { readonly kind: "elsewhere"; readonly uri: string }

/** A version of a registered model. */
export interface VersionRecord {
  readonly version: number
  readonly description: string
  readonly tags: Texts
  readonly stage: string
  readonly runId?: string
  readonly origin: Origin
}

/** Whose files: a run's or a logged model's. */
export interface Owner {
  readonly kind: "run" | "loggedModel"
  readonly id: string
}

/** A file that was brought to the local disk. */
export interface LocalCopy {
  readonly file: string
  readonly size: number
  readonly digest: string
}

type Answer<A> = Effect.Effect<A, RegistryError>

/** A store that is read. */
export interface Source {
  /** What it is, for reports; without secrets. */
  readonly name: string
  readonly experiments: Answer<ReadonlyArray<ExperimentRecord>>
  /** A page of an experiment's runs, deleted ones left out. */
  readonly runs: (
    experimentId: string,
    token?: string,
  ) => Answer<{ readonly items: ReadonlyArray<RunRecord>; readonly next?: string }>
  readonly run: (runId: string) => Answer<RunRecord>
  readonly history: (runId: string, key: string) => Answer<ReadonlyArray<PointRecord>>
  readonly loggedModels: (experimentId: string) => Answer<ReadonlyArray<LoggedModelRecord>>
  /** Paths of all files, below directories too. */
  readonly files: (owner: Owner) => Answer<ReadonlyArray<string>>
  /** Writes a file to a path of the local disk. */
  readonly fetch: (owner: Owner, path: string, to: string) => Answer<LocalCopy>
  readonly models: Answer<ReadonlyArray<ModelRecord>>
  readonly versions: (name: string) => Answer<ReadonlyArray<VersionRecord>>
}

/** The tag with the id that a copy has in the store it came from. */
export const originTag = "ashlar.transfer.id"
/** The tag with the digest of a whole copy. */
export const digestTag = "ashlar.transfer.digest"

/** Tags that say what this store did, not what the user said. */
const isOwn = (key: string): boolean =>
  key === originTag ||
  key === digestTag ||
  key === "mlflow.parentRunId" ||
  key === "mlflow.runName" ||
  key === "mlflow.log-model.history" ||
  key === "mlflow.modelVersions"

/** Tags that are the same in both stores. */
export const comparable = (tags: Texts): Texts =>
  Object.fromEntries(Object.entries(tags).filter(([key]) => !isOwn(key)))

/** MLflow keeps infinities as the greatest double. */
export const clipped = (value: number): number =>
  Number.isNaN(value) ? value : Math.max(-Number.MAX_VALUE, Math.min(Number.MAX_VALUE, value))

/** A history as the set it is, in an order of its own. */
export const distinct = (points: ReadonlyArray<PointRecord>): ReadonlyArray<PointRecord> => {
  const found = new Map<string, PointRecord>()
  for (const point of points) {
    const value = clipped(point.value)
    found.set(`${point.time}/${point.step}/${value}`, { ...point, value })
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, point]) => point)
}

/** Digest of a history. */
export const historyDigest = (points: ReadonlyArray<PointRecord>): string => {
  const hash = createHash("sha256")
  for (const { time, step, value } of distinct(points)) hash.update(`${time} ${step} ${value}\n`)
  return hash.digest("hex")
}

/** Digest of a run: everything of it that both stores can keep. */
export const runDigest = (
  run: RunRecord,
  histories: Readonly<Record<string, string>>,
  files: Readonly<Record<string, string>>,
): string =>
  Digest.ofJson({
    name: run.name,
    status: run.status,
    started: run.started,
    ended: run.ended ?? null,
    user: run.user,
    params: run.params,
    tags: comparable(run.tags),
    datasets: run.datasets
      .map(({ name, digest, source }) => [name, digest, source])
      .toSorted(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
    histories,
    files,
  })
