import type { Database } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { invalid, type RegistryError } from "../../RegistryError.ts"
import type { DeleteTraces } from "../../Traces.ts"
import type { Store } from "../store.ts"
import type { Writing } from "./store.ts"

/** Traces of one transaction. */
const chunk = 500
const mostIds = 10_000

/** Deletes traces of an experiment, in parts; tells how many. */
export const make = ({ db, build }: Store, { locked }: Writing) => {
  const drop = Effect.fnUntraced(function* (candidates: ReadonlyArray<string>) {
    // Whoever adds spans waits, and finds no trace then.
    const ids = (yield* locked(candidates)).map(({ id }) => id)
    if (ids.length === 0) return 0
    yield* db.run(build.deleteFrom("registry_span").where("trace", "in", ids))
    yield* db.run(build.deleteFrom("registry_trace_tag").where("trace", "in", ids))
    yield* db.run(build.deleteFrom("registry_trace_metadata").where("trace", "in", ids))
    yield* db.run(build.deleteFrom("registry_trace").where("id", "in", ids))
    return ids.length
  })

  const part = Effect.fnUntraced(function* (
    experimentId: string,
    which:
      | { readonly among: ReadonlyArray<string> }
      | { readonly untilMs: number; readonly most: number },
  ) {
    const traces = build
      .selectFrom("registry_trace")
      .select("id")
      .where("experiment", "=", experimentId)
    const rows = yield* db.all(
      "among" in which
        ? traces.where("id", "in", [...which.among])
        : traces
            .where("started", "<=", which.untilMs)
            .orderBy("started")
            .orderBy("id")
            .limit(which.most),
    )
    return rows.length === 0 ? 0 : yield* drop(rows.map(({ id }) => id))
  })

  return Effect.fnUntraced(function* (experimentId: string, which: DeleteTraces) {
    let count = 0
    if ("traceIds" in which) {
      if (which.traceIds.length > mostIds) {
        return yield* invalid("request_ids", `request_ids has more than ${mostIds} ids`)
      }
      for (let from = 0; from < which.traceIds.length; from += chunk) {
        const among = which.traceIds.slice(from, from + chunk)
        count += yield* db.transaction(part(experimentId, { among }))
      }
      return count
    }
    const { untilMs, most = Number.POSITIVE_INFINITY } = which
    for (;;) {
      const size = Math.min(chunk, most - count)
      const gone = yield* db.transaction(part(experimentId, { untilMs, most: size }))
      count += gone
      if (gone < size || count >= most) return count
    }
  }) satisfies (
    experimentId: string,
    which: DeleteTraces,
  ) => Effect.Effect<number, Database.DatabaseError | RegistryError>
}
