/** A run tracker in memory that keeps everything it is told, as the registry does. */
import { RunTracker } from "@ashlar/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

/** A run with its history. */
export interface Recorded {
  run: RunTracker.Run
  readonly start: RunTracker.StartRun
  readonly series: Array<RunTracker.Metric>
  readonly artifacts: Array<{ readonly path: string; readonly file: string }>
}

/** Makes a tracker and shows what it holds. */
export const makeTracker = () => {
  const runs = new Map<string, Recorded>()
  const find = (runId: string) => {
    const found = runs.get(runId)
    return found === undefined
      ? Effect.fail(
          new RunTracker.RunTrackerError({ reason: "NotFound", message: `no run ${runId}` }),
        )
      : Effect.succeed(found)
  }
  const byKey = (experiment: string, key: string) =>
    [...runs.values()].find(({ start }) => start.experiment === experiment && start.key === key)
      ?.run
  const layer = Layer.succeed(RunTracker.RunTracker, {
    startRun: (start) =>
      Effect.sync(() => {
        const known = start.key === undefined ? undefined : byKey(start.experiment, start.key)
        if (known !== undefined) return known
        const run: RunTracker.Run = {
          runId: `run-${runs.size}`,
          experimentId: start.experiment,
          name: start.name ?? "",
          status: "RUNNING",
          started: Date.now() * 1000,
          params: Object.fromEntries(
            Object.entries(start.params ?? {}).map(([k, v]) => [k, String(v)]),
          ),
          metrics: {},
          tags: start.tags ?? {},
        }
        runs.set(run.runId, { run, start, series: [], artifacts: [] })
        return run
      }),
    log: (runId, batch) =>
      Effect.map(find(runId), (found) => {
        found.series.push(...(batch.metrics ?? []))
        const metrics = Object.fromEntries(
          (batch.metrics ?? []).map(({ key, value }) => [key, value]),
        )
        found.run = {
          ...found.run,
          metrics: { ...found.run.metrics, ...metrics },
          tags: { ...found.run.tags, ...batch.tags },
        }
      }),
    logArtifact: (runId, artifact) =>
      Effect.map(find(runId), (found) => void found.artifacts.push(artifact)),
    finishRun: (runId, status) =>
      Effect.flatMap(find(runId), (found) => {
        if (found.run.status !== "RUNNING") {
          return Effect.fail(
            new RunTracker.RunTrackerError({
              reason: "Conflict",
              message: `run ${runId} has ended`,
            }),
          )
        }
        found.run = { ...found.run, status, ended: Date.now() * 1000 }
        return Effect.succeed(found.run)
      }),
    getRun: (runId) => Effect.map(find(runId), ({ run }) => run),
    findRun: (experiment, key) => Effect.sync(() => byKey(experiment, key)),
  })
  return { runs, layer }
}
