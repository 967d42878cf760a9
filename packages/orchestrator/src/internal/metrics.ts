import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"

const runs = Metric.counter("ashlar_orchestrator_runs_total", {
  description: "Runs this process ended or gave back, by outcome",
  incremental: true,
})

const steps = Metric.counter("ashlar_orchestrator_steps_total", {
  description: "Step attempts this process made or replayed, by outcome",
  incremental: true,
})

const takeovers = Metric.counter("ashlar_orchestrator_takeovers_total", {
  description: "Runs this process took over from one that died or fell silent",
  incremental: true,
})

const active = Metric.gauge("ashlar_orchestrator_runs_active", {
  description: "Runs this process works on",
})

/** Counts a run that this process ended (or, `released`, gave back unfinished). */
export const runEnded = (
  workflow: string,
  outcome: "succeeded" | "failed" | "cancelled" | "released" | "lost",
): Effect.Effect<void> => Metric.update(Metric.withAttributes(runs, { workflow, outcome }), 1)

/** Counts an attempt at a step. */
export const stepEnded = (
  workflow: string,
  outcome: "succeeded" | "failed" | "replayed",
): Effect.Effect<void> => Metric.update(Metric.withAttributes(steps, { workflow, outcome }), 1)

/** Counts a run taken over from another process. */
export const takenOver = (workflow: string): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(takeovers, { workflow }), 1)

/** Shows the run as active while the effect goes on. */
export const whileActive = <A, E, R>(
  workflow: string,
  effect: Effect.Effect<A, E, R>,
): Effect.Effect<A, E, R> => {
  const gauge = Metric.withAttributes(active, { workflow })
  return Effect.acquireUseRelease(
    Metric.modify(gauge, 1),
    () => effect,
    () => Metric.modify(gauge, -1),
  )
}
