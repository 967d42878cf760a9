/**
 * The jobs of one instance of the `process` backend, and those of instances that are gone.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import { basename, join } from "node:path"
import * as Schema from "effect/Schema"
import { isFinal, type JobSpec, type JobStatus, type LogLine } from "../../Job.ts"
import { now } from "../../Timestamp.ts"
import { readJson } from "./atomicFile.ts"
import * as Engine from "./Engine.ts"
import * as Failures from "./failure.ts"
import * as Input from "./input.ts"
import * as JobFolder from "./JobFolder.ts"
import { readLines } from "./LogFile.ts"
import * as SupervisedRun from "./SupervisedRun.ts"

/** Jobs in a directory. */
export interface ProcessJobs {
  readonly submit: (job: JobSpec) => Promise<JobStatus>
  readonly status: (id: string) => Promise<JobStatus>
  readonly wait: (id: string, signal: AbortSignal) => Promise<JobStatus>
  readonly cancel: (id: string) => Promise<void>
  readonly logs: (id: string, follow: boolean) => AsyncGenerator<LogLine>
  readonly list: () => Promise<Array<JobStatus>>
  readonly close: (stop: boolean) => Promise<void>
}

const decodeAttempt = Schema.decodeUnknownSync(Schema.Struct({ attempt: Schema.Int }))

const attemptOf = async (run: string): Promise<number | undefined> => {
  const order = await readJson(join(run, "order.json"))
  return order === undefined ? undefined : decodeAttempt(order).attempt
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** How often a job that another instance looks after is asked for. */
const pollMs = 200
/** How often orphans and cancel requests of other instances are looked for. */
const sweepMs = 1000

/** Opens the directory and adopts the jobs that have no owner. */
export const make = async (options: {
  readonly directory: string
  readonly cpus: number
  readonly logLimitBytes: number
}): Promise<ProcessJobs> => {
  const folder = await JobFolder.make(options.directory, randomUUID())
  const engine = Engine.make(options.cpus, {
    save: folder.save,
    start: async (job, attempt) => {
      const path = await folder.nextRun(job.id)
      return SupervisedRun.start(job, attempt, path, options.logLimitBytes)
    },
  })
  /** Directories of jobs that need no look any more. */
  const settled = new Set<string>()
  let isClosed = false

  const status = async (id: string): Promise<JobStatus> => {
    const found = engine.status(id) ?? (await folder.status(id))
    if (found === undefined) throw Failures.notFound(id)
    return found
  }

  /** The run an orphan was in the middle of. */
  const currentRun = async (orphan: JobStatus): Promise<string | undefined> => {
    const last = (await folder.runs(orphan.id)).at(-1)
    return last !== undefined && (await attemptOf(last)) === orphan.attempt ? last : undefined
  }

  /** Prepares to look after an orphan; what is returned begins it. */
  const adopt = async (id: string): Promise<(() => void) | undefined> => {
    if (!(await folder.claim(id))) return undefined
    const [job, orphan] = await Promise.all([folder.job(id), folder.status(id)])
    if (job === undefined || orphan === undefined || isFinal(orphan.state)) return undefined
    const run = await currentRun(orphan)
    const running = run === undefined ? undefined : await SupervisedRun.adopt(job, run)
    return () => engine.add(job, orphan, running)
  }

  const sweep = async (): Promise<void> => {
    const orphans: Array<JobStatus> = []
    for (const found of await folder.all(settled)) {
      if (isFinal(found.state)) settled.add(basename(folder.pathOf(found.id)))
      else if (engine.status(found.id) === undefined) orphans.push(found)
      else if (await folder.isCancelAsked(found.id)) engine.cancel(found.id)
    }
    orphans.sort((a, b) => a.submitted - b.submitted)
    const begins = await Promise.all(orphans.map(({ id }) => adopt(id)))
    for (const begin of begins) begin?.()
  }

  const watch = async (): Promise<void> => {
    while (!isClosed) {
      // A damaged or vanished directory must not stop the watch over the others.
      await sweep().catch(() => undefined)
      await Promise.race([sleep(sweepMs), closing.promise])
    }
  }
  const closing = Promise.withResolvers<void>()
  await sweep()
  const watching = watch()

  const wait = async (id: string, signal: AbortSignal): Promise<JobStatus> => {
    for (;;) {
      const mine = engine.wait(id, signal)
      if (mine !== undefined) return await mine
      const found = await status(id)
      if (isFinal(found.state)) return found
      if (isClosed) throw Failures.closed()
      signal.throwIfAborted()
      await sleep(pollMs)
    }
  }

  return {
    submit: async (job) => {
      const known = engine.status(job.id) ?? (await folder.status(job.id))
      if (known !== undefined) return known
      const fresh: JobStatus = {
        id: job.id,
        name: job.name,
        state: "queued",
        attempt: 1,
        submitted: now(),
      }
      if (isClosed) throw Failures.closed()
      if (!(await folder.create(job, fresh))) return status(job.id)
      // The sweep may have seen the new directory first; it is ours, so it left it alone.
      engine.add(job, fresh)
      return fresh
    },
    status,
    wait,
    cancel: async (id) => {
      if (isFinal((await status(id)).state)) return
      await folder.askCancel(id)
      engine.cancel(id)
    },
    logs: async function* (given, follow) {
      const id = Input.id(given)
      await status(id)
      for (let next = 0; ;) {
        const over = !follow || isFinal((await status(id)).state)
        const runs = await folder.runs(id)
        const run = runs[next]
        if (run === undefined) {
          if (over) return
          await sleep(pollMs)
          continue
        }
        const attempt = (await attemptOf(run)) ?? next + 1
        next += 1
        yield* readLines(run, attempt, async () => {
          if (!follow || next < runs.length) return true
          return (
            (await readJson(join(run, "end.json"))) !== undefined ||
            isFinal((await status(id)).state)
          )
        })
      }
    },
    list: async () => {
      const all = await folder.all()
      return all.map((stored) => engine.status(stored.id) ?? stored)
    },
    close: async (stop) => {
      const ids = Array.from(engine.active())
      if (stop) {
        for (const id of ids) engine.cancel(id)
        await Promise.allSettled(ids.map(async (id) => engine.wait(id)))
      }
      isClosed = true
      closing.resolve()
      await watching
      const left = Array.from(engine.active())
      await engine.close()
      for (const id of left) await folder.release(id).catch(() => undefined)
    },
  }
}
