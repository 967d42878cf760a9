/**
 * Moves experiments, runs, files and models between stores: from MLflow's server or file store, or
 * from exports of Weights & Biases, into a server that speaks MLflow's REST API, which is Ashlar's or
 * MLflow's own. So nobody is locked in on either side.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Digest } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Rest from "./internal/client/rest.ts"
import type { RemoteOptions } from "./internal/client/rest.ts"
import * as Copying from "./internal/transfer/copy.ts"
import type { Copies, Progress, Report, Tally, Work } from "./internal/transfer/copy.ts"
import { copyModel } from "./internal/transfer/copy-models.ts"
import * as FileStore from "./internal/transfer/file-store.ts"
import type { Source } from "./internal/transfer/records.ts"
import * as Server from "./internal/transfer/server.ts"
import { target } from "./internal/transfer/target.ts"
import * as Wandb from "./internal/transfer/wandb.ts"
import { invalid, RegistryError } from "./RegistryError.ts"

export type { Count, Failure, Progress, Report } from "./internal/transfer/copy.ts"
export type { RemoteOptions } from "./internal/client/rest.ts"

/** Where to read. */
export type From =
  | { readonly server: RemoteOptions }
  /** The directory of an MLflow file store, mostly called `mlruns`. */
  | { readonly fileStore: string }
  /**
   * The directory in which W&B's client keeps runs, mostly called `wandb`: `run-*` and
   * `offline-run-*` with their `.wandb` files. Projects become experiments; configuration becomes
   * parameters, numbers of the history and summary metrics, texts of the summary tags.
   */
  | { readonly wandb: string }

/** What to move, and how. */
export interface TransferOptions {
  readonly from: From
  /** The server to write to. */
  readonly to: RemoteOptions
  /** Names of experiments; default all. */
  readonly experiments?: ReadonlyArray<string>
  /** Whether to copy files; default true. */
  readonly files?: boolean
  /** Whether to copy registered models; default true. */
  readonly models?: boolean
  /** Whether to read every copy back and compare its digest; default true. */
  readonly verify?: boolean
  /** Runs at a time; default 4, at most 32. */
  readonly concurrency?: number
  readonly onProgress?: (progress: Progress) => void
}

const sourceOf = (from: From): Effect.Effect<Source, RegistryError> => {
  if ("server" in from) {
    const host = URL.parse(from.server.url)?.host ?? "server"
    return Effect.map(Rest.make(from.server), (rest) => Server.source(rest, `server ${host}`))
  }
  return "fileStore" in from ? FileStore.source(from.fileStore) : Wandb.source(from.wandb)
}

const count = () => ({ found: 0, copied: 0, skipped: 0 })

/**
 * Copies what is not there yet, so that it can be run again, and goes on after a stop: a run is
 * recognised by the id it had, which its copy carries as the tag `ashlar.transfer.id`. Ids are the
 * target's own; parents, outputs and sources of versions point to the copies. Numbers of versions
 * stay. Deleted runs and experiments are left out. What one run's data forbids is told in `failures`;
 * a server that is away, or refuses the token, fails the whole.
 */
export const copy = Effect.fnUntraced(function* (
  options: TransferOptions,
): Effect.fn.Return<Report, RegistryError> {
  const { concurrency = 4, experiments: names } = options
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 32) {
    return yield* invalid("concurrency", `concurrency is ${concurrency}; give 1 to 32`)
  }
  const source = yield* sourceOf(options.from)
  const rest = yield* Rest.make(options.to)
  const to = `server ${URL.parse(options.to.url)?.host ?? ""}`
  const tally: Tally = {
    from: source.name,
    to,
    experiments: count(),
    runs: count(),
    points: 0,
    params: 0,
    tags: 0,
    files: 0,
    bytes: 0,
    loggedModels: count(),
    models: count(),
    versions: count(),
    aliases: count(),
    digest: "",
    differing: [],
    failures: [],
  }
  const run = Effect.fnUntraced(function* (scratch: string) {
    const work: Work = {
      source,
      target: target(rest),
      back: Server.source(rest, to),
      files: options.files ?? true,
      verify: options.verify ?? true,
      concurrency,
      scratch,
      tally,
      digests: new Map(),
      onProgress: options.onProgress ?? (() => undefined),
    }
    const copies: Copies = { runs: new Map(), loggedModels: new Map() }
    const all = yield* source.experiments
    const unknown = names?.find((name) => all.every((one) => one.name !== name))
    if (unknown !== undefined) {
      return yield* invalid("experiments", `${source.name} has no experiment ${unknown}`)
    }
    for (const experiment of all) {
      if (names !== undefined && !names.includes(experiment.name)) continue
      tally.experiments.found++
      work.onProgress({
        experiment: experiment.name,
        runs: tally.runs.copied,
        points: tally.points,
        bytes: tally.bytes,
      })
      const made = yield* Copying.copyExperiment(work, experiment)
      for (const [id, one] of made.runs) copies.runs.set(id, one)
      for (const [id, one] of made.loggedModels) copies.loggedModels.set(id, one)
      tally.experiments.copied++
    }
    if (options.models ?? true) {
      const models = yield* source.models
      const there = models.length === 0 ? [] : yield* work.back.models
      const byName = new Map(there.map((model) => [model.name, model]))
      for (const model of models) yield* copyModel(work, model, copies, byName.get(model.name))
    }
    tally.digest = Digest.ofJson([...work.digests.values()].toSorted())
    const report: Report = tally
    return report
  })
  return yield* Effect.acquireUseRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "ashlar-transfer-"))),
    run,
    (scratch) => Effect.promise(() => rm(scratch, { recursive: true, force: true })),
  )
})
