/**
 * Copies experiments with their runs and models from one store to another. A copy carries the id it
 * was copied from and, once it is whole, its digest: copying again goes on where it stopped.
 *
 * @module
 */
import { rm } from "node:fs/promises"
import { join } from "node:path"
import { Digest } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { RegistryError } from "../../RegistryError.ts"
import {
  digestTag,
  distinct,
  type ExperimentRecord,
  historyDigest,
  type LoggedModelRecord,
  type Owner,
  runDigest,
  type RunRecord,
  type Source,
} from "./records.ts"
import type { Copy, Target } from "./target.ts"

/** How many of a kind there were, and what became of them. */
export interface Count {
  found: number
  copied: number
  /** Copied before. */
  skipped: number
}

/** Something that was not copied, and why. */
export interface Failure {
  readonly kind: "run" | "loggedModel" | "version" | "alias" | "stage"
  readonly id: string
  readonly why: string
}

/** What a transfer did. */
export interface Report {
  readonly from: string
  readonly to: string
  readonly experiments: Count
  readonly runs: Count
  /** Points of metrics, parameters and tags of the runs that were copied. */
  readonly points: number
  readonly params: number
  readonly tags: number
  readonly files: number
  readonly bytes: number
  readonly loggedModels: Count
  readonly models: Count
  readonly versions: Count
  readonly aliases: Count
  /** Digest over the sorted digests of all runs, equal for equal content whatever the ids. */
  readonly digest: string
  /** Runs read back from the target whose digest is another. */
  readonly differing: ReadonlyArray<string>
  readonly failures: ReadonlyArray<Failure>
}

/** The report while it is written. */
export type Tally = { -readonly [K in keyof Report]: Report[K] } & {
  failures: Array<Failure>
  differing: Array<string>
}

/** Where a transfer is. */
export interface Progress {
  readonly experiment?: string
  readonly runs: number
  readonly points: number
  readonly bytes: number
}

/** What a transfer works with. */
export interface Work {
  readonly source: Source
  readonly target: Target
  /** Reads what was written, to compare. */
  readonly back: Source
  readonly files: boolean
  readonly verify: boolean
  readonly concurrency: number
  readonly scratch: string
  readonly tally: Tally
  readonly digests: Map<string, string>
  readonly onProgress: (progress: Progress) => void
}

/** Ids of copies by the ids they were copied from. */
export interface Copies {
  readonly runs: Map<string, Copy>
  readonly loggedModels: Map<string, Copy>
}

let scratchFiles = 0

const copyFiles = Effect.fnUntraced(function* (work: Work, owner: Owner, copy: Copy) {
  const digests: Record<string, string> = {}
  if (!work.files) return digests
  for (const path of yield* work.source.files(owner)) {
    const to = join(work.scratch, String(scratchFiles++))
    yield* Effect.ensuring(
      Effect.gen(function* () {
        const local = yield* work.source.fetch(owner, path, to)
        yield* work.target.upload(copy, path, local.file)
        digests[path] = local.digest
        work.tally.files++
        work.tally.bytes += local.size
      }),
      Effect.promise(() => rm(to, { force: true })),
    )
  }
  return digests
})

/** Digest of what the target has of a copy. */
const digestBack = Effect.fnUntraced(function* (work: Work, copy: Copy) {
  const run = yield* work.back.run(copy.id)
  const histories: Record<string, string> = {}
  for (const key of run.metrics) {
    histories[key] = historyDigest(yield* work.back.history(copy.id, key))
  }
  const files: Record<string, string> = {}
  const owner: Owner = { kind: "run", id: copy.id }
  for (const path of work.files ? yield* work.back.files(owner) : []) {
    const to = join(work.scratch, String(scratchFiles++))
    const local = yield* Effect.ensuring(
      work.back.fetch(owner, path, to),
      Effect.promise(() => rm(to, { force: true })),
    )
    files[path] = local.digest
  }
  return runDigest(run, histories, files)
})

const copyRun = Effect.fnUntraced(function* (
  work: Work,
  run: RunRecord,
  experimentId: string,
  there: Copy | undefined,
) {
  const { source, target, tally } = work
  const copy = there ?? (yield* target.createRun(run, experimentId))
  yield* target.describe(copy, run)
  const histories: Record<string, string> = {}
  for (const key of run.metrics) {
    const points = distinct(yield* source.history(run.id, key))
    yield* target.points(copy, key, points)
    histories[key] = historyDigest(points)
    tally.points += points.length
    work.onProgress({ runs: tally.runs.copied, points: tally.points, bytes: tally.bytes })
  }
  const files = yield* copyFiles(work, { kind: "run", id: run.id }, copy)
  const digest = runDigest(run, histories, files)
  yield* target.finish(copy, run)
  if (work.verify && (yield* digestBack(work, copy)) !== digest) {
    tally.differing.push(run.id)
    return copy
  }
  // Only now the copy is whole: what stopped before goes on from here another time.
  yield* target.tag(copy, digestTag, digest)
  tally.params += Object.keys(run.params).length
  tally.tags += Object.keys(run.tags).length
  tally.runs.copied++
  work.digests.set(run.id, digest)
  work.onProgress({ runs: tally.runs.copied, points: tally.points, bytes: tally.bytes })
  return copy
})

const failed = (work: Work, kind: Failure["kind"], id: string) => (error: RegistryError) => {
  // What says that everything will fail is no matter of one run.
  if (error.reason === "Unavailable" || error.reason === "PermissionDenied")
    return Effect.fail(error)
  work.tally.failures.push({ kind, id, why: error.message })
  return Effect.void
}

const copyLoggedModel = Effect.fnUntraced(function* (
  work: Work,
  model: LoggedModelRecord,
  experimentId: string,
  copies: Copies,
) {
  const { tally, target } = work
  tally.loggedModels.found++
  const there = copies.loggedModels.get(model.id)
  if (there?.digest !== undefined) {
    tally.loggedModels.skipped++
    return
  }
  const runId = model.runId === undefined ? undefined : copies.runs.get(model.runId)?.id
  const copy = there ?? (yield* target.createLoggedModel(model, experimentId, runId))
  copies.loggedModels.set(model.id, copy)
  const files = yield* copyFiles(work, { kind: "loggedModel", id: model.id }, copy)
  const digest = Digest.ofJson({ name: model.name, params: model.params, files })
  yield* target.finishLoggedModel(copy, model.ready, digest)
  tally.loggedModels.copied++
})

/** Copies one experiment; returns what its copies are called. */
export const copyExperiment = Effect.fnUntraced(function* (work: Work, record: ExperimentRecord) {
  const { source, target, tally } = work
  const experimentId = yield* target.experiment(record)
  const copies: Copies = {
    runs: new Map(yield* target.copies(experimentId)),
    loggedModels: new Map(),
  }
  const parents: Array<readonly [Copy, string]> = []
  const wrote: Array<readonly [Copy, RunRecord]> = []
  let token: string | undefined
  do {
    const page: { readonly items: ReadonlyArray<RunRecord>; readonly next?: string } =
      yield* source.runs(record.id, token)
    yield* Effect.forEach(
      page.items,
      (run) =>
        Effect.gen(function* () {
          tally.runs.found++
          const there = copies.runs.get(run.id)
          if (there?.digest !== undefined) {
            tally.runs.skipped++
            work.digests.set(run.id, there.digest)
            return
          }
          const copy = yield* copyRun(work, run, experimentId, there)
          copies.runs.set(run.id, copy)
          const parent = run.tags["mlflow.parentRunId"]
          if (parent !== undefined) parents.push([copy, parent])
          if (run.outputs.length > 0) wrote.push([copy, run])
        }).pipe(Effect.catch(failed(work, "run", run.id))),
      { concurrency: work.concurrency, discard: true },
    )
    token = page.next
  } while (token !== undefined)
  for (const [copy, parent] of parents) {
    const id = copies.runs.get(parent)?.id
    if (id !== undefined) yield* target.tag(copy, "mlflow.parentRunId", id)
  }
  const models = yield* source.loggedModels(record.id)
  if (models.length > 0) {
    for (const [origin, copy] of yield* target.loggedCopies(experimentId)) {
      copies.loggedModels.set(origin, copy)
    }
  }
  for (const model of models) {
    yield* Effect.catch(
      copyLoggedModel(work, model, experimentId, copies),
      failed(work, "loggedModel", model.id),
    )
  }
  for (const [copy, run] of wrote) {
    const outputs = run.outputs.flatMap(({ modelId, step }) => {
      const id = copies.loggedModels.get(modelId)?.id
      return id === undefined ? [] : [{ modelId: id, step }]
    })
    if (outputs.length > 0) yield* target.outputs(copy, outputs)
  }
  return copies
})
