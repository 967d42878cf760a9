import { type Database, type RunTracker, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { sql } from "kysely"
import { invalid, type RegistryError } from "../RegistryError.ts"
import type { MetricRow } from "./migrations.ts"
import type { Store } from "./store.ts"

const isLater = (a: MetricRow, b: MetricRow): boolean =>
  a.step !== b.step
    ? a.step > b.step
    : a.time !== b.time
      ? a.time > b.time
      : Number(a.value) > Number(b.value)

/** The last point of each series of a batch. */
const lastOf = (points: ReadonlyArray<MetricRow>): ReadonlyArray<MetricRow> => {
  const last = new Map<string, MetricRow>()
  for (const point of points) {
    const known = last.get(point.key)
    if (known === undefined || isLater(point, known)) last.set(point.key, point)
  }
  return [...last.values()]
}

/** Most series of one statement. */
const chunk = 1000

/** Writes a batch; call it inside a transaction. */
export type Write = (
  runId: string,
  batch: RunTracker.RunBatch,
) => Effect.Effect<void, Database.DatabaseError | RegistryError>

/** Writes to a store. */
export const make = ({ db, build }: Store): Write => {
  const writeParams = Effect.fnUntraced(function* (
    runId: string,
    given: NonNullable<RunTracker.RunBatch["params"]>,
  ) {
    const params = Object.entries(given).map(([key, value]) => ({
      run: runId,
      key,
      value: String(value),
    }))
    if (params.length === 0) return
    yield* db.insertMany("registry_param", params, { onConflict: "ignore" })
    const stored = yield* db.all(
      build.selectFrom("registry_param").selectAll().where("run", "=", runId),
    )
    const valueOf = new Map(stored.map(({ key, value }) => [key, value]))
    const changed = params.find(({ key, value }) => valueOf.get(key) !== value)
    if (changed === undefined) return
    return yield* invalid(
      `params.${changed.key}`,
      `Changing param values is not allowed. Param ${changed.key} of run ${runId} is ${JSON.stringify(valueOf.get(changed.key))} and cannot become ${JSON.stringify(changed.value)}: log it under another key, or start another run`,
    )
  })

  const writeTags = (runId: string, tags: NonNullable<RunTracker.RunBatch["tags"]>) =>
    Effect.forEach(
      Object.entries(tags),
      ([key, value]) =>
        db.run(
          build
            .insertInto("registry_tag")
            .values({ run: runId, key, value })
            .onConflict((c) => c.columns(["run", "key"]).doUpdateSet({ value })),
        ),
      { discard: true },
    )

  const writeLatest = (rows: ReadonlyArray<MetricRow>) =>
    db.run(
      build
        .insertInto("registry_latest")
        .values([...rows])
        .onConflict((c) =>
          c
            .columns(["run", "key"])
            .doUpdateSet((set) => ({
              step: set.ref("excluded.step"),
              time: set.ref("excluded.time"),
              value: set.ref("excluded.value"),
            }))
            .where(
              sql<boolean>`(excluded.step, excluded.time, cast(excluded.value as double precision)) > (registry_latest.step, registry_latest.time, cast(registry_latest.value as double precision))`,
            ),
        ),
    )

  const writeMetrics = Effect.fnUntraced(function* (
    runId: string,
    metrics: NonNullable<RunTracker.RunBatch["metrics"]>,
  ) {
    if (metrics.length === 0) return
    const now = Timestamp.now()
    const points = metrics.map(({ key, value, step = 0, time = now }): MetricRow => ({
      run: runId,
      key,
      step,
      time,
      value: String(value),
    }))
    yield* db.insertMany("registry_metric", points, { onConflict: "ignore" })
    const last = lastOf(points)
    for (let from = 0; from < last.length; from += chunk) {
      yield* writeLatest(last.slice(from, from + chunk))
    }
  })

  return Effect.fnUntraced(function* (runId, batch) {
    yield* writeParams(runId, batch.params ?? {})
    yield* writeTags(runId, batch.tags ?? {})
    yield* writeMetrics(runId, batch.metrics ?? [])
  })
}
