/**
 * The language of searches: MLflow's filter grammar, and a superset with `OR`, `NOT`, parentheses,
 * regular expressions, ranges and aggregates of metrics. A string that MLflow understands means here
 * what it means there.
 *
 * ```text
 * metrics.auc > 0.9 AND params.model = 'gbdt' AND tags.`git commit` LIKE 'a%'
 * (min(metrics.loss) < 0.1 OR avg(metrics.auc) BETWEEN 0.8 AND 0.9) AND NOT status = 'FAILED'
 * run_name ~ '^trial-[0-9]+$' AND experiment_name IN ('flights', 'delays')
 * ```
 *
 * @module
 */
import type { Timestamp } from "@ashlar/core"
import * as Effect from "effect/Effect"
import { FilterError } from "./internal/search/FilterError.ts"
import * as Matching from "./internal/search/matches.ts"
import * as Ordering from "./internal/search/order.ts"
import * as Parsing from "./internal/search/parse.ts"
import type {
  Clause,
  Entity,
  Expression,
  Filter,
  FilterRecord,
  Grammar,
  Order,
} from "./internal/search/types.ts"
import type { RunRecord } from "./internal/runs-read.ts"
import type { RunInput } from "./Runs.ts"

export type {
  Aggregate,
  Clause,
  Entity,
  Expression,
  Field,
  Filter,
  FilterRecord,
  Grammar,
  NumberComparator,
  Order,
  TextComparator,
} from "./internal/search/types.ts"
export { FilterError, type Rule } from "./internal/search/FilterError.ts"
export { maxClauses, maxDepth, maxList } from "./internal/search/parse.ts"
export { maxLength } from "./internal/search/tokens.ts"

/** What a filter is about. */
export interface ParseOptions {
  readonly entity: Entity
  /** `mlflow` refuses what MLflow refuses; default `ashlar`, the superset. */
  readonly grammar?: Grammar
}

const attempt = <A>(read: () => A): Effect.Effect<A, FilterError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(read())
    } catch (error) {
      return error instanceof FilterError ? Effect.fail(error) : Effect.die(error)
    }
  })

/**
 * Reads a filter. An empty one matches everything. At most {@link maxLength} characters,
 * {@link maxClauses} comparisons, {@link maxDepth} levels and {@link maxList} values of a list;
 * regular expressions have no back-references and no look-around and run in linear time. A
 * `FilterError` says where it went wrong, at what, and against which rule; its message begins with
 * MLflow's own words.
 *
 * @example
 * ```ts
 * import { Filter } from "@ashlar/registry"
 * import * as Effect from "effect/Effect"
 *
 * const filter = Effect.runSync(
 *   Filter.parse("metrics.auc > 0.9 OR tags.kind = 'gbdt'", { entity: "runs" }),
 * )
 * const run = { attributes: {}, metrics: { auc: 0.95 } }
 * Filter.matches(filter, run) // => true
 * ```
 */
export const parse = (
  text: string,
  { entity, grammar = "ashlar" }: ParseOptions,
): Effect.Effect<Filter, FilterError> => attempt(() => Parsing.parse(text, entity, grammar))

/**
 * Reads `order_by` clauses (`metrics.auc DESC`) and adds what settles ties, as MLflow does for the
 * entity.
 */
export const parseOrderBy = (
  clauses: ReadonlyArray<string>,
  { entity }: ParseOptions,
): Effect.Effect<ReadonlyArray<Order>, FilterError> =>
  attempt(() => Ordering.parseOrder(clauses, entity))

/**
 * Whether a record matches. A missing value matches `IS NULL` alone, so not `!=` either; `NOT`
 * turns that round. NaN matches `!=`, `NOT IN` and `NOT BETWEEN`; `min`, `max` and `avg` pass over it.
 */
export const matches: (filter: Filter, record: FilterRecord) => boolean = Matching.matches

/** Compares records for sorting. Missing values come last and NaN before them, in both directions. */
export const compare: (
  orders: ReadonlyArray<Order>,
) => (left: FilterRecord, right: FilterRecord) => number = Ordering.compare

/** Whether a filter looks at a key, e.g. at the tag that hides prompts. */
export const mentions = (filter: Filter, type: Clause["field"]["type"], key: string): boolean => {
  const visit = (expression: Expression): boolean => {
    if (expression.kind === "not") return visit(expression.part)
    if (expression.kind === "and" || expression.kind === "or") return expression.parts.some(visit)
    return expression.field.type === type && expression.field.key === key
  }
  return filter.expression !== undefined && visit(filter.expression)
}

/** What a filter sees of a run. */
export const ofRun = (
  run: RunRecord,
  more: {
    readonly experimentName?: string
    readonly inputs?: ReadonlyArray<RunInput>
    readonly histories?: Readonly<Record<string, ReadonlyArray<number>>>
  } = {},
): FilterRecord => ({
  attributes: {
    run_id: run.runId,
    run_name: run.name,
    status: run.status,
    user_id: run.user,
    artifact_uri: run.artifactUri ?? `mlflow-artifacts:/${run.experimentId}/${run.runId}/artifacts`,
    start_time: millis(run.started),
    end_time: run.ended === undefined ? undefined : millis(run.ended),
    experiment_id: run.experimentId,
    experiment_name: more.experimentName,
  },
  metrics: run.metrics,
  params: run.params,
  tags: run.tags,
  ...(more.histories === undefined ? {} : { histories: more.histories }),
  datasets: (more.inputs ?? []).map(({ name, digest, context }) => ({
    name,
    digest,
    ...(context === "" ? {} : { context }),
  })),
})

const millis = (time: Timestamp.Timestamp): number => Math.floor(time / 1000)
