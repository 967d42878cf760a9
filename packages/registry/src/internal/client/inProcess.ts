/** Runs of the registry in this process. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Experiments } from "../../Experiments.ts"
import { RegistryError } from "../../RegistryError.ts"
import { Runs } from "../../Runs.ts"
import * as Files from "../files.ts"
import { localFile } from "./localFile.ts"
import type { Transport } from "./transport.ts"

/** The transport to the services of this process. */
export const make: Effect.Effect<Transport, never, Runs | Experiments> = Effect.gen(function* () {
  const runs = yield* Runs
  const named = yield* Experiments

  const idOf = (name: string) =>
    Effect.catch(
      Effect.map(named.getByName(name), ({ id }): string | undefined => id),
      (error: RegistryError) =>
        error.reason === "NotFound" ? Effect.succeed(undefined) : Effect.fail(error),
    )

  /** True when the run has these files already, which a first delivery stored. */
  const isStored = Effect.fnUntraced(function* (runId: string, path: string, file: string) {
    const stored = new Set((yield* runs.artifacts(runId)).map((artifact) => artifact.path))
    const files = yield* Files.walk(file, path)
    return files.every((local) => stored.has(local.path))
  })

  return {
    merges: false,
    startRun: (run) => runs.start(run),
    log: (runId, batch, { key } = {}) => runs.log(runId, batch, key === undefined ? {} : { key }),
    logArtifact: (runId, artifact, { replay = false } = {}) =>
      Effect.catch(runs.logArtifact(runId, artifact), (error: RegistryError) =>
        replay && error.reason === "Conflict"
          ? Effect.flatMap(isStored(runId, artifact.path, artifact.file), (stored) =>
              stored ? Effect.void : Effect.fail(error),
            )
          : Effect.fail(error),
      ),
    finish: (runId, status, ended) =>
      Effect.gen(function* () {
        const run = yield* runs.get(runId)
        if (run.status !== "RUNNING" && run.status !== "SCHEDULED") return run
        return yield* runs.update(runId, { status, ended })
      }),
    get: (runId) => runs.get(runId),
    find: (experiment, key) => runs.find(experiment, key),
    search: Effect.fnUntraced(function* ({ experiments = [], experimentIds = [], ...search }) {
      const ids = [...experimentIds]
      for (const name of experiments) {
        const id = yield* idOf(name)
        if (id !== undefined) ids.push(id)
      }
      return ids.length === 0 ? { items: [] } : yield* runs.search(ids, search)
    }),
    history: (runId, metric) => runs.history(runId, metric),
    inputs: (runId) => runs.inputs(runId),
    artifacts: (runId) => runs.artifacts(runId),
    download: (runId, path, file, { limit } = {}) =>
      Effect.gen(function* () {
        const bytes = Stream.toAsyncIterable(runs.readArtifact(runId, path))
        yield* Effect.tryPromise({
          try: () => localFile(file, path, bytes, limit),
          catch: (cause) =>
            cause instanceof RegistryError
              ? cause
              : new RegistryError({ reason: "Unavailable", message: String(cause), cause }),
        })
      }),
  }
})
