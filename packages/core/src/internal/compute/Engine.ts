/**
 * The life of a job, the same for every local backend: wait for a slot, run, retry, end.
 *
 * @module
 */
import type * as Schema from "effect/Schema"
import { isFinal, type JobSpec, type JobStatus } from "../../Job.ts"
import { now, type Timestamp } from "../../Timestamp.ts"
import { closed } from "./failure.ts"
import * as Slots from "./Slots.ts"

/** How an attempt ended. */
export interface Outcome {
  readonly state: "succeeded" | "failed" | "cancelled" | "timed_out" | "lost"
  readonly finished: Timestamp
  readonly exitCode?: number
  readonly signal?: string
  readonly message?: string
  readonly output?: Schema.Json
}

/** An attempt under way. */
export interface Running {
  readonly started: Timestamp
  readonly pid?: number
  readonly done: Promise<Outcome>
  /** Asks it to stop; `done` tells when it has. */
  readonly stop: () => void
  /** Lets go of it without stopping it: this process may end before it does. */
  readonly abandon?: () => void
}

/** What a backend brings. */
export interface Backend {
  readonly start: (job: JobSpec, attempt: number) => Promise<Running>
  readonly save: (status: JobStatus) => Promise<void>
}

/** A job that has not ended. */
interface Entry {
  readonly job: JobSpec
  status: JobStatus
  readonly cancel: AbortController
  running?: Running
  readonly waiters: Set<{
    readonly resolve: (status: JobStatus) => void
    readonly reject: (error: unknown) => void
  }>
}

/** Jobs that have not ended. */
export interface Engine {
  /** Starts the life of a job; `running` when an attempt is under way already. */
  readonly add: (job: JobSpec, status: JobStatus, running?: Running) => void
  readonly status: (id: string) => JobStatus | undefined
  readonly active: () => IterableIterator<string>
  /** The final status; `undefined` when the job is not here. Rejects on abort and on close. */
  readonly wait: (id: string, signal?: AbortSignal) => Promise<JobStatus> | undefined
  readonly cancel: (id: string) => void
  /** Stops watching; attempts under way are left alone, and none is started afterwards. */
  readonly close: () => Promise<void>
}

const isRetried = (job: JobSpec, attempt: number, outcome: Outcome): boolean => {
  const { attempts = 1, exitCodes } = job.retry ?? {}
  if (outcome.state === "succeeded" || outcome.state === "cancelled") return false
  if (attempt >= attempts) return false
  return (
    exitCodes === undefined ||
    (outcome.exitCode !== undefined && exitCodes.includes(outcome.exitCode))
  )
}

/** Milliseconds before the attempt that follows this one. */
const backoff = (job: JobSpec, attempt: number): number => {
  const { backoffMs = 1000, maxBackoffMs = 60_000 } = job.retry ?? {}
  return Math.min(backoffMs * 2 ** (attempt - 1), maxBackoffMs)
}

/** The longest pause between two tries to save a final status. */
const maxSaveMs = 60_000

const pause = (millis: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, millis)
    signal.addEventListener("abort", done, { once: true })
    if (signal.aborted) done()
  })

/** An engine with so many CPUs. */
export const make = (cpus: number, backend: Backend): Engine => {
  const entries = new Map<string, Entry>()
  const slots = Slots.make(cpus)
  /** Attempts being started: whoever takes the jobs over must not find one half made. */
  const starting = new Set<Promise<Running>>()
  let isClosed = false
  const closing = new AbortController()

  const identity = ({ status }: Entry) => ({
    id: status.id,
    name: status.name,
    submitted: status.submitted,
  })

  /** False when it failed: a status that is not stored must not change the course of a job. */
  const save = (status: JobStatus): Promise<boolean> =>
    backend.save(status).then(
      () => true,
      () => false,
    )

  const finish = async (entry: Entry, outcome: Outcome): Promise<void> => {
    const { started, pid, attempt } = entry.status
    const status: JobStatus = {
      ...identity(entry),
      attempt,
      ...(started === undefined ? {} : { started }),
      ...(pid === undefined ? {} : { pid }),
      ...outcome,
    }
    entry.status = status
    for (let tries = 1; ; tries++) {
      const isSaved = await save(status)
      if (isSaved) entries.delete(status.id)
      for (const waiter of entry.waiters) waiter.resolve(status)
      if (isSaved) return
      // A full disk may be freed; until then the status is told from memory.
      await pause(Math.min(250 * 2 ** (tries - 1), maxSaveMs), closing.signal)
      if (isClosed) return
    }
  }

  const start = async (entry: Entry): Promise<Running> => {
    const promise = backend.start(entry.job, entry.status.attempt)
    starting.add(promise)
    try {
      return await promise
    } finally {
      starting.delete(promise)
    }
  }

  const runAttempt = async (entry: Entry, running: Running): Promise<Outcome> => {
    const { started, pid } = running
    entry.running = running
    if (isClosed) running.abandon?.()
    entry.status = {
      ...identity(entry),
      attempt: entry.status.attempt,
      state: "running",
      started,
      ...(pid === undefined ? {} : { pid }),
    }
    const { signal } = entry.cancel
    signal.addEventListener("abort", running.stop, { once: true })
    if (signal.aborted) running.stop()
    await save(entry.status)
    const outcome = await running.done
    signal.removeEventListener("abort", running.stop)
    return outcome
  }

  const live = async (entry: Entry, resumed: Running | undefined): Promise<void> => {
    const { signal } = entry.cancel
    const grant = entry.job.resources?.cpus ?? 1
    const cancelled = () =>
      finish(entry, {
        state: "cancelled",
        finished: now(),
        message: "it was cancelled before it started",
      })
    for (let running = resumed; ; running = undefined) {
      const release = running === undefined ? await slots.take(grant, signal) : slots.force(grant)
      if (isClosed) return
      if (release === undefined) return cancelled()
      const { attempt } = entry.status
      let outcome: Outcome
      try {
        running ??= await start(entry)
        outcome = await runAttempt(entry, running)
      } catch (cause) {
        const message = `could not be started: ${cause instanceof Error ? cause.message : String(cause)}`
        outcome = { state: "failed", finished: now(), message }
      } finally {
        release()
      }
      if (isClosed) return
      if (signal.aborted && outcome.state !== "succeeded") {
        return finish(entry, { ...outcome, state: "cancelled", message: "it was cancelled" })
      }
      if (!isRetried(entry.job, attempt, outcome)) return finish(entry, outcome)
      const wait = backoff(entry.job, attempt)
      entry.status = {
        ...identity(entry),
        attempt: attempt + 1,
        state: "queued",
        message: `attempt ${attempt}: ${outcome.message ?? outcome.state}; the next follows in ${wait} ms`,
      }
      await save(entry.status)
      await pause(wait, signal)
      if (isClosed) return
      if (signal.aborted) return cancelled()
    }
  }

  return {
    add: (job, status, running) => {
      const entry: Entry = { job, status, cancel: new AbortController(), waiters: new Set() }
      entries.set(job.id, entry)
      void live(entry, running)
    },
    status: (id) => entries.get(id)?.status,
    active: () => entries.keys(),
    wait: (id, signal) => {
      const entry = entries.get(id)
      if (entry === undefined) return undefined
      if (isFinal(entry.status.state)) return Promise.resolve(entry.status)
      return new Promise((resolve, reject) => {
        const leave = () => {
          entry.waiters.delete(waiter)
          signal?.removeEventListener("abort", abort)
        }
        const abort = () => waiter.reject(signal?.reason)
        const waiter = {
          resolve: (status: JobStatus) => {
            leave()
            resolve(status)
          },
          reject: (error: unknown) => {
            leave()
            reject(error)
          },
        }
        entry.waiters.add(waiter)
        signal?.addEventListener("abort", abort, { once: true })
        if (signal?.aborted === true) abort()
      })
    },
    cancel: (id) => entries.get(id)?.cancel.abort(),
    close: async () => {
      isClosed = true
      closing.abort()
      await Promise.allSettled(starting)
      for (const entry of entries.values()) {
        entry.running?.abandon?.()
        for (const waiter of entry.waiters) waiter.reject(closed())
      }
      entries.clear()
    },
  }
}
