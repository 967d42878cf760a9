/**
 * Labeling functions: cheap, noisy rules that vote for a class, row by row, or abstain.
 *
 * @module
 */
import { Name } from "@ashlar/core"
import type * as Arrow from "apache-arrow"
import * as Schema from "effect/Schema"

/** The vote of a function that has no opinion on a row. */
export const abstain = -1

/** A rule that votes on every row of a table. */
export interface LabelingFunction {
  readonly name: string
  /** What the rule looks at, for the people who read why a row was labeled. */
  readonly description: string
  /**
   * One vote a row: an index into the classes, or {@link abstain}. Whole columns at once, so that
   * millions of rows cost array reads and no calls.
   */
  readonly vote: (table: Arrow.Table) => Int8Array
}

const isName = Schema.is(Name.Name)

/** Makes a labeling function; throws a `TypeError` for a name that is not one. */
export const make = (definition: LabelingFunction): LabelingFunction => {
  if (!isName(definition.name)) {
    throw new TypeError(
      `labeling function name ${JSON.stringify(definition.name)}: use letters, digits, '_', '.' or '-'`,
    )
  }
  return definition
}
