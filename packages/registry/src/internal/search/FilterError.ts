import { Failure } from "@ashlar/core"
import * as Schema from "effect/Schema"

/** The rules a filter can break. */
export const rules = [
  "length",
  "characters",
  "clauses",
  "depth",
  "list",
  "syntax",
  "entity",
  "key",
  "comparator",
  "value",
  "regex",
  "duplicate",
] as const

/** Which rule a filter breaks. */
export type Rule = (typeof rules)[number]

/** A filter or an `order_by` clause cannot be understood. */
export class FilterError extends Schema.TaggedError<FilterError>()("FilterError", {
  ...Failure.fields(["InvalidInput"]),
  /** Where in the text, counted in UTF-16 units from 0. */
  position: Schema.Int,
  /** What stands there; empty at the end. */
  token: Schema.String,
  rule: Schema.Literals(rules),
}) {
  /** Stable code. */
  readonly code = Failure.codeOf(this)
}

const shown = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}...` : text)

/** The error of a rule at a place. The message begins with MLflow's own words where it has some. */
export const broken = (
  rule: Rule,
  at: { readonly at: number; readonly text: string },
  message: string,
): FilterError =>
  new FilterError({
    reason: "InvalidInput",
    field: "filter",
    rule,
    position: at.at,
    token: shown(at.text),
    message: `${message} (character ${at.at}, ${at.text === "" ? "the end" : `at ${shown(at.text)}`})`,
  })
