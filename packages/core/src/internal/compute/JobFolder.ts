/**
 * Jobs on disk, so that they outlive their submitter. A directory per job:
 *
 *     spec.json      the job as submitted
 *     status.json    its last known status
 *     owner-N.json   who looks after it; the highest N is right, and is made by linking, so that of
 *                    two who want a dead owner's job one wins
 *     cancel.json    somebody asked to cancel it
 *     run-N/         an attempt: order, claim, running, end, log, work/
 *
 * @module
 */
import { createHash } from "node:crypto"
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import * as Schema from "effect/Schema"
import { ComputeError } from "../../Compute.ts"
import { JobSpec, JobStatus } from "../../Job.ts"
import { Timestamp } from "../../Timestamp.ts"
import { removeOld } from "../leftovers.ts"
import { createJson, readJson, writeJson } from "./atomicFile.ts"
import * as Processes from "./processes.ts"

const Submitted = Schema.Struct({ job: JobSpec, submitted: Timestamp })
const Owner = Schema.Union([
  Schema.Struct({ pid: Schema.Int, start: Schema.String, instance: Schema.String }),
  Schema.Struct({ released: Schema.Literal(true) }),
])
type Owner = typeof Owner.Type

/** Where jobs are. */
export interface JobFolder {
  /** Directory of a job. */
  readonly pathOf: (id: string) => string
  /** Stores a new job that this instance owns; false when the id is known. */
  readonly create: (job: JobSpec, status: JobStatus) => Promise<boolean>
  readonly save: (status: JobStatus) => Promise<void>
  readonly status: (id: string) => Promise<JobStatus | undefined>
  readonly job: (id: string) => Promise<JobSpec | undefined>
  /** Every job's status, except of the directories to leave out. */
  readonly all: (except?: ReadonlySet<string>) => Promise<Array<JobStatus>>
  /** Takes over a job whose owner is gone; false when it has one, or another was faster. */
  readonly claim: (id: string) => Promise<boolean>
  /** Lets another instance have the job. */
  readonly release: (id: string) => Promise<void>
  readonly askCancel: (id: string) => Promise<void>
  readonly isCancelAsked: (id: string) => Promise<boolean>
  /** Paths of a job's runs, oldest first. */
  readonly runs: (id: string) => Promise<Array<string>>
  /** Makes the directory of the next run. */
  readonly nextRun: (id: string) => Promise<string>
}

const decode = <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  path: string,
  value: unknown,
) => {
  try {
    return Schema.decodeUnknownSync(schema)(value) as S["Type"]
  } catch (cause) {
    throw new ComputeError({
      reason: "Internal",
      message: `${path} is damaged; remove the job's directory, or restore the file.`,
      cause,
    })
  }
}

const read = async <S extends Schema.Codec<unknown, unknown>>(schema: S, path: string) => {
  const value = await readJson(path)
  return value === undefined ? undefined : decode(schema, path, value)
}

const isTaken = (cause: unknown): boolean =>
  cause instanceof Error &&
  "code" in cause &&
  (cause.code === "ENOTEMPTY" || cause.code === "EEXIST")

/** Name of a job's directory: readable, and different for different ids. */
export const directoryName = (id: string): string => {
  const readable = id.replaceAll(/[^a-z0-9_-]+/g, "-").slice(0, 60)
  return `${readable}.${createHash("sha256").update(id).digest("hex").slice(0, 24)}`
}

const numbered = (names: ReadonlyArray<string>, pattern: RegExp): Array<string> =>
  names.filter((name) => pattern.test(name)).sort()

const number = (count: number) => String(count).padStart(6, "0")

/** Opens the directory, making it when absent. */
export const make = async (directory: string, instance: string): Promise<JobFolder> => {
  const jobs = join(directory, "jobs")
  const temporaries = join(directory, "tmp")
  await mkdir(jobs, { recursive: true, mode: 0o700 })
  await mkdir(temporaries, { recursive: true, mode: 0o700 })
  await removeOld(temporaries, 86_400_000)
  const me: Owner = { ...Processes.self(), instance }

  const pathOf = (id: string) => join(jobs, directoryName(id))

  const owners = async (path: string) => numbered(await readdir(path), /^owner-\d+\.json$/)

  const isOwned = async (path: string, last: string | undefined): Promise<boolean> => {
    const owner = last === undefined ? undefined : await read(Owner, join(path, last))
    return owner !== undefined && "pid" in owner && Processes.isAlive(owner)
  }

  const runs = async (id: string) => {
    const path = pathOf(id)
    return numbered(await readdir(path), /^run-\d+$/).map((name) => join(path, name))
  }

  return {
    pathOf,
    create: async (job, status) => {
      const temporary = await mkdtemp(join(temporaries, "job-"))
      try {
        await writeJson(join(temporary, "spec.json"), { job, submitted: status.submitted })
        await writeJson(join(temporary, "status.json"), status)
        await writeJson(join(temporary, `owner-${number(1)}.json`), me)
        // A directory replaces no directory that has entries: of two with this id, one wins.
        await rename(temporary, pathOf(job.id))
        return true
      } catch (cause) {
        if (isTaken(cause)) return false
        throw cause
      } finally {
        await rm(temporary, { recursive: true, force: true })
      }
    },
    save: (status) => writeJson(join(pathOf(status.id), "status.json"), status),
    status: (id) => read(JobStatus, join(pathOf(id), "status.json")),
    job: async (id) => (await read(Submitted, join(pathOf(id), "spec.json")))?.job,
    all: async (except) => {
      const found: Array<JobStatus> = []
      for (const name of await readdir(jobs)) {
        if (except?.has(name) === true) continue
        const status = await read(JobStatus, join(jobs, name, "status.json"))
        if (status !== undefined) found.push(status)
      }
      return found
    },
    claim: async (id) => {
      const path = pathOf(id)
      const last = (await owners(path)).at(-1)
      if (await isOwned(path, last)) return false
      const next = Number(/\d+/.exec(last ?? "")?.[0] ?? 0) + 1
      return createJson(join(path, `owner-${number(next)}.json`), me)
    },
    release: async (id) => {
      const path = pathOf(id)
      const count = Number(/\d+/.exec((await owners(path)).at(-1) ?? "")?.[0] ?? 0)
      await createJson(join(path, `owner-${number(count + 1)}.json`), { released: true })
    },
    askCancel: async (id) => {
      await createJson(join(pathOf(id), "cancel.json"), { asked: Date.now() * 1000 })
    },
    isCancelAsked: async (id) => (await readJson(join(pathOf(id), "cancel.json"))) !== undefined,
    runs,
    nextRun: async (id) => {
      const path = join(pathOf(id), `run-${number((await runs(id)).length + 1)}`)
      await mkdir(join(path, "work"), { recursive: true, mode: 0o700 })
      return path
    },
  }
}
