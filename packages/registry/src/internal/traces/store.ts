import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, RegistryError } from "../../RegistryError.ts"
import type { TraceRow } from "../migrations/0012-traces.ts"
import * as Validate from "../mlflow/validate.ts"
import type { Store } from "../store.ts"

type Failed = Database.DatabaseError | RegistryError

/** MLflow's names of what a trace says about itself. */
export const names = {
  traceName: "mlflow.traceName",
  artifactLocation: "mlflow.artifactLocation",
  spansLocation: "mlflow.trace.spansLocation",
  archiveLocation: "mlflow.trace.archiveLocation",
  archivalFailure: "mlflow.trace.archivalFailure",
  finalized: "mlflow.trace.infoFinalized",
  sizeStats: "mlflow.trace.sizeStats",
  session: "mlflow.trace.session",
  user: "mlflow.trace.user",
  run: "mlflow.sourceRun",
} as const

/** Tags that only the server sets. */
export const system: ReadonlyArray<string> = [
  names.spansLocation,
  names.archiveLocation,
  names.archivalFailure,
]

/** The spans are in the tables here, not in a file. */
export const here = "TRACKING_STORE"

/** Most characters of a tag's or metadata's value; more is cut, as MLflow does. */
const longest = 8000
const longestName = 4096

/** Why a tag or a piece of metadata is refused. */
export const wrongPair = (key: string, value: string): RegistryError | undefined => {
  const wrong = Validate.key(key) ?? Validate.length("key", Validate.limits.key, key)
  if (wrong !== undefined) return wrong
  if (key === "") return invalid("key", "Missing value for required parameter 'key'.")
  return key === names.traceName ? Validate.length("Trace name", longestName, value) : undefined
}

/** What both databases can keep: no NUL, no half of a surrogate pair. */
export const clean = (text: string): string => text.toWellFormed().replaceAll("\0", "\uFFFD")

/** What the writers of traces share. */
export interface Writing {
  /** The experiment, locked against its deletion; fails unless it is active. */
  readonly active: (
    experimentId: string,
  ) => Effect.Effect<{ readonly id: string; readonly artifacts: string }, Failed>
  /** Rows of traces, locked, in the order of their ids. */
  readonly locked: (ids: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<TraceRow>, Failed>
  readonly put: (
    kind: "tag" | "metadata",
    trace: string,
    pairs: ReadonlyMap<string, string>,
    conflict: "replace" | "keep",
  ) => Effect.Effect<void, Failed>
}

/** Writers of a store's traces. */
export const make = ({ db, build }: Store): Writing => {
  const active: Writing["active"] = Effect.fnUntraced(function* (experimentId) {
    const query = build.selectFrom("registry_experiment").selectAll().where("id", "=", experimentId)
    // Whoever deletes the experiment now waits. SQLite has one writer at a time.
    const found = yield* db.first(db.dialect === "postgres" ? query.forShare() : query)
    if (found === undefined) {
      return yield* new RegistryError({
        reason: "NotFound",
        message: `No Experiment with id=${experimentId.slice(0, 300)} exists`,
      })
    }
    if (found.deleted !== null) {
      return yield* invalid(
        "experiment_id",
        `The experiment ${found.id} must be in the 'active' state. Current state is deleted.`,
      )
    }
    const root = found.artifact_location ?? `mlflow-artifacts:/${found.id}`
    return { id: found.id, artifacts: root.replace(/\/+$/, "") }
  })

  const locked: Writing["locked"] = (ids) => {
    const query = build
      .selectFrom("registry_trace")
      .selectAll()
      .where("id", "in", [...ids])
      .orderBy("id")
    return db.all(db.dialect === "postgres" ? query.forUpdate() : query)
  }

  const put: Writing["put"] = Effect.fnUntraced(function* (kind, trace, pairs, conflict) {
    // In one order, so that two writers do not wait for each other.
    for (const [key, value] of [...pairs].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const row = { trace, key, value: clean(value.slice(0, longest)) }
      yield* db.run(
        build
          .insertInto(`registry_trace_${kind}`)
          .values(row)
          .onConflict((c) =>
            conflict === "keep"
              ? c.columns(["trace", "key"]).doNothing()
              : c.columns(["trace", "key"]).doUpdateSet({ value: row.value }),
          ),
      )
    }
  })

  return { active, locked, put }
}
