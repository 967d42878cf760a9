/**
 * Who may become champion: policies that protect an alias of a model.
 *
 * @module
 */
import { Dataset, Name } from "@ashlar/core"
import * as Schema from "effect/Schema"

/** Schema of a policy: the alias moves only to a version that beats its present holder. */
export const Policy = Schema.Struct({
  /** Metric to compare by; higher is better for all but `log_loss` and `brier`. */
  metric: Schema.Literals(["auc", "log_loss", "brier", "accuracy"]),
  /** Column of the evaluation data with the truth. */
  label: Schema.NonEmptyString,
  /** The challenger must win by at least this; default 0. */
  minimumGain: Schema.optionalKey(Schema.Finite),
  /** Significance of the test that it wins; default 0.05. */
  alpha: Schema.optionalKey(Schema.Finite),
  /** Data to compare on, unless the request names its own. */
  evaluation: Schema.optionalKey(Dataset.DatasetRef),
  /** Alias to beat while the protected alias points nowhere. */
  baseline: Schema.optionalKey(Name.Name),
})

/** What an alias asks of a version. */
export type Policy = typeof Policy.Type
