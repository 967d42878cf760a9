/**
 * What a run was made from: commit, uncommitted changes, untracked files, lockfiles, command line,
 * environment, seeds, datasets and machine. `Reproduce` rebuilds it.
 *
 * Stored as MLflow's tags `mlflow.source.*` and as the artifacts `ashlar/source.json`,
 * `ashlar/source.patch` (`git diff --binary`) and `ashlar/untracked.tar`. Secrets are left out: files
 * with their names or forms, and values of variables and arguments with their names. What was left
 * out is listed, without its content or digest.
 *
 * @module
 */
import type { RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import * as Collect from "./internal/capture/collect.ts"
import * as Machine from "./internal/capture/machine.ts"
import { redactEnvironment, secretsOf } from "./internal/capture/secrets.ts"
import { artifacts, Source as SourceSchema } from "./internal/capture/source.ts"
import { RegistryError } from "./RegistryError.ts"

export type { CaptureLimits } from "./internal/capture/collect.ts"

/** Schema of `ashlar/source.json`. */
export const Source = SourceSchema

/** What a run was made from. */
export type Source = typeof SourceSchema.Type

/** What to capture beside the tree. */
export interface CaptureOptions {
  /** Default the working directory; its git work tree is captured, wherever in it this is. */
  readonly directory?: string
  /** Seeds by what they seed. */
  readonly seeds?: Readonly<Record<string, number>>
  /** Data that is read; a `file:` URI without digest gets one. */
  readonly datasets?: Source["datasets"]
  /** Names of variables to record beside those that are known to matter. */
  readonly env?: ReadonlyArray<string>
  readonly limits?: Collect.CaptureLimits
}

/** A source with the bytes that go with it. */
export interface Captured {
  readonly source: Source
  /** Changes of tracked files. */
  readonly patch?: Uint8Array
  /** A tar archive of untracked files. */
  readonly archive?: Uint8Array
}

/** Where a source is stored: `Runs`, `Tracking` and core's `RunTracker` all fit. */
export interface Sink<E> {
  readonly log: (runId: string, batch: RunTracker.RunBatch) => Effect.Effect<void, E>
  readonly logArtifact: (
    runId: string,
    artifact: { readonly path: string; readonly file: string },
  ) => Effect.Effect<void, E>
}

const io = <A>(run: () => Promise<A>): Effect.Effect<A, RegistryError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      cause instanceof RegistryError
        ? cause
        : new RegistryError({
            reason: "Unavailable",
            message: `cannot capture the source: ${cause instanceof Error ? cause.message : String(cause)}`,
            cause,
          }),
  })

/**
 * Reads what this process runs from. Works without git (then the script alone is kept) and without
 * a script, as in a notebook. Lists devices where the service `Accelerator` is provided.
 */
export const capture: (options?: CaptureOptions) => Effect.Effect<Captured, RegistryError> =
  Effect.fnUntraced(function* (options = {}) {
    const { env = [], seeds = {}, datasets = [], limits = {} } = options
    const secrets = secretsOf(process.env)
    const directory = yield* io(() => realpath(options.directory ?? process.cwd()))
    const root = yield* io(() => Collect.rootOf(directory))
    const script = process.argv[1]
    const tree = yield* io(() =>
      root === undefined
        ? Collect.collectFiles(
            directory,
            script?.startsWith(`${directory}/`) === true ? [relative(directory, script)] : [],
            secrets,
            limits,
          )
        : Collect.collectTree(root, secrets, limits),
    )
    const below = root === undefined ? "" : relative(root, directory)
    const machine = yield* Machine.machine
    const { patch, archive, ...rest } = tree
    const source: Source = {
      format: "ashlar.source/1",
      captured: new Date().toISOString(),
      ...rest,
      ...(patch === undefined ? {} : { patch: Machine.keptOf(patch) }),
      ...(archive === undefined ? {} : { archive: Machine.keptOf(archive) }),
      lockfiles: yield* io(() => Machine.lockfiles(root ?? directory, below)),
      runtime: Machine.runtime(),
      machine,
      command: Machine.command(directory, secrets),
      directory: below,
      env: redactEnvironment(process.env, secrets, env),
      seeds,
      datasets: yield* io(() => Machine.datasets(datasets)),
    }
    return {
      source,
      ...(patch === undefined ? {} : { patch }),
      ...(archive === undefined ? {} : { archive }),
    }
  })

const tagsOf = (source: Source): Readonly<Record<string, string>> => {
  const { git, command, tree } = source
  const script = command.find((part) => !part.startsWith("-"))
  const reproduces = process.env["ASHLAR_REPRODUCE"]
  return {
    "mlflow.source.type": script === undefined ? "NOTEBOOK" : "LOCAL",
    "mlflow.source.name": script ?? "notebook",
    ...(git === undefined ? {} : { "mlflow.source.git.commit": git.commit }),
    ...(git?.branch === undefined ? {} : { "mlflow.source.git.branch": git.branch }),
    ...(git?.remote === undefined ? {} : { "mlflow.source.git.repoURL": git.remote }),
    "ashlar.source.tree": tree.digest,
    ...(reproduces === undefined ? {} : { "ashlar.reproduces": reproduces }),
  }
}

const encode = Schema.encodeEffect(Schema.fromJsonString(SourceSchema))

/** Stores a source with a run: tags and artifacts. */
export const record = <E>(
  sink: Sink<E>,
  runId: string,
  { source, patch, archive }: Captured,
): Effect.Effect<void, E | RegistryError> =>
  Effect.acquireUseRelease(
    io(() => mkdtemp(join(tmpdir(), "ashlar-source-"))),
    (folder) =>
      Effect.gen(function* () {
        const json = yield* Effect.mapError(
          encode(source),
          (cause) =>
            new RegistryError({
              reason: "InvalidInput",
              message: `the source is malformed: ${cause.message}`,
              cause,
            }),
        )
        const files = [
          [artifacts.source, Buffer.from(json)],
          [artifacts.patch, patch],
          [artifacts.untracked, archive],
        ] as const
        for (const [path, bytes] of files) {
          if (bytes === undefined) continue
          const file = join(folder, path.slice(dirname(path).length + 1))
          yield* io(() => writeFile(file, bytes, { mode: 0o600 }))
          yield* sink.logArtifact(runId, { path, file })
        }
        yield* sink.log(runId, { tags: tagsOf(source) })
      }),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true })),
  )
