import { type Database, type ModelPackage, Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import type { LineageGate, TestsGate, ThresholdGate } from "../../Policy.ts"
import type { RegistryError } from "../../RegistryError.ts"
import * as Reading from "../runs-read.ts"
import type { RunRow } from "../migrations.ts"
import type { Store } from "../store.ts"
import { type GateResult, result } from "./result.ts"

type Failure = Database.DatabaseError | RegistryError

/** The version that a gate looks at. */
export interface Candidate {
  readonly name: string
  readonly version: number
  readonly digest: string
  readonly run: string | null
  /** Absent for a version that is metadata only. */
  readonly manifest: ModelPackage.Manifest | undefined
}

/** The gates that ask what is recorded in this registry. */
export interface Recorded {
  readonly threshold: (
    gate: typeof ThresholdGate.Type,
    candidate: Candidate,
  ) => Effect.Effect<GateResult, Failure>
  readonly lineage: (
    gate: typeof LineageGate.Type,
    candidate: Candidate,
  ) => Effect.Effect<GateResult, Failure>
  readonly tests: (
    gate: typeof TestsGate.Type,
    candidate: Candidate,
  ) => Effect.Effect<GateResult, Failure>
}

const packageMetric = (candidate: Candidate, key: string): number | undefined => {
  const metrics = candidate.manifest?.metadata?.["metrics"]
  if (typeof metrics !== "object" || metrics === null || Array.isArray(metrics)) return undefined
  const value: unknown = Object.hasOwn(metrics, key) ? Reflect.get(metrics, key) : undefined
  return typeof value === "number" ? value : undefined
}

/** Gates on a store. */
export const make = (store: Store): Recorded => {
  const { db, build } = store
  const { view } = Reading.make(store)

  const runOf = (id: string | null): Effect.Effect<RunRow | undefined, Failure> =>
    id === null
      ? Effect.succeed(undefined)
      : db.first(build.selectFrom("registry_run").selectAll().where("id", "=", id))

  const threshold: Recorded["threshold"] = Effect.fnUntraced(function* (gate, candidate) {
    const { metric, minimum, maximum } = gate
    const from = gate.of ?? "run"
    const run = from === "run" ? yield* runOf(candidate.run) : undefined
    const value =
      from === "package"
        ? packageMetric(candidate, metric)
        : run === undefined
          ? undefined
          : (yield* view(run)).metrics[metric]
    const check = (passed: boolean, required: number | undefined, message: string) => ({
      name: metric,
      passed,
      ...(value === undefined ? {} : { observed: value }),
      ...(required === undefined ? {} : { required }),
      message,
    })
    if (value === undefined) {
      const where =
        from === "package"
          ? "the package's metadata"
          : candidate.run === null
            ? "a run, which the version does not have"
            : `run ${candidate.run}`
      const bound = minimum ?? maximum
      return result("threshold", [check(false, bound, `'${metric}' is not in ${where}`)])
    }
    // NaN is within no bounds.
    return result("threshold", [
      ...(minimum === undefined
        ? []
        : [
            check(
              value >= minimum,
              minimum,
              `'${metric}' is ${value}, at least ${minimum} is asked`,
            ),
          ]),
      ...(maximum === undefined
        ? []
        : [
            check(
              value <= maximum,
              maximum,
              `'${metric}' is ${value}, at most ${maximum} is asked`,
            ),
          ]),
    ])
  })

  const lineage: Recorded["lineage"] = Effect.fnUntraced(function* (gate, candidate) {
    const wanted = gate.require ?? (["run", "datasets", "commit"] as const)
    const run = yield* runOf(candidate.run)
    const inputs =
      run === undefined
        ? []
        : yield* db.all(
            build.selectFrom("registry_input").select(["name", "digest"]).where("run", "=", run.id),
          )
    const commit =
      run === undefined ? undefined : (yield* view(run)).tags["mlflow.source.git.commit"]
    const bare = inputs.filter(({ digest }) => digest === "").map(({ name }) => `'${name}'`)
    const found: Record<(typeof wanted)[number], readonly [passed: boolean, message: string]> = {
      run:
        run === undefined
          ? [false, "the version names no run that is recorded here"]
          : [true, `run ${run.id}`],
      datasets:
        inputs.length === 0
          ? [false, "no data that its run read is recorded"]
          : bare.length > 0
            ? [false, `${bare.join(", ")} of its run's data has no digest`]
            : [true, `${inputs.length} datasets with their digests`],
      commit:
        commit === undefined || commit === ""
          ? [false, "its run does not say of which commit its code was"]
          : [true, `commit ${commit}`],
    }
    return result(
      "lineage",
      wanted.map((name) => ({ name, passed: found[name][0], message: found[name][1] })),
    )
  })

  const tests: Recorded["tests"] = Effect.fnUntraced(function* (gate, candidate) {
    const rows = yield* db.all(
      build
        .selectFrom("registry_evidence")
        .selectAll()
        .where("model", "=", candidate.name)
        .where("version", "=", candidate.version)
        .where("name", "in", gate.names)
        .orderBy("id"),
    )
    const oldest =
      gate.maxAgeSeconds === undefined
        ? -Infinity
        : Timestamp.now() - gate.maxAgeSeconds * 1_000_000
    // The last word on a test is the one that counts.
    const latest = new Map(
      rows
        .filter(
          ({ version_digest, principal }) =>
            version_digest === candidate.digest &&
            (gate.reporters === undefined ||
              (principal !== null && gate.reporters.includes(principal))),
        )
        .map((row) => [row.name, row]),
    )
    let failed = false
    const checks = gate.names.map((name) => {
      const row = latest.get(name)
      if (row === undefined) return { name, passed: false, message: `'${name}' has not reported` }
      if (row.status === "failed") {
        failed = true
        return { name, passed: false, message: `'${name}' failed (report ${row.digest})` }
      }
      return row.time < oldest
        ? { name, passed: false, message: `'${name}' passed too long ago` }
        : { name, passed: true, message: `'${name}' passed (report ${row.digest})` }
    })
    return result("tests", checks, { pending: !failed })
  })

  return { threshold, lineage, tests }
}
