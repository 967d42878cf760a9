/**
 * Rebuilds what a run was made from, byte for byte, runs it again and reports what drifted. What
 * `Capture` stored is not trusted: paths, links and sizes are checked, the tree's digest must hold,
 * and nothing of it is run unless asked for.
 *
 * @module
 */
import { Digest } from "@ashlar/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Capture from "./Capture.ts"
import { type Comparison, compareSides, type Side } from "./internal/capture/compare.ts"
import * as Rebuild from "./internal/capture/rebuild.ts"
import * as Running from "./internal/capture/rerun.ts"
import { artifacts, Source } from "./internal/capture/source.ts"
import { RegistryError, notFound } from "./RegistryError.ts"
import type { RunRecord } from "./Runs.ts"
import { Tracking } from "./Tracking.ts"

export type { Change, Comparison, MetricDrift } from "./internal/capture/compare.ts"
export type { RebuildOptions } from "./internal/capture/rebuild.ts"
export type { RerunOptions } from "./internal/capture/rerun.ts"

/** A tree that was built again. */
export interface Rebuilt {
  readonly runId: string
  readonly directory: string
  readonly source: Capture.Source
  /** Files that the run had and that were not stored: too large, or secret. */
  readonly missing: ReadonlyArray<{ readonly path: string; readonly reason: string }>
}

/** What came of running a run again. */
export interface Rerun {
  readonly exitCode: number
  /** The run that it recorded, if it recorded one with `Capture`, and how that differs. */
  readonly run?: RunRecord
  readonly comparison?: Comparison
}

/** Rebuilds, reruns and compares runs. */
export class Reproduce extends Context.Service<
  Reproduce,
  {
    /** Captures what this process runs from, and stores it with a run. */
    readonly capture: (
      runId: string,
      options?: Capture.CaptureOptions,
    ) => Effect.Effect<Capture.Source, RegistryError>
    /** What was captured with a run. */
    readonly source: (runId: string) => Effect.Effect<Capture.Source, RegistryError>
    /** Builds a run's tree in a new directory; fails when its digest is not the captured one. */
    readonly rebuild: (
      runId: string,
      options: Rebuild.RebuildOptions,
    ) => Effect.Effect<Rebuilt, RegistryError>
    /** Installs npm packages from the lockfile of a rebuilt tree; their scripts are not run. */
    readonly install: (
      rebuilt: Rebuilt,
      options?: Running.RerunOptions,
    ) => Effect.Effect<void, RegistryError>
    /**
     * Runs the recorded command in a rebuilt tree: somebody else's program, with the rights of this
     * process. It finds the run's id in `ASHLAR_REPRODUCE`.
     */
    readonly rerun: (
      rebuilt: Rebuilt,
      options?: Running.RerunOptions,
    ) => Effect.Effect<Rerun, RegistryError>
    /** How two runs differ in metrics, parameters, datasets and environment. */
    readonly compare: (a: string, b: string) => Effect.Effect<Comparison, RegistryError>
  }
>()("@ashlar/registry/Reproduce/v1") {}

/** Most bytes that are read of each artifact. */
const limits = { source: 64 << 20, patch: 512 << 20, untracked: 512 << 20 } as const

const io = <A>(run: () => Promise<A>): Effect.Effect<A, RegistryError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      cause instanceof RegistryError
        ? cause
        : new RegistryError({
            reason: "Unavailable",
            message: `cannot rebuild: ${cause instanceof Error ? cause.message : String(cause)}`,
            cause,
          }),
  })

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Source))

const make = Effect.gen(function* () {
  const tracking = yield* Tracking

  const bytesOf = (runId: string, path: string, limit: number) =>
    Effect.acquireUseRelease(
      io(() => mkdtemp(join(tmpdir(), "ashlar-reproduce-"))),
      (folder) => {
        const file = join(folder, "file")
        return Effect.andThen(
          tracking.download(runId, path, file, { limit }),
          io(() => readFile(file)),
        )
      },
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true })),
    )

  const kept = Effect.fnUntraced(function* (
    runId: string,
    path: string,
    limit: number,
    expected: { readonly digest: string } | undefined,
  ) {
    if (expected === undefined) return undefined
    const bytes = yield* bytesOf(runId, path, limit)
    if (Digest.of(bytes) === expected.digest) return bytes
    return yield* new RegistryError({
      reason: "Corrupt",
      field: path,
      message: `${path} of run ${runId} is not what was captured: its digest differs`,
    })
  })

  const sourceOf = Effect.fnUntraced(function* (runId: string) {
    const bytes = yield* Effect.catch(
      bytesOf(runId, artifacts.source, limits.source),
      (error: RegistryError) =>
        error.reason === "NotFound"
          ? notFound(`${artifacts.source} of run ${runId}: record it with Capture, or it`)
          : Effect.fail(error),
    )
    return yield* Effect.mapError(
      decode(bytes.toString("utf8")),
      (cause) =>
        new RegistryError({
          reason: "Corrupt",
          field: artifacts.source,
          message: `${artifacts.source} of run ${runId} is malformed: ${cause.message.slice(0, 1000)}`,
          cause,
        }),
    )
  })

  const sideOf = Effect.fnUntraced(function* (
    runId: string,
  ): Effect.fn.Return<Side, RegistryError> {
    const run = yield* tracking.get(runId)
    const names = Object.keys(run.metrics)
    const histories = yield* Effect.forEach(names, (name) => tracking.history(runId, name), {
      concurrency: 4,
    })
    const source = yield* Effect.catch(
      Effect.map(sourceOf(runId), (found): Source | undefined => found),
      (error: RegistryError) =>
        error.reason === "NotFound" ? Effect.succeed(undefined) : Effect.fail(error),
    )
    return {
      run,
      histories: new Map(names.map((name, at) => [name, histories[at] ?? []])),
      inputs: yield* tracking.inputs(runId),
      ...(source === undefined ? {} : { source }),
    }
  })

  const compare = Effect.fnUntraced(function* (a: string, b: string) {
    return compareSides(yield* sideOf(a), yield* sideOf(b))
  })

  return Reproduce.of({
    capture: Effect.fnUntraced(function* (runId, options) {
      const captured = yield* Capture.capture(options)
      yield* Capture.record(tracking, runId, captured)
      return captured.source
    }),
    source: sourceOf,
    rebuild: Effect.fnUntraced(function* (runId, options) {
      const source = yield* sourceOf(runId)
      const patch = yield* kept(runId, artifacts.patch, limits.patch, source.patch)
      const archive = yield* kept(runId, artifacts.untracked, limits.untracked, source.archive)
      const directory = yield* io(() =>
        Rebuild.rebuild(
          {
            source,
            ...(patch === undefined ? {} : { patch }),
            ...(archive === undefined ? {} : { archive }),
          },
          options,
        ),
      )
      const tooLarge = source.untracked.flatMap(({ path, size, stored }) =>
        stored ? [] : [{ path, reason: `${size} bytes were too many to keep` }],
      )
      return { runId, directory, source, missing: [...source.withheld, ...tooLarge] }
    }),
    install: ({ directory }, options = {}) => io(async () => Running.install(directory, options)),
    rerun: Effect.fnUntraced(function* ({ runId, directory, source }, options = {}) {
      const original = yield* tracking.get(runId)
      const exitCode = yield* io(async () =>
        Running.rerun(original.runId, directory, source, options),
      )
      const found = yield* tracking.search({
        experimentIds: [original.experimentId],
        filter: `tags.\`ashlar.reproduces\` = '${original.runId}'`,
        orderBy: ["attributes.start_time DESC"],
        limit: 1,
      })
      const [run] = found.items
      if (run === undefined) return { exitCode }
      return { exitCode, run, comparison: yield* compare(original.runId, run.runId) }
    }),
    compare,
  })
})

/** Reproduction over {@link Tracking}: of runs in this process or on a server. */
export const layer: Layer.Layer<Reproduce, never, Tracking> = Layer.effect(Reproduce, make)
