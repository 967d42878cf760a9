/**
 * When to act: a rule looks at complete calendar windows of one model and asks for work when enough
 * of them in a row are bad.
 *
 * @module
 */
import { Name } from "@ashlar/core"
import * as Schema from "effect/Schema"
import { decoder } from "./internal/decode.ts"
import { MetricName } from "./Performance.ts"
import type { MonitoringError } from "./MonitoringError.ts"
import type * as Effect from "effect/Effect"

const Span = Schema.Struct({ from: Schema.Int, to: Schema.Int })

/** A stored reference by name, or the predictions of a span; default the reference `default`. */
const reference = Schema.optionalKey(Schema.Union([Schema.NonEmptyString, Span]))

/** What a rule looks at, and in which direction it is bad. */
export const When = Schema.Union([
  /** Share of features that drifted; bad from the threshold up. */
  Schema.Struct({ kind: Schema.Literal("drift-share"), reference }),
  /** Drift of one feature; bad from the threshold up. */
  Schema.Struct({
    kind: Schema.Literal("column-drift"),
    column: Schema.NonEmptyString,
    measure: Schema.Literals(["psi", "jensenShannon", "distance"]),
    reference,
  }),
  /** How much worse a metric is than a baseline (a number, or a span); bad from the threshold up. */
  Schema.Struct({
    kind: Schema.Literal("performance-drop"),
    metric: MetricName,
    baseline: Schema.Union([Schema.Finite, Span]),
    output: Schema.optionalKey(Schema.String),
    positive: Schema.optionalKey(Schema.String),
  }),
  /** Share of predictions whose label is known; bad below the threshold. */
  Schema.Struct({ kind: Schema.Literal("label-coverage") }),
])

/** Schema of a rule. */
export const Rule = Schema.Struct({
  name: Name.Name,
  model: Schema.NonEmptyString,
  version: Schema.optionalKey(Schema.String),
  when: When,
  threshold: Schema.Finite,
  /** Length of the windows. */
  by: Schema.Literals(["day", "week", "month"]),
  /** Bad windows in a row that it takes; default 1. */
  forWindows: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100 }))),
  /** Predictions (labelled ones, for performance) a window needs to count; default 100. */
  minSamples: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** Work to ask for; its subject is the model. */
  trigger: Schema.Struct({ kind: Name.Name }),
})

/** A rule. */
export type Rule = typeof Rule.Type

const decodeRule = decoder(Rule, "rule")

/**
 * Checks a rule.
 *
 * @example
 * ```ts
 * import { Rule } from "@ashlar/monitoring"
 * import * as Effect from "effect/Effect"
 *
 * const rule = Rule.make({
 *   name: "delays-moved",
 *   model: "flights",
 *   when: { kind: "drift-share", reference: "training" },
 *   threshold: 0.3,
 *   by: "month",
 *   trigger: { kind: "retrain" },
 * })
 * Effect.runSync(rule).trigger.kind // => "retrain"
 * ```
 */
export const make = (input: typeof Rule.Encoded): Effect.Effect<Rule, MonitoringError> =>
  decodeRule(input)
